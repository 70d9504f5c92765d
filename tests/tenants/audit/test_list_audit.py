from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, OperatorRole
from tenants.audit.queries.entries import AuditFilter, follow_audit, list_audit, min_uuid7_at
from tenants.audit.record import record_audit
from tenants.errors import TenantNotFound
from tenants.models import AuditEntry, Participant, Tenant
from tests.refusals import refuses
from tests.tenants.factories import (
    HOST_OPERATOR,
    READ_ONLY_OPERATOR,
    make_partner,
    make_partner_admin,
    make_person,
    make_tenant,
    make_tenant_admin,
    run_command,
)

pytestmark = [pytest.mark.django_db, pytest.mark.dated]

NOW = datetime(2025, 3, 4, 12, 0, tzinfo=UTC)
"""Long ago for every clock: what is younger than now may not be settled."""
ANNA = Operator("Anna@example.com", OperatorRole.SUPER_ADMIN, origin="laptop", subject="usr-anna")


def write(
    number: int, action: str = "update-tenant", tenant: Tenant | None = None, **changes: Any
) -> UUID:
    """An entry of so many minutes after NOW, with an id of that moment."""
    at = NOW + timedelta(minutes=number)
    entry = {"id": min_uuid7_at(at), "at": at, "operator": "root", "operator_role": "host"}
    subject = {"subject_type": "key", "subject_id": f"key{number}", "subject_name": f"Key {number}"}
    if tenant is not None:
        entry |= {"tenant_id": str(tenant.pk), "tenant_slug": tenant.slug}
        subject = {
            "subject_type": "tenant",
            "subject_id": str(tenant.pk),
            "subject_name": tenant.slug,
        }
    return AuditEntry.objects.create(**{**entry, **subject, "action": action, **changes}).pk


def find_entries(by: Operator = HOST_OPERATOR, **only: Any) -> list[UUID]:
    entries, next_id = read_page(by, AuditFilter(**only), limit=100)
    assert next_id is None
    followed = follow_audit(operator=by, filters=AuditFilter(**only))
    assert [row["id"] for row in followed] == [row["id"] for row in reversed(entries)]
    return [row["id"] for row in entries]


def read_page(
    by: Operator = HOST_OPERATOR,
    filters: AuditFilter = AuditFilter(),  # noqa: B008 - it can't be changed
    **options: Any,
) -> tuple[list[dict[str, Any]], UUID | None]:
    page = list_audit(operator=by, filters=filters, **options)
    return list(page), page.next_id


def test_success_who_did_what_to_which_when_and_from_where(tenant: Tenant) -> None:
    entry = record_audit(
        operator=ANNA,
        action="suspend-tenant",
        subject=tenant,
        tenant=tenant,
        now=NOW,
        details={"reason": "unpaid"},
    )
    entries, _ = read_page(limit=1)
    assert entries == [
        {
            "id": entry.pk,
            "created_at": NOW,
            "operator": "Anna@example.com",
            "operator_id": "usr-anna",
            "role": "super_admin",
            "origin": "laptop",
            "action": "suspend-tenant",
            "tenant_id": str(tenant.pk),
            "tenant": "acme",
            "subject_type": "tenant",
            "subject_id": str(tenant.pk),
            "subject": "acme",
            "details": {"reason": "unpaid"},
        }
    ]


def test_success_filters() -> None:
    acme, other = make_tenant(), make_tenant("other")
    one = write(1, "create-tenant", acme)
    two = write(2, "create-tenant", other, operator="Anna@example.com")
    three = write(3, "rotate-key")
    assert find_entries() == [three, two, one]
    assert (
        find_entries(tenant="acme")
        == find_entries(tenant="tnt_acme")
        == find_entries(tenant=str(acme.pk))
        == [one]
    )
    assert find_entries(operator="anna@EXAMPLE.com") == [two]
    assert find_entries(operator="anna") == find_entries(action="create") == []
    assert find_entries(action="create-tenant") == [two, one]
    assert find_entries(subject="ACME") == find_entries(subject=acme.pk.hex.upper()) == [one]
    assert find_entries(subject="key 3") == find_entries(subject="key3") == [three]
    assert find_entries(since=NOW + timedelta(minutes=2)) == [three, two]
    assert find_entries(until=NOW + timedelta(minutes=2)) == [one]
    assert find_entries(action="create-tenant", operator="root") == [one]
    assert find_entries(subject="\0") == find_entries(operator="\ud800") == []


