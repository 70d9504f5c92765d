from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime
from functools import partial
from io import StringIO
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator
from tenants.audit.record import record_audit
from tenants.errors import PartnerNotFound, TenantNotFound
from tenants.models import Participant, Partner, Tenant, TokenUsage
from tenants.people.queries import tenants as queries
from tenants.people.queries.tenants import list_tenants, show_tenant
from tests.extensions import Provided
from tests.refusals import refuses
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    READ_ONLY_OPERATOR,
    make_group,
    make_partner,
    make_partner_admin,
    make_person,
    make_tenant,
    make_tenant_admin,
    read_outputs,
    run_command,
)
from tests.tenants.helpers import assert_members_are_counted_by_their_index

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
NOVEMBER = NOW.date().replace(day=1)


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[Tenant, Any]]:
    """The values of other apps, by column and tenant; empty at first."""
    values: dict[str, dict[Tenant, Any]] = {}

    def provide(ids: Any, *, name: str) -> dict[Any, Any]:
        return {tenant.pk: value for tenant, value in values.get(name, {}).items()}

    columns = {name: Provided(partial(provide, name=name)) for name in ("rooms", "storage_bytes")}
    monkeypatch.setattr(queries, "TENANT_TOTALS", columns)
    return values


def slugs(operator: Operator = HOST_OPERATOR, **options: Any) -> list[str]:
    return [row["slug"] for row in list_tenants(operator=operator, now=NOW, **options)]


def use_tokens(tenant: Tenant, total: int, month: date = NOVEMBER) -> None:
    TokenUsage.objects.create(tenant=tenant, month=month, total_tokens=total, fetched_at=NOW)


def test_success_members_are_the_active_people(tenant: Tenant) -> None:
    make_person(tenant, "anna")
    make_person(tenant, "berta", scaikey_status="SUSPENDED")
    make_person(tenant, "carla", absent_since=EARLIER)
    make_person(tenant, "helper", participant_type="model", scaikey_id=None)
    assert [row["members"] for row in list_tenants(operator=HOST_OPERATOR, now=NOW)] == [1]


def test_success_tokens_of_this_month_only() -> None:
    acme, globex = make_tenant("acme"), make_tenant("globex")
    use_tokens(acme, 7)
    use_tokens(globex, 9, month=date(2026, 10, 1))
    rows = list_tenants(operator=HOST_OPERATOR, now=NOW)
    assert [row["ai_tokens_month"] for row in rows] == [7, None]


def test_success_sorted_with_the_unknown_last_either_way(
    columns: dict[str, dict[Tenant, Any]],
) -> None:
    small, big, unknown, same = (make_tenant(name) for name in ("c", "b", "a", "d"))
    columns["storage_bytes"] = {small: 1, same: 1, big: 5}
    assert slugs(sort="storage") == ["c", "d", "b", "a"]
    assert slugs(sort="-storage") == ["b", "c", "d", "a"]
    assert slugs(sort="storage", reverse=True) == ["b", "c", "d", "a"]
    assert slugs(sort="-storage", reverse=True) == ["c", "d", "b", "a"]
    assert unknown.slug == slugs(sort="rooms")[0]


def test_success_names_sort_as_people_read_them() -> None:
    for slug, name in (("a", "beta"), ("b", "Alpha"), ("c", "Gamma")):
        make_tenant(slug, name=name)
    assert slugs(sort="name") == ["b", "a", "c"]


def test_success_as_many_members_in_the_order_of_the_slugs() -> None:
    empty, small, same, large = (make_tenant(name) for name in ("b", "d", "c", "a"))
    for tenant, number in ((small, 1), (same, 1), (large, 3)):
        for name in range(number):
            make_person(tenant, f"{tenant.slug}-{name}")
    make_person(empty, scaikey_status="SUSPENDED")
    assert slugs(sort="members") == ["b", "c", "d", "a"]
    assert slugs(sort="-members") == ["a", "c", "d", "b"]
    assert slugs(sort="-members", limit=2) == ["a", "c"]


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("sort", ["slug", "members"])
def test_success_members_are_counted_by_their_index(sort: str, anna: Participant) -> None:
    with CaptureQueriesContext(connection) as queries:
        list(list_tenants(operator=HOST_OPERATOR, now=NOW, sort=sort))
    assert_members_are_counted_by_their_index(queries)


