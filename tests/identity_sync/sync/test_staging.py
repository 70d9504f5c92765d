"""Temporary tables on SQLite, and the local IDs of people who are added together."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import RFC_4122

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from identity_sync.sync.apply import write as entities
from identity_sync.sync.staging import copy_rows, temporary_tables
from scaiwave.core.sql import execute, fetch, fetch_one, to_uuid
from scaiwave.sandbox import Sandbox
from tenants.models import Group, GroupMembership, Participant, Partner, Tenant
from tests.identity_sync.sync.helpers import sync

pytestmark = pytest.mark.django_db


def list_plans(queries: CaptureQueriesContext, start: str) -> Iterator[list[str]]:
    """Yield the steps of each statement that begins with these words."""
    for query in list(queries.captured_queries):
        if " ".join(query["sql"].split()).startswith(start):
            plan = fetch(f"EXPLAIN QUERY PLAN {query['sql']}".replace("%", "%%"))
            yield [step for *_, step in plan]


@pytest.mark.only_on("sqlite")
@pytest.mark.usefixtures("scaikey")
def test_success_a_first_sync_reads_each_staged_membership_and_person_once() -> None:
    plans: list[list[str]] = []
    with CaptureQueriesContext(connection) as queries:
        sync(
            on_planned=lambda: plans.extend(
                [
                    *list_plans(queries, "INSERT INTO new_edges"),
                    *list_plans(queries, "INSERT INTO sw_participants"),
                ]
            )
        )
    assert len(plans) == 5
    *edges, people = plans
    for plan in edges:
        assert plan[0] == "SCAN s_e"
        assert all(step.startswith("SEARCH") for step in plan[1:])
    assert "SEARCH s USING INTEGER PRIMARY KEY (rowid=?)" in people


@pytest.mark.only_on("sqlite")
def test_success_a_later_sync_reads_only_the_memberships_of_new_people(synced: Sandbox) -> None:
    synced.directory.add_user(next(iter(synced.directory.tenants)))
    plans: list[list[str]] = []
    with CaptureQueriesContext(connection) as queries:
        sync(on_planned=lambda: plans.extend(list_plans(queries, "INSERT INTO new_edges")))
    (plan,) = [plan for plan in plans if plan[0].startswith("SEARCH d ")]
    assert [step.split("(")[0] for step in plan[1:]] == [
        "SEARCH s_e USING INDEX stage_memberships_member ",
        "SEARCH gm USING INDEX group_map_scaikey_id ",
    ]


@pytest.mark.usefixtures("scaikey")
def test_success_each_new_row_has_a_key_of_version_7() -> None:
    sync()
    models = (Partner, Tenant, Participant, Group, GroupMembership)
    keys = [key for model in models for key in model.objects.values_list("pk", flat=True)]
    assert {(key.version, key.variant) for key in keys} == {(7, RFC_4122)}
    assert len({*keys}) == len(keys)
    with temporary_tables():  # of the next run
        copy_rows("stage_groups", [(1, "g", "t", "name", "")])
        [[key]] = fetch("SELECT new_id FROM stage_groups")
    assert to_uuid(key) not in keys


@pytest.mark.only_on("sqlite")
def test_success_the_database_has_its_own_settings_again() -> None:
    names = ("main.cache_size", "main.secure_delete")
    before = [fetch_one(f"PRAGMA {name}") for name in names]
    with temporary_tables():
        assert fetch_one("PRAGMA main.cache_size") != before[0]
        assert fetch_one("PRAGMA main.secure_delete") == before[1]
        assert fetch_one("PRAGMA temp.secure_delete") == (0,)
    assert [fetch_one(f"PRAGMA {name}") for name in names] == before


@pytest.mark.only_on("sqlite")
@pytest.mark.django_db(transaction=True)
def test_success_temporary_rows_are_kept_in_a_process_with_several_syncs() -> None:
    with temporary_tables():
        execute("CREATE TEMPORARY TABLE many_rows (n integer PRIMARY KEY, text text)")
        execute(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers "
            "WHERE n < 40000) INSERT INTO many_rows SELECT n, hex(zeroblob(100)) FROM numbers"
        )
        execute("UPDATE many_rows SET text = 'changed' || text WHERE n < 5000")
    with transaction.atomic():  # begins in the temporary tables too, and changes nothing there
        pass
    # Read more than fits in the memory for temporary tables, then read again.
    for _ in range(2):
        [changed] = fetch_one("SELECT count(*) FROM many_rows WHERE text LIKE 'changed%%'")
        assert changed == 4999
    execute("DROP TABLE many_rows")


def test_success_the_first_of_several_people_gets_the_preferred_local_id(
    scaikey: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entities, "BATCH", 2)
    tenant = next(iter(scaikey.directory.tenants))
    together = [scaikey.directory.add_user(tenant, email="Same@example.org") for _ in range(6)]
    sync()
    later = scaikey.directory.add_user(tenant, email="same@elsewhere.example")
    sync()
    people = Participant.objects.filter(scaikey_id__in=[*together, later])
    names = dict(people.values_list("scaikey_id", "local_id"))
    assert [key for key, name in names.items() if name == "same"] == [min(together)]
    suffixes = {name.removeprefix("same+") for name in names.values()} - {"same"}
    assert [len(suffix) for suffix in suffixes] == [entities.SUFFIX_CHARS] * 6