@pytest.mark.parametrize(
    ("only", "index"),
    [
        ({"tenant": "acme"}, "sw_audit_tenant"),
        ({"operator": "root"}, "sw_audit_operator"),
        ({"action": "grant-role"}, "sw_audit_action"),
        ({"subject": "acme"}, "sw_audit_subject_name"),
    ],
)
def test_success_each_filter_has_an_index(only: dict[str, Any], index: str, tenant: Tenant) -> None:
    write(1)
    with CaptureQueriesContext(connection) as queries:
        find_entries(**only)
    sql, *_ = [each["sql"] for each in queries if "sw_audit_entries" in each["sql"]]
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # It would read so small a table as a whole.
            cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute("SET LOCAL enable_indexscan = off")
            cursor.execute(f"EXPLAIN {sql.partition('FOR ')[2] or sql}")
        else:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
        plan = "\n".join(str(step[-1]) for step in cursor.fetchall())
    assert index in plan


def test_success_scope() -> None:
    partner, elsewhere = make_partner(), make_partner("elsewhere")
    acme, zenith = make_tenant(partner=partner), make_tenant("zenith", partner=partner)
    other = make_tenant("other", partner=elsewhere)
    ours = [write(1, tenant=acme), write(2, tenant=zenith)]
    everything = [*ours, write(3, tenant=other), write(4)]
    assert find_entries(READ_ONLY_OPERATOR) == find_entries(HOST_OPERATOR) == everything[::-1]
    assert find_entries(make_partner_admin(partner)) == ours[::-1]
    assert find_entries(make_tenant_admin(acme)) == ours[:1]
    assert find_entries(make_partner_admin(make_partner("new"))) == []
    for name in ("other", str(other.pk)):
        with refuses(TenantNotFound, f"Tenant not found: {name}."):
            find_entries(make_partner_admin(partner), tenant=name)


def test_success_entries_of_a_deleted_tenant_for_platform_operators(tenant: Tenant) -> None:
    entry = write(1, tenant=tenant)
    key = str(tenant.pk)
    Tenant.objects.filter(pk=key).delete()
    assert find_entries(tenant="acme") == find_entries(READ_ONLY_OPERATOR, tenant=key) == [entry]
    assert find_entries(tenant=tenant.pk.hex.upper()) == [entry]
    for operator, name in (
        (make_partner_admin(make_partner()), "acme"),
        (HOST_OPERATOR, "nope"),
        (HOST_OPERATOR, "\0"),
    ):
        with pytest.raises(TenantNotFound):
            find_entries(operator, tenant=name)


def test_success_pages_stay_while_entries_are_added() -> None:
    ids = [write(number) for number in range(5)]
    first, next_id = read_page(limit=2)
    write(6)
    older, next_id = read_page(limit=2, after=next_id)
    oldest, next_id = read_page(limit=2, after=next_id)
    seen = [row["id"] for row in (*first, *older, *oldest)]
    assert (seen, next_id) == (ids[::-1], None)


def test_success_entries_after_an_id() -> None:
    ids = [write(number) for number in range(3)]
    only = AuditFilter()
    first = list(follow_audit(operator=HOST_OPERATOR, filters=only, limit=2))
    assert [row["id"] for row in first] == ids[:2]
    ids.append(write(4))
    rest = follow_audit(operator=HOST_OPERATOR, filters=only, after=first[-1]["id"])
    assert [row["id"] for row in rest] == ids[2:]
    assert list(follow_audit(operator=HOST_OPERATOR, filters=only, after=ids[-1])) == []