def test_success_only_the_first_tenants_are_read() -> None:
    for number in range(3):
        make_tenant(f"t{number}")
    with CaptureQueriesContext(connection) as queries:
        assert slugs(limit=1) == ["t0"]
    assert queries[0]["sql"].endswith("LIMIT 1")


def test_success_by_status_and_partner(partner: Partner) -> None:
    make_tenant("active", partner=partner)
    make_tenant("suspended", scaikey_status="SUSPENDED")
    make_tenant("absent", absent_since=EARLIER, partner=partner)
    assert slugs() == ["absent", "active", "suspended"]
    assert slugs(status="suspended") == ["suspended"]
    assert slugs(status="inactive") == ["absent", "suspended"]
    for name in ("northwind", "prt_northwind", str(partner.pk)):
        assert slugs(partner=name) == ["absent", "active"]


def test_success_scope(partner: Partner) -> None:
    ours = make_tenant("ours", partner=partner)
    make_tenant("beside", partner=partner)
    make_tenant("theirs")
    assert slugs(READ_ONLY_OPERATOR) == ["beside", "ours", "theirs"]
    assert slugs(make_partner_admin(partner)) == ["beside", "ours"]
    assert slugs(make_tenant_admin(ours)) == ["ours"]
    make_person(ours)
    assert slugs(READ_ONLY_OPERATOR, sort="-members") == ["ours", "beside", "theirs"]
    assert slugs(make_partner_admin(partner), sort="-members") == ["ours", "beside"]
    assert slugs(make_tenant_admin(ours), sort="-members", status="suspended") == []


def test_success_as_many_queries_for_30_tenants_as_for_3() -> None:
    counts = []
    for names in (range(3), range(3, 30)):
        for number in names:
            tenant = make_tenant(f"t{number}", partner=make_partner(f"p{number}"))
            make_person(tenant)
            use_tokens(tenant, number)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            list(list_tenants(operator=HOST_OPERATOR, now=NOW, sort="partner"))
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 7


def test_success_plain_table(columns: dict[str, dict[Tenant, Any]]) -> None:
    acme = make_tenant("acme", name="Acme Corp", partner=make_partner())
    make_tenant("lab", name="Łab")
    make_person(acme)
    columns["rooms"] = {acme: 12345}
    columns["storage_bytes"] = {acme: 1536}
    assert run_command("list_tenants") == (
        "Slug  Name       Members   Rooms  Storage  AI tokens MTD  Status  Partner\n"
        "acme  Acme Corp        1  12,345  1.5 KiB              -  active  northwind\n"
        "lab   Łab              0       -        -              -  active  -\n"
    )


def test_success_json_has_raw_bytes(columns: dict[str, dict[Tenant, Any]]) -> None:
    acme = make_tenant("acme", partner=make_partner())
    columns["storage_bytes"] = {acme: 1536}
    [row] = json.loads(run_command("list_tenants", "--json"))["tenants"]
    assert (row["id"], row["storage_bytes"], row["rooms"]) == (str(acme.pk), 1536, None)
    assert row["partner"]["scaikey_id"] == "prt_northwind"
    assert row["created_at"] == "2026-11-01T08:30:00Z"


def test_success_columns_that_no_app_registered_are_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queries, "TENANT_TOTALS", {})
    make_tenant()
    row = next(iter(list_tenants(operator=HOST_OPERATOR, now=NOW)))
    assert (row["rooms"], row["storage_bytes"]) == (None, None)


