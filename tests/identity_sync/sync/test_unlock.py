"""Who has the lock of syncs, and how to end that session and no other."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection

from identity_sync.errors import SyncLocked, SyncNotUnlocked
from identity_sync.models import LOCK
from identity_sync.sync import lock
from identity_sync.sync.lock import sync_lock
from identity_sync.sync.unlock import unlock_sync
from scaiwave.core.locks import end_lock_holder, find_lock_holder, process_lock
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.sandbox import Sandbox
from tenants.models import AuditEntry
from tests.identity_sync.sync.helpers import USERS
from tests.identity_sync.sync.processes import Server, wait_for
from tests.scaiwave.cli_helpers import run_scaiwave
from tests.scaiwave.lock_helpers import hold_lock_elsewhere

pytestmark = pytest.mark.dated

NAME = f"scaiwave {os.getpid()}@{socket.gethostname()}"


def unlock(**options: Any) -> tuple[dict[str, Any], list[str]]:
    """Return the result as a document, and the questions."""
    asked: list[str] = []
    host = Operator("root", OperatorRole.HOST)
    now = datetime.now(UTC)
    result = unlock_sync(operator=host, confirm=asked.append, now=now, **options)
    return {**result.document(), "sentence": result.sentence}, asked


@pytest.mark.django_db(transaction=True)
def test_success_nothing_to_unlock() -> None:
    result, asked = unlock()
    assert (result["lock"], result["changed"], asked) == (None, False, [])
    assert result["sentence"] == "No sync has the lock; nothing changed."
    assert not AuditEntry.objects.exists()


@pytest.mark.only_on("sqlite")
@pytest.mark.django_db(transaction=True)
def test_fail_the_lock_of_sqlite_ends_with_its_process() -> None:
    with hold_lock_elsewhere(LOCK):
        with pytest.raises(SyncNotUnlocked) as caught:
            unlock()
        with pytest.raises(SyncLocked) as locked, sync_lock():
            pass
        with pytest.raises(SyncLocked) as limited, sync_lock(shows_host=False):
            pass
    assert caught.value.message == f"On SQLite the lock ends with its process: {NAME}."
    assert caught.value.fix == (
        "End the process on its host, with `kill` and its number. `scaiwave sync status` names it."
    )
    assert locked.value.message.startswith(f"Another sync is running: {NAME}, since 20")
    assert limited.value.message == "Another sync is running."


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
class TestPostgresql:
    def test_success_a_session_shows_its_process_as_long_as_it_has_the_lock(self) -> None:
        with connection.cursor() as cursor:

            def read() -> tuple[str, ...]:
                cursor.execute("SELECT current_setting('application_name')")
                return tuple(cursor.fetchone())

            with sync_lock():
                assert read() == (NAME,)
                assert find_lock_holder("other") is None
            assert read() == ("scaiwave",)

    def test_fail_locked_by_a_silent_session(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lock, "MIN_SILENT_SECONDS", 0)
        with hold_lock_elsewhere(LOCK), pytest.raises(SyncLocked) as caught, sync_lock():
            pass
        holder = caught.value.message
        assert holder.startswith(f"Another sync is running: {NAME} (session ")
        assert "silent for 0 s, since 20" in holder
        assert "`scaiwave sync unlock`" in caught.value.fix

    def test_fail_an_operator_of_a_tenant_sees_no_host(self) -> None:
        with (
            hold_lock_elsewhere(LOCK),
            pytest.raises(SyncLocked) as caught,
            sync_lock(shows_host=False),
        ):
            pass
        assert caught.value.message == "Another sync is running."

    def test_fail_another_session_has_got_the_lock(self) -> None:
        """Neither the same process ID nor the lock alone is enough."""
        with hold_lock_elsewhere(LOCK):
            holder = find_lock_holder(LOCK)
            assert holder is not None
        assert not end_lock_holder(LOCK, holder)
        with process_lock("other"), process_lock(LOCK):
            ours = find_lock_holder(LOCK)
            assert ours is not None
            assert not end_lock_holder(LOCK, holder)
            mixed = type(ours)(**{**vars(ours), "backend_start": holder.backend_start})
            assert not end_lock_holder(LOCK, mixed)
            assert find_lock_holder(LOCK) is not None


@pytest.mark.once
@pytest.mark.only_on("postgresql")
@pytest.mark.sandbox(partners=1, tenants=1, people=20, groups=2)
def test_success_ends_exactly_the_session_of_the_sync(server: Server, sandbox: Sandbox) -> None:
    sandbox.faults.add("hang", path=USERS, seconds=30, times=1)
    with server.syncing() as first:
        who = f"scaiwave {first.pid}@{socket.gethostname()} (session "
        second = run_scaiwave("sync")
        assert second.code == 1
        assert second.err.startswith(f"Error: Another sync is running: {who}")
        assert "not silent, since 20" in second.err
        assert f" (manual): {who}" in run_scaiwave("sync", "status", "--no-drift").out
        refused = run_scaiwave("sync", "unlock")
        assert (refused.code, "SW_CONFIRMATION_NEEDED" in refused.err) == (2, True)
        planned = run_scaiwave("sync", "unlock", "--dry-run")
        assert planned.out.startswith(f"Would end the session of {who}")
        assert first.poll() is None
        ended = run_scaiwave("sync", "unlock", "--yes")
        assert (ended.code, ended.out.startswith(f"Ended the session of {who}")) == (0, True)
        first.kill()
    entries = server.rows(
        "SELECT action, subject_name FROM sw_audit_entries WHERE action LIKE '%unlock'"
    )
    assert entries == [("sync unlock", f"scaiwave {first.pid}@{socket.gethostname()}")]
    wait_for(lambda: run_scaiwave("sync").code == 0)
    assert ("failed", "SW_SYNC_INTERRUPTED") in server.runs()
