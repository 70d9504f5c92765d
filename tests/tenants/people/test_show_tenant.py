from __future__ import annotations

import json
from datetime import UTC, date, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from tenants.audit.record import record_audit
from tenants.errors import TenantNotFound
from tenants.models import TokenUsage
from tenants.people.queries import tenants as queries
from tenants.people.queries.tenants import show_tenant
from tests.extensions import Provided
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    make_group,
    make_partner,
    make_person,
    make_tenant,
    run_command,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_upper_applications(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "TENANT_COLUMNS", {})


def show(name: str = "acme") -> dict[str, Any]:
    return show_tenant(operator=HOST_OPERATOR, name=name, now=NOW)


def test_success_limits_beside_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = make_tenant(
        max_participants=10, max_rooms=5, max_storage_mb=2, max_ai_tokens_month=1000
    )
    columns = {"rooms": Provided(lambda ids: {tenant.pk: 3})}
    monkeypatch.setattr(queries, "TENANT_COLUMNS", columns)
    make_person(tenant)
    make_person(tenant, "helper", participant_type="model", scaikey_id=None)
    TokenUsage.objects.create(
        tenant=tenant, month=date(2026, 11, 1), total_tokens=700, fetched_at=NOW
    )
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
    out, err = StringIO(), StringIO()
    call_command("show_tenant", "acme", stdout=out, stderr=err)
    assert "AI tokens this month  91,000 (91%)  100,000\n" in out.getvalue()
    assert err.getvalue() == (
        "AI tokens were fetched from ScaiGrid, just now.\n"
        "Warning: Over 80% of this month's AI tokens are used by acme (91%).\n"
    )
    document = json.loads(run_command("show_tenant", "acme", "--json"))["tenant"]
    assert (document["ai_tokens_month"], document["ai_tokens_share"]) == (91_000, 0.91)
    assert document["ai_tokens_fetched_at"] == now.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_success_inactive_people_are_counted_too() -> None:
    tenant = make_tenant()
    make_person(tenant)
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


def test_success_json_is_one_document() -> None:
    make_tenant(scaikey_tenant_id=None)
    document = json.loads(run_command("show_tenant", "acme", "--json"))
    assert list(document) == ["tenant"]
    assert document["tenant"]["partner"] is None
    assert document["tenant"]["scaikey_tenant_id"] is None


def test_fail_unknown() -> None:
    with pytest.raises(TenantNotFound) as caught:
        run_command("show_tenant", "nope")
    assert caught.value.message == "Tenant not found: nope."
    assert (caught.value.code, caught.value.exit_code) == ("SW_TENANT_NOT_FOUND", 1)