def test_success_near_a_limit() -> None:
    near = make_tenant("near", max_participants=5, max_ai_tokens_month=1000)
    over = make_tenant("over", max_participants=1, max_rooms=10)
    below = make_tenant("below", max_participants=6, max_ai_tokens_month=1000)
    make_tenant("unlimited")
    make_tenant("closed", max_participants=0)
    for tenant, number in ((near, 4), (over, 2), (below, 4)):
        for name in range(number):
            make_person(tenant, f"{tenant.slug}-{name}")
    make_person(near, "gone", absent_since=EARLIER)
    for month in {NOVEMBER, datetime.now(UTC).date().replace(day=1)}:  # The command has a clock.
        use_tokens(near, 799, month)
        use_tokens(below, 790, month)
    assert slugs(near_limit=True) == ["near", "over"]
    assert slugs(near_limit=True, limit=1, sort="-slug") == ["over"]
    assert slugs(make_tenant_admin(below), near_limit=True) == []
    out = run_command("list_tenants", "--near-limit", "--csv")
    assert [
        (row["slug"], row["participants_percent"], row["rooms_percent"], row["ai_tokens_percent"])
        for row in csv.DictReader(StringIO(out))
    ] == [("near", "80", "", "79"), ("over", "200", "", "")]
    assert "Participants %" in run_command("list_tenants", "--near-limit")
    page = json.loads(run_command("list_tenants", "--near-limit", "--limit=1", "--json"))
    assert (page["next_id"], page["total"]) == (str(near.pk), None)


def test_success_a_cut_list_names_its_total(capsys: pytest.CaptureFixture[str]) -> None:
    ids = {slug: str(make_tenant(slug).pk) for slug in ("a", "b", "c")}
    call_command("list_tenants", "--limit=2")
    assert f"2 of 3 tenants. More: add --after {ids['b']}\n" in capsys.readouterr().err
    call_command("list_tenants", "--limit=2", f"--after={ids['b']}", "--json")
    document = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in document["tenants"]] == [ids["c"]]
    assert (document["next_id"], document["total"]) == (None, 3)
    with pytest.raises(CommandError, match="Not in this list"):
        call_command("list_tenants", f"--after={UUID(int=0)}")
    assert capsys.readouterr().out == ""


def test_success_no_tenants() -> None:
    assert json.loads(run_command("list_tenants", "--json")) == {
        "tenants": [],
        "next_id": None,
        "total": 0,
    }
    assert run_command("list_tenants") == ""


def test_fail_unknown_column() -> None:
    with pytest.raises(UsageError) as caught:
        slugs(sort="-size")
    assert caught.value.message == "Unknown sort column: size."
    assert caught.value.fix == (
        "Sort by one of slug, name, status, partner, members, rooms, storage, tokens. Put a minus "
        "before it to reverse the order: --sort=-members."
    )


def test_fail_unknown_partner() -> None:
    with refuses(PartnerNotFound, "Partner not found: unknown."):
        run_command("list_tenants", "--partner", "unknown")


def test_success_partner_without_slug_is_shown_by_its_scaikey_id() -> None:
    make_tenant("acme", partner=make_partner(slug="", scaikey_id="prt-7"))
    for command in (("list_tenants",), ("show_tenant", "acme")):
        output = run_command(*command)
        assert "prt-7" in output
        assert "Northwind" not in output


@pytest.fixture(autouse=True)
def _no_upper_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "TENANT_TOTALS", {})


def show(name: str = "acme") -> dict[str, Any]:
    return show_tenant(operator=HOST_OPERATOR, name=name, now=NOW)


def test_success_limits_beside_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = make_tenant(
        max_participants=10, max_rooms=5, max_storage_mb=2, max_ai_tokens_month=1000
    )
    columns = {"rooms": Provided(lambda ids: {tenant.pk: 3})}
    monkeypatch.setattr(queries, "TENANT_TOTALS", columns)
    make_person(tenant)
    make_person(tenant, "helper", participant_type="model", scaikey_id=None)
    TokenUsage.objects.create(tenant=tenant, month=NOVEMBER, total_tokens=700, fetched_at=NOW)
    assert show()["limits"] == {
        "participants": {"used": 2, "limit": 10},
        "rooms": {"used": 3, "limit": 5},
        "storage_bytes": {"used": None, "limit": 2 * 1024 * 1024},
        "ai_tokens_month": {"used": 700, "limit": 1000},
    }