def test_success_command(settings: Settings) -> None:
    settings.LOCAL_ZONE = UTC
    tenant = make_tenant()
    changes = [{"field": "max_rooms", "old": None, "new": 3}]
    details = {"changes": changes, "reason": "grew", "empty": None}
    ids = [write(1, tenant=tenant, details=details), write(2, "revoke-role", tenant)]
    write(3, "rotate-key", origin="vm", subject_name="")
    shown = run_command("list_audit", "--details")
    assert [" ".join(line.split()) for line in shown.splitlines()] == [
        "Time Operator From Action Subject Details",
        "2025-03-04 12:03:00 UTC root (host) vm rotate-key key key3 -",
        "2025-03-04 12:02:00 UTC root (host) - revoke-role tenant acme -",
        "2025-03-04 12:01:00 UTC root (host) - update-tenant tenant acme max_rooms null → 3, "
        "reason grew",
    ]
    lines = [
        json.loads(line) for line in run_command("list_audit", "--jsonl", "--limit=2").splitlines()
    ]
    assert [line["id"] for line in lines] == [str(key) for key in ids]
    document = json.loads(run_command("list_audit", "--json", "--limit=1", "--tenant=acme"))
    assert [entry["id"] for entry in document["audit_entries"]] == [str(ids[1])]
    assert document["next_id"] == str(ids[1])
    assert len(run_command("list_audit", "--after", str(ids[1])).splitlines()) == 2


def test_success_details_show_old_and_new_values() -> None:
    """In the form of changes of the federation policy."""
    changed = {"default_mode": ["closed", "open"], "allowed_peers": [[], ["a.example"]]}
    write(1, details={"changed": changed})
    (_, line) = run_command("list_audit", "--details").splitlines()
    assert "default_mode closed → open" in line
    assert 'allowed_peers [] → ["a.example"]' in line


def test_success_times(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LOCAL_ZONE = ZoneInfo("Asia/Tokyo")
    write(1)  # 21:01 in Tokyo
    write(60 * 24)
    for words, count in (
        (["--until", "2025-03-04"], 1),
        (["--until", "2025-03-05"], 2),
        (["--since", "2025-03-05"], 1),
        (["--since", "2025-03-04T21:02", "--until=2025-03-05T21:00"], 0),
        (["--since", "2025-03-04T21:01", "--until=2025-03-05T12:00:01Z"], 2),
        (["--since", "2025-03-04T13:01+01:00", "--until=2025-03-04T12:02Z"], 1),
    ):
        assert len(run_command("list_audit", "--jsonl", *words).splitlines()) == count, words
    later = NOW + timedelta(days=2)
    monkeypatch.setattr("tenants.management.arguments.timezone.now", lambda: later)
    assert len(run_command("list_audit", "--jsonl", "--since=36h").splitlines()) == 1
    assert len(run_command("list_audit", "--jsonl", "--since=3d").splitlines()) == 2
    # It is 21:00 in Tokyo, and the days begin there at 15:00 UTC.
    monkeypatch.setattr("tenants.management.arguments.timezone.now", lambda: NOW)
    for words, count in (
        (["--since", "today"], 2),
        (["--until", "yesterday"], 0),
        (["--until", "today"], 1),
    ):
        assert len(run_command("list_audit", "--jsonl", *words).splitlines()) == count, words
    later = NOW + timedelta(days=1)
    monkeypatch.setattr("tenants.management.arguments.timezone.now", lambda: later)
    for words, count in (
        (["--since", "today"], 1),
        (["--since", "yesterday"], 2),
        (["--until", "yesterday"], 1),
    ):
        assert len(run_command("list_audit", "--jsonl", *words).splitlines()) == count, words


@pytest.mark.parametrize("moment", ["tomorrow", "2026-13-01", "٣d", "9999999d", "9999-12-31", ""])
def test_fail_invalid_time(moment: str) -> None:
    with pytest.raises(UsageError) as caught:
        run_command("list_audit", f"--until={moment}")
    assert caught.value.message == (
        f"Argument --until: {moment!r} is not today, yesterday, a date, a time such as "
        "2026-11-24T09:30, or an age: 90m, 12h, 7d, 2 days ago."
    )


def test_fail_invalid_id() -> None:
    with refuses(UsageError, "Argument --after: invalid UUID value: 'nope'."):
        run_command("list_audit", "--after", "nope")


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_entries_wait_for_uncommitted_earlier_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tenants.audit.queries.entries.CLOCK_TOLERANCE", timedelta(0))
    writer = connection.copy()
    writer.set_autocommit(False)
    try:
        with writer.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id(), now()")
            began: datetime = cursor.fetchone()[1]
        early = write(0)
        late = write(0, id=min_uuid7_at(began + timedelta(milliseconds=1)))
        assert len(read_page(limit=9)[0]) == 2
        only = AuditFilter()
        assert [row["id"] for row in follow_audit(operator=HOST_OPERATOR, filters=only)] == [early]
        writer.rollback()
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.01)")
        assert [row["id"] for row in follow_audit(operator=HOST_OPERATOR, filters=only)] == [
            early,
            late,
        ]
    finally:
        writer.close()


