"""Announced files: deleted when their import fails, but never files of others."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import DatabaseError, connection, transaction

from rooms.imports.intents import clean_up_abandoned, complete_intent, import_intent
from rooms.models import ImportIntent, Media
from tenants.models import Tenant
from tests.scaiwave import row_factories
from tests.scaiwave.lock_helpers import hold_lock_elsewhere
from tests.tenants.factories import HOST_OPERATOR

NOW = row_factories.NOW
ONE, TWO = (sha256(text).hexdigest() for text in (b"one", b"two"))


class Failed(Exception):
    """What ends an import in these tests."""


pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def acme(media_root: Path) -> Tenant:
    return row_factories.make_tenant()


def store(tenant: Tenant, key: str) -> str:
    name = Media(tenant=tenant, sha256=key).storage_name
    return default_storage.save(name, ContentFile(b"bytes"))


def create_abandoned_intent(tenant: Tenant, *hashes: str) -> ImportIntent:
    """What an import that was killed has left."""
    return ImportIntent.objects.create(
        tenant=tenant, hashes=list(hashes), operator="root", started_at=NOW
    )


def end(intent: ImportIntent) -> None:
    """An import that has come to its good end."""
    with transaction.atomic():
        complete_intent(intent)


def raise_database_error(*_: object) -> None:
    raise DatabaseError("gone")


def fail(tenant: Tenant, *hashes: str, last: Callable[[], object] = lambda: None) -> None:
    """An import that has put its files into the store and then ends."""
    with pytest.raises(Failed):
        fails(tenant, hashes, last)


def fails(tenant: Tenant, hashes: Collection[str], last: Callable[[], object]) -> None:
    with import_intent(hashes, operator=HOST_OPERATOR, tenant=tenant, now=NOW):
        for key in hashes:
            store(tenant, key)
        last()
        raise Failed


def test_success_intent_exists_during_the_import(acme: Tenant) -> None:
    with import_intent([TWO, ONE], operator=HOST_OPERATOR, tenant=acme, now=NOW) as intent:
        stored = ImportIntent.objects.get()
        assert (stored, stored.hashes, stored.operator) == (intent, sorted([ONE, TWO]), "root")
        end(intent)
    assert not ImportIntent.objects.exists()


def test_fail_removes_its_files(acme: Tenant) -> None:
    fail(acme, ONE, TWO)
    assert not ImportIntent.objects.exists()
    assert not default_storage.exists(Media(tenant=acme, sha256=ONE).storage_name)
    assert not default_storage.exists(Media(tenant=acme, sha256=TWO).storage_name)


def test_fail_keeps_files_with_a_row(acme: Tenant) -> None:
    row_factories.make_media(acme, sha256=ONE)
    fail(acme, ONE)
    assert default_storage.exists(Media(tenant=acme, sha256=ONE).storage_name)


def test_fail_keeps_files_of_another_import(acme: Tenant) -> None:
    with import_intent([ONE], operator=HOST_OPERATOR, tenant=acme, now=NOW) as other:
        fail(acme, ONE, TWO)
        assert default_storage.exists(Media(tenant=acme, sha256=ONE).storage_name)
        assert list(ImportIntent.objects.all()) == [other]
        end(other)


def test_fail_removes_files_that_only_another_tenant_imports(acme: Tenant) -> None:
    other = row_factories.make_tenant("other")
    row_factories.make_media(other, sha256=ONE)
    store(other, ONE)
    fail(acme, ONE)
    assert not default_storage.exists(Media(tenant=acme, sha256=ONE).storage_name)
    assert default_storage.exists(Media(tenant=other, sha256=ONE).storage_name)


def test_fail_without_a_database_the_next_import_cleans_up(
    acme: Tenant, caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        wrapper = connection.execute_wrapper(raise_database_error)
        fail(acme, ONE, last=lambda: stack.enter_context(wrapper))
    key = ImportIntent.objects.get().pk
    assert caplog.messages == [f"Could not clean up after import {key}; the next import will."]
    assert default_storage.exists(Media(tenant=acme, sha256=ONE).storage_name)
    assert clean_up_abandoned(NOW) == 1
    assert not default_storage.exists(Media(tenant=acme, sha256=ONE).storage_name)


@pytest.mark.only_on("postgresql")  # Django does not close the connection to SQLite in memory.
def test_fail_by_a_signal_at_the_end_of_the_transaction(acme: Tenant) -> None:
    """Django then considers the transaction open, and refuses another."""

    def interrupt() -> None:
        transaction.atomic(durable=True).__enter__()
        row_factories.make_media(acme, sha256=ONE)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails(acme, [ONE], interrupt)
    assert not connection.in_atomic_block
    assert not ImportIntent.objects.exists()
    assert not Media.objects.exists()
    assert not default_storage.exists(Media(tenant=acme, sha256=ONE).storage_name)


def test_success_clean_up_removes_files_of_interrupted_imports(acme: Tenant) -> None:
    other = row_factories.make_tenant("other")
    for tenant in (acme, other):
        create_abandoned_intent(tenant, ONE, TWO)
        store(tenant, ONE)
    assert clean_up_abandoned(NOW + timedelta(hours=1)) == 2
    assert not ImportIntent.objects.exists()
    assert not default_storage.exists(Media(tenant=acme, sha256=ONE).storage_name)
    assert clean_up_abandoned(NOW) == 0


def test_success_clean_up_keeps_files_of_running_imports(acme: Tenant) -> None:
    intent = create_abandoned_intent(acme, ONE)
    store(acme, ONE)
    with hold_lock_elsewhere(f"import-{intent.pk}"):
        assert clean_up_abandoned(NOW) == 0
        assert default_storage.exists(Media(tenant=acme, sha256=ONE).storage_name)
    assert clean_up_abandoned(NOW) == 1


def draft(tenant: Tenant, media_root: Path, key: str) -> Path:
    """What is left of a file that was being written by a process that was killed."""
    path = media_root / "incoming" / f"tenant-{tenant.pk}-{key}.0123"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.mark.only_on("sqlite")
def test_success_clean_up_removes_drafts(acme: Tenant, media_root: Path) -> None:
    """A draft of a file that another import wants may be that import's, until it has ended."""
    mine, wanted = (draft(acme, media_root, key) for key in (ONE, TWO))
    others = draft(row_factories.make_tenant("other"), media_root, ONE)
    create_abandoned_intent(acme, ONE, TWO)
    with import_intent([TWO], operator=HOST_OPERATOR, tenant=acme, now=NOW) as running:
        assert clean_up_abandoned(NOW) == 1
        assert [path.exists() for path in (mine, wanted, others)] == [False, True, True]
        end(running)
    assert [path.exists() for path in (mine, wanted, others)] == [False, False, True]


@pytest.mark.only_on("sqlite")
def test_success_the_last_import_of_a_file_removes_its_drafts(
    acme: Tenant, media_root: Path
) -> None:
    left = draft(acme, media_root, ONE)
    running = create_abandoned_intent(acme, ONE)
    with import_intent([ONE], operator=HOST_OPERATOR, tenant=acme, now=NOW) as first:
        end(first)
    assert left.exists()
    end(running)
    assert not left.exists()
