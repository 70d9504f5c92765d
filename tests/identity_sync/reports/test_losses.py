"""Who lost access through syncs, across runs, and why."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from identity_sync.models import SyncChange, SyncChangeValues, SyncRun
from identity_sync.reasons import Loss
from identity_sync.reports import losses as reports
from identity_sync.reports.losses import get_loss_history, list_losses
from identity_sync.reports.runs import list_changes
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator
from scaiwave.sandbox import Sandbox
from tenants.audit.queries.entries import min_uuid7_at
from tenants.errors import ParticipantNotFound, TenantNotFound
from tenants.models import Participant, Partner, Tenant
from tests.identity_sync.sync.helpers import list_groups, list_people_of_tenant, sync
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    make_partner,
    make_partner_admin,
    make_person,
    make_tenant,
    read_outputs,
    run_command,
)
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=60, groups=12),
]


@pytest.fixture
def scaikey(sandbox: Sandbox, settings: Settings) -> Sandbox:
    settings.CONFIG = make_config(sandbox)
    return sandbox


def read_losses(operator: Operator = HOST_OPERATOR, **filters: Any) -> list[dict[str, Any]]:
    limit = filters.pop("limit", None)
    return list(list_losses(operator=operator, **filters, limit=limit))


def pick(rows: list[dict[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    """Return these values of the rows, sorted."""
    values = [tuple(row[name] for name in names) for row in rows]
    return sorted(values, key=lambda row: [str(value) for value in row])


def make_run(**fields: Any) -> SyncRun:
    values = {"operator": "ops", "outcome": "applied", "started_at": NOW, "ended_at": NOW}
    return SyncRun.objects.create(**{**values, **fields})


def make_loss(run: SyncRun, person: Participant, at: datetime | None = None) -> SyncChange:
    key = {} if at is None else {"id": UUID(int=min_uuid7_at(at).int + person.pk.int % 2**64)}
    return SyncChange.objects.create(
        run=run,
        kind="participants",
        action="deactivate",
        tenant=person.tenant,
        subject_id=person.pk,
        subject_scaikey_id=str(person.scaikey_id),
        subject_name=person.display_name,
        reason_code="removed",
        **key,
    )


def test_success_each_loss_of_a_person(scaikey: Sandbox) -> None:
    source, target, *_ = scaikey.directory.tenants
    slugs = [scaikey.directory.tenants[key]["slug"] for key in (source, target)]
    group = next(row for row in list_groups(scaikey) if row["tenant_id"] == source)
    rows = map(msgspec.json.decode, scaikey.directory.list_members(group["id"], 0, 10**6)[0])
    member = next(row["user_id"] for row in rows if row.get("user_id"))
    people = [row["id"] for row in list_people_of_tenant(scaikey, source) if row["id"] != member]
    removed, suspended, moved, degraded = people[:4]
    scaikey.directory.set_roles(degraded, ["admin", "editors", "auditors"])
    sync()
    scaikey.directory.remove_user(removed)
    scaikey.directory.suspend_user(suspended)
    scaikey.directory.move_user(moved, target)
    scaikey.directory.set_roles(degraded, ["editors", "readers"])
    scaikey.directory.remove_member(group["id"], user_id=member)
    run_id = sync().run_id
    assert run_id is not None

    losses = [row for row in read_losses() if row["scaikey_id"] in (*people[:4], member)]
    names = ("loss", "scaikey_id", "role", "new_tenant", "reason", "is_back")
    of_them = [row for row in losses if row["loss"] != "group-left"]
    granted, gone = "no longer granted in ScaiKey", "removed from ScaiKey"
    assert pick(of_them, *names) == [
        ("moved", moved, None, slugs[1], "moved to another tenant", False),
        ("removed", removed, None, None, gone, False),
        ("role-taken", degraded, "admin", None, granted, False),
        ("role-taken", degraded, "auditors", None, granted, False),
        ("suspended", suspended, None, None, "suspended in ScaiKey", False),
    ]
    (left,) = [row for row in losses if row["scaikey_id"] == member]
    person = Participant.objects.get(scaikey_id=member)
    assert (left["loss"], left["group"], left["subject_id"]) == (
        "group-left",
        group["name"],
        person.pk,
    )
    assert (left["subject"], left["email"]) == (person.display_name, person.email)
    assert {row["run_id"] for row in losses} == {run_id}
    assert {row["tenant"] for row in losses} == {slugs[0]}

    # The same losses are those of the run.
    of_run = list_changes(operator=HOST_OPERATOR, run_id=run_id, action="loss", limit=None)
    subjects = [row["scaikey_id"].rpartition(" ")[2] for row in of_run]
    assert set(subjects) == {row["scaikey_id"] for row in read_losses()}

    # All come back but one, who is found by each name and in the tenant that they left.
    scaikey.directory.update_user(suspended, status="ACTIVE")
    scaikey.directory.set_roles(degraded, ["admin", "editors", "readers"])
    scaikey.directory.add_member(group["id"], user_id=member)
    sync()
    back = {row["scaikey_id"] for row in read_losses() if row["is_back"]}
    assert back == {suspended, degraded, member}
    roles = read_losses(participant=degraded)
    assert pick(roles, "role", "is_back") == [("admin", True), ("auditors", False)]
    assert ("moved",) in pick(read_losses(participant=moved), "loss")
    assert ("moved",) in pick(read_losses(participant=moved, tenant=slugs[0]), "loss")
    assert pick(read_losses(participant=person.email), "loss") == [("group-left",)]
    Participant.objects.filter(pk=person.pk).update(purged_at=NOW)
    assert pick(read_losses(participant=str(person.pk)), "loss", "group") == [("group-left", None)]
    assert read_losses(participant=suspended, tenant=slugs[0])
    for loss in Loss:
        assert {row["loss"] for row in read_losses(loss=loss)} <= {loss}
    assert pick(read_losses(loss=Loss.SUSPENDED), "scaikey_id") == [(suspended,)]


def test_success_losses_with_a_tenant_and_a_partner(synced: Sandbox) -> None:
    tenant = Tenant.objects.order_by("slug")[0]
    partner = Partner.objects.get(tenants=tenant)
    tenant_key, partner_key = str(tenant.scaikey_tenant_id), str(partner.scaikey_id)
    person = Participant.objects.filter(tenant=tenant, scaikey_status="ACTIVE")[0]
    number = Participant.objects.filter(tenant=tenant, scaikey_status="ACTIVE").count()
    synced.directory.update_tenant(tenant_key, status="SUSPENDED")
    sync(allow_removals=10**6)
    synced.directory.update_partner(partner_key, status="SUSPENDED")
    sync(allow_removals=10**6)

    (partner_loss, tenant_loss) = read_losses(participant=person.scaikey_id)
    assert (tenant_loss["loss"], tenant_loss["people"]) == ("tenant-suspended", number)
    assert (tenant_loss["subject_id"], tenant_loss["tenant"]) == (tenant.pk, tenant.slug)
    assert (partner_loss["loss"], partner_loss["tenant"]) == ("partner-suspended", None)
    assert (partner_loss["is_back"], tenant_loss["is_back"]) == (False, False)
    text = run_command("sync_losses")
    assert f"tenant {tenant_loss['subject']}" in text
    assert f"sign-in of {number} people" in text
    assert "sign-in of its tenants" in text

    # Its administrator sees the loss of the tenant only.
    admin = make_partner_admin(partner)
    assert pick(read_losses(admin), "loss") == [("tenant-suspended",)]

    synced.directory.update_tenant(tenant_key, status="ACTIVE")
    synced.directory.update_partner(partner_key, status="ACTIVE")
    sync()
    assert all(row["is_back"] for row in read_losses())
    synced.directory.remove_tenant(tenant_key)
    sync(allow_removals=10**6)
    assert read_losses(loss=Loss.TENANT_REMOVED)[0]["subject_id"] == tenant.pk
    assert {row["reason"] for row in read_losses(loss=Loss.REMOVED)} == {
        "its tenant was removed from ScaiKey"
    }


def test_success_people_who_were_resumed_are_not_listed(scaikey: Sandbox) -> None:
    person = list_people_of_tenant(scaikey, next(iter(scaikey.directory.tenants)))[0]["id"]
    scaikey.directory.suspend_user(person)
    sync()
    scaikey.directory.update_user(person, status="ACTIVE", display_name="Anna")
    scaikey.directory.set_roles(person, ["editors"])
    sync()
    assert SyncChange.objects.filter(fields__contains="scaikey_status").exists()
    assert read_losses() == []


def test_success_scope() -> None:
    north, south = make_partner("north"), make_partner("south")
    anna = make_person(make_tenant("acme", partner=north))
    bo = make_person(make_tenant("lab", partner=south), "bo")
    run = make_run()
    make_loss(run, anna)
    make_loss(run, bo)
    assert pick(read_losses(), "tenant") == [("acme",), ("lab",)]
    admin = make_partner_admin(north)
    assert pick(read_losses(admin), "subject_id") == [(anna.pk,)]
    with pytest.raises(TenantNotFound):
        read_losses(admin, tenant="lab")
    with pytest.raises(ParticipantNotFound):
        read_losses(admin, participant=str(bo.pk))


def test_success_periods_and_the_newest_first(settings: Settings) -> None:
    tenant, run = make_tenant(), make_run()
    days = [datetime(2026, 11, day, 12, tzinfo=UTC) for day in (22, 23, 24)]
    people = [make_person(tenant, name) for name in ("anna", "bo", "cleo")]
    for person, day in zip(people, days, strict=True):
        make_loss(run, person, day)
    assert [row["lost_at"] for row in read_losses()] == days[::-1]
    assert [row["lost_at"] for row in read_losses(limit=2)] == days[:0:-1]
    assert pick(read_losses(since=days[1]), "lost_at") == [(days[1],), (days[2],)]
    assert pick(read_losses(until=days[1]), "lost_at") == [(days[0],)]
    long_ago = datetime(1, 1, 2, tzinfo=UTC)
    assert (len(read_losses(since=long_ago)), read_losses(until=long_ago)) == (3, [])
    document = json.loads(run_command("sync_losses", "--since=2026-11-23", "--json"))
    assert [row["subject_id"] for row in document["losses"]] == [
        str(person.pk) for person in (people[2], people[1])
    ]
    text = run_command("sync_losses", "--until", "2026-11-22", "--limit", "1")
    assert len(text.splitlines()) == 2
    (line,) = csv.DictReader(io.StringIO(run_command("sync_losses", "--until=2026-11-22", "--csv")))
    assert (line["loss"], line["run_id"]) == ("removed", str(run.pk))


@pytest.mark.parametrize("command", ["sync_losses", "list_audit", "export_audit"])
@pytest.mark.parametrize(
    "words", [("--since=2025-11-24", "--until=2025-11-22"), ("--since=2999-01-01",)]
)
def test_fail_a_period_that_contains_nothing(command: str, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="--since is "):
        run_command(command, *words)


def read_notes() -> str:
    return read_outputs("sync_losses")[1]


def test_success_how_far_back_the_history_reaches(settings: Settings) -> None:
    history = get_loss_history(operator=HOST_OPERATOR, now=NOW)
    assert (history.begins_at, history.values_begin_at) == (None, None)
    assert read_notes() == "No losses.\nNo sync has run yet.\n"
    settings.LOCAL_ZONE = UTC
    make_run(started_at=datetime(2026, 1, 2, 3, tzinfo=UTC))
    make_run()
    history = get_loss_history(operator=HOST_OPERATOR, now=NOW)
    assert history.values_begin_at == NOW - timedelta(days=30)
    note = read_notes()
    assert "The history begins on 2026-01-02 03:00, suspensions and roles on " in note
    assert "The first sync of a tenant is recorded as counts only." in note


def test_success_without_stored_values(synced: Sandbox) -> None:
    """What can't be known is left out: it might as well be the end of a suspension."""
    person = list_people_of_tenant(synced, next(iter(synced.directory.tenants)))[0]["id"]
    synced.directory.suspend_user(person)
    sync()
    assert pick(read_losses(), "loss") == [("suspended",)]
    SyncChangeValues.objects.all().delete()
    assert read_losses() == []


def test_success_few_queries_for_many_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant, run = make_tenant(), make_run()
    people = [make_person(tenant, f"p{number}") for number in range(30)]
    for person in people:
        make_loss(run, person)
    with CaptureQueriesContext(connection) as queries:
        assert len(read_losses()) == 30
    assert len(queries) <= 4
    monkeypatch.setattr(reports, "BATCH_SIZE", 7)
    assert len({row["subject_id"] for row in read_losses()}) == 30
    assert len(read_losses(limit=8)) == 8