def write_about(person: Participant, number: int = 1) -> UUID:
    subject = {"subject_type": "participant", "subject_id": str(person.pk), "subject_name": ""}
    return write(number, "role grant", person.tenant, **subject)


def test_success_an_entry_about_a_participant_has_an_id_and_no_name(anna: Participant) -> None:
    entry = record_audit(operator=ANNA, action="x", subject=anna, tenant=anna.tenant, now=NOW)
    assert (entry.subject_type, entry.subject_id) == ("participant", str(anna.pk))
    assert entry.subject_name == ""


def test_success_participants_are_shown_by_their_present_name(anna: Participant) -> None:
    key = write_about(anna)
    named = (anna.fqid("localhost"), f"@{anna.local_id}", anna.local_id, anna.scaikey_id)
    for name in ("anna", "ANNA@acme.example", str(anna.pk), *named):
        assert find_entries(subject=str(name)) == [key], name
    assert find_entries(subject=f"@{anna.local_id}:elsewhere.example") == []
    assert "participant Anna" in run_command("list_audit")

    Participant.objects.update(display_name="Renamed", email="")
    assert find_entries(subject="anna") == []
    (row,) = json.loads(run_command("list_audit", "--json"))["audit_entries"]
    assert row["subject"] == "Renamed"
    shown = json.loads(run_command("show_participant", str(anna.pk), "--json"))["participant"]
    assert [entry["subject"] for entry in shown["audit_entries"]] == ["Renamed"]
    write(9, subject_type="syncrun", subject_name="all tenants")
    assert "sync run all tenants" in run_command("list_audit")
    for number, kind, name in ((10, "searchbackfill", "tenant acme, now"), (11, "room", "acme-2")):
        subject = {"subject_type": kind, "subject_id": "1", "subject_name": name}
        write(number, "x", anna.tenant, **subject)
    page = run_command("list_audit")
    for shown in ("search backfill tenant acme, now", "room acme-2, tenant acme"):
        assert f" {shown}\n" in page
        assert f" {shown}\n" in run_command("list_audit", "--subject", shown)
    assert len(find_entries(subject="sync run ALL tenants")) == 1
    assert find_entries(subject="participant Renamed") == [key]
    for other in ("room all tenants", "sync run", "room acme-2, tenant other"):
        assert find_entries(subject=other) == [], other


def test_success_copies_of_the_log_do_not_name_participants(anna: Participant) -> None:
    write_about(anna)
    entry = json.loads(run_command("list_audit", "--jsonl"))
    assert (entry["subject_id"], entry["subject"]) == (str(anna.pk), "")


def test_success_the_names_of_a_filter_are_those_in_scope() -> None:
    acme, globex = make_tenant(), make_tenant("globex")
    here = write_about(make_person(acme))
    elsewhere = write_about(make_person(globex), 2)
    assert find_entries(subject="Anna") == [elsewhere, here]
    assert find_entries(make_tenant_admin(acme), subject="Anna") == [here]
