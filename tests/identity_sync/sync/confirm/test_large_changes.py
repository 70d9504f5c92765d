"""The work of the database for a sync with many changes grows with their number, not faster."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec
import pytest
from django.db import connection, transaction
from pytest_django import Settings

from identity_sync.errors import SyncPartial
from identity_sync.sync.confirm.look_up import Confirmer
from identity_sync.sync.confirm.memberships import EdgeConfirmer
from scaiwave.core.sql import fetch_one
from scaiwave.sandbox import Sandbox
from tenants.models import Participant
from tests.identity_sync.sync.helpers import (
    LONG_AGO,
    get_tenant_id,
    list_groups,
    list_people,
    sync,
)
from tests.tenants.fake_scaikey import make_config

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

SMALL, LARGE = 250, 1000
STEPS = 20
"""SQLite calls the progress handler after so many instructions of one statement."""

ROWS_READ = (
    "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) "
    "FROM pg_stat_xact_user_tables"
)


@contextmanager
def measured_work() -> Iterator[Callable[[], int]]:
    """Count what the database has done so far in this context.

    That is instructions on SQLite. On PostgreSQL it is rows read, also of temporary tables as long
    as these exist.
    """
    if connection.vendor == "postgresql":
        before = int(fetch_one(ROWS_READ)[0])
        yield lambda: int(fetch_one(ROWS_READ)[0]) - before
        return
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += STEPS

    connection.connection.set_progress_handler(count, STEPS)
    try:
        yield lambda: steps
    finally:
        connection.connection.set_progress_handler(None, 0)


def measure(**options: Any) -> int:
    """Return the work of a sync, of which a part may be skipped."""
    work: list[int] = []
    with measured_work() as count, suppress(SyncPartial):
        sync(on_planned=lambda: work.append(count()), allow_no_super_admin=True, **options)
    [number] = work
    return number


def update_statistics() -> None:
    """Let PostgreSQL know how many rows its tables have, as it does by itself after a sync.

    Without it, plans depend on when it last looked at the tables of the tests before.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"ANALYZE {', '.join(connection.introspection.table_names(cursor))}")


def assert_linear(
    settings: Settings,
    change: Callable[[Sandbox], None],
    run: Callable[[], int],
    *,
    people_of_tenant: int = 20,
) -> None:
    """Assert that four times the directory takes not clearly more than four times the work."""
    works = []
    for people in (SMALL, LARGE):
        sandbox = Sandbox(
            partners=2, tenants=people // people_of_tenant, people=people, groups=people // 10
        )
        with sandbox, transaction.atomic():
            settings.CONFIG = make_config(
                sandbox, SCAIWAVE_SYNC_REMOVAL_LIMIT="0", SCAIWAVE_SYNC_REMOVAL_SHARE="0.4"
            )
            for person in list_people(sandbox)[::2]:
                sandbox.directory.set_roles(person["id"], ["editor"])
            sync()
            change(sandbox)
            update_statistics()
            works.append(run())
            transaction.set_rollback(True)
    assert works[0] > 1000
    assert works[1] < 6 * works[0]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """What each batch reads as a whole is then read often.

    PostgreSQL would read a table of a few pages as a whole, whatever its indexes.
    """
    if connection.vendor == "postgresql":
        return
    monkeypatch.setattr(Confirmer, "batch_size", 20)
    monkeypatch.setattr(EdgeConfirmer, "batch_size", 5)


def change_a_third(sandbox: Sandbox) -> None:
    """Move people who are suspended manually; take roles and memberships from others."""
    directory = sandbox.directory
    tenants, people = list(directory.tenants), list_people(sandbox)
    for number, person in enumerate(people[::3]):
        position = tenants.index(get_tenant_id(person)) + 1 + number % 3
        directory.move_user(person["id"], tenants[position % len(tenants)])
    for person in people[2::6]:
        directory.set_roles(person["id"], [])
    for group in list_groups(sandbox):
        for text in directory.list_members(group["id"], 0, 1)[0]:
            member = msgspec.json.decode(text)
            directory.remove_member(
                group["id"],
                user_id=member.get("user_id"),
                member_group_id=member.get("group_id"),
            )
    Participant.objects.update(suspended_by_hand_at=LONG_AGO)


def test_success_people_roles_and_memberships(settings: Settings) -> None:
    assert_linear(settings, change_a_third, lambda: measure(allow_removals=10**6))


def test_success_removals_are_turned_off_again(settings: Settings) -> None:
    def run() -> int:
        measure(removals=False)
        return measure(removals=False)

    assert_linear(settings, change_a_third, run)


@pytest.mark.only_on("sqlite")
def test_success_many_tenants_are_skipped(settings: Settings) -> None:
    def halve_tenants(sandbox: Sandbox) -> None:
        people: defaultdict[str, list[str]] = defaultdict(list)
        for person in list_people(sandbox):
            people[get_tenant_id(person)].append(person["id"])
        for tenant_id in list(sandbox.directory.tenants)[::2]:
            for person_id in people[tenant_id][::2]:
                sandbox.directory.remove_user(person_id)

    assert_linear(settings, halve_tenants, measure, people_of_tenant=5)


@pytest.mark.only_on("sqlite")
def test_success_many_tenants_return(settings: Settings) -> None:
    def remove_tenants(sandbox: Sandbox) -> None:
        tenants = dict(sandbox.directory.tenants)
        for tenant_id in list(tenants)[::3]:
            sandbox.directory.remove_tenant(tenant_id)
        sync(allow_removals=10**6)
        sandbox.directory.tenants = tenants
        sandbox.directory.clear_cache()

    assert_linear(settings, remove_tenants, measure, people_of_tenant=2)