def test_success_tokens_have_an_age_and_a_mark() -> None:
    tenant = make_tenant(max_ai_tokens_month=100_000)
    now = datetime.now(UTC)
    TokenUsage.objects.create(
        tenant=tenant, month=now.date().replace(day=1), total_tokens=91_000, fetched_at=now
    )
    out, err = read_outputs("show_tenant", "acme")
    assert "AI tokens this month  91,000 (91%)  100,000\n" in out
    assert err == (
        "AI tokens were fetched from ScaiGrid, just now.\n"
        "Warning: Over 80% of this month's AI tokens are used by acme (91%).\n"
    )
    document = json.loads(run_command("show_tenant", "acme", "--json"))["tenant"]
    assert (document["ai_tokens_month"], document["ai_tokens_share"]) == (91_000, 0.91)
    assert document["ai_tokens_fetched_at"] == now.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_success_inactive_people_are_counted_too(tenant: Tenant, anna: Participant) -> None:
    make_person(tenant, "berta", suspended_by_hand_at=EARLIER)
    make_person(tenant, "carla", absent_since=EARLIER)
    make_person(tenant, "bot", participant_type="agent", scaikey_id=None)
    make_group(tenant)
    make_group(tenant, "Old", absent_since=EARLIER)
    make_person(make_tenant("other"))
    found = show()
    assert found["participants"] == [
        {"type": "agent", "active": 1, "suspended": 0, "deactivated": 0},
        {"type": "human", "active": 1, "suspended": 1, "deactivated": 1},
    ]
    assert (found["members"], found["groups"]) == (1, {"active": 1, "deactivated": 1})


def test_success_last_ten_audit_entries_newest_first() -> None:
    tenant, other = make_tenant(), make_tenant("other")
    for day in range(1, 13):
        record_audit(
            operator=HOST_OPERATOR,
            action=f"act-{day}",
            subject=tenant,
            tenant=tenant,
            now=NOW.replace(day=day),
        )
    record_audit(operator=HOST_OPERATOR, action="elsewhere", subject=other, tenant=other, now=NOW)
    actions = [entry["action"] for entry in show()["audit_entries"]]
    assert actions == [f"act-{day}" for day in range(12, 2, -1)]


def test_success_plain_text() -> None:
    partner = make_partner(scaikey_status="SUSPENDED")
    tenant = make_tenant(
        partner=partner, absent_since=EARLIER, max_storage_mb=2048, features={"ai.models": True}
    )
    make_person(tenant)
    record_audit(
        operator=HOST_OPERATOR, action="link-tenant", subject=tenant, tenant=tenant, now=NOW
    )
    assert run_command("show_tenant", "acme") == (
        "Slug        acme\n"
        "Name        Acme\n"
        f"ID          {tenant.pk}\n"
        "ScaiKey ID  tnt_acme\n"
        "Status      removed from ScaiKey on 2026-11-01\n"
        "Partner     northwind (suspended in ScaiKey)\n"
        "Contact     -\n"
        "Members     1\n"
        "Groups      0\n"
        'Features    {"ai.models": true}\n'
        "Removals    by syncs: on\n"
        "Created     2026-11-01 08:30:00 UTC\n"
        "Changed     2026-11-01 08:30:00 UTC\n"
        "\n"
        "Limits\n"
        "Limit                 Used  Maximum\n"
        "Active participants   1     no limit\n"
        "Rooms                 -     no limit\n"
        "Storage               -     2.0 GiB\n"
        "AI tokens this month  -     no limit\n"
        "\n"
        "Participants\n"
        "Type   Active  Suspended  Deactivated\n"
        "human       1          0            0\n"
        "\n"
        "Recent changes\n"
        "Time                     Operator  Action       Subject\n"
        "2026-11-24 12:00:00 UTC  root      link-tenant  acme\n"
    )


def test_fail_unknown() -> None:
    with refuses(TenantNotFound, "Tenant not found: nope.") as caught:
        run_command("show_tenant", "nope")
    assert (caught.value.code, caught.value.exit_code) == ("SW_TENANT_NOT_FOUND", 1)
