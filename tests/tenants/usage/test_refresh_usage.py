from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from scaiwave.clients.scaigrid.client import Usage
from scaiwave.core.change import Change
from scaiwave.core.errors import SettingMissing, UpstreamForbidden
from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.api.scaigrid import build_usage_row
from tenants import jobs
from tenants.models import AuditEntry, Tenant, TokenUsage
from tenants.usage.refresh_usage import refresh_usage
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    make_tenant,
    read_outputs,
    run_command,
)
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.dated,
    pytest.mark.django_db,
    pytest.mark.sandbox(people=3, tenants=4, partners=2, groups=1, seed=7),
]
NOVEMBER = date(2026, 11, 1)


def usage(**tokens: int) -> list[Usage]:
    return [
        Usage(group_key=f"tnt_{slug}", input_tokens=total - 1, output_tokens=1, total_tokens=total)
        for slug, total in tokens.items()
    ]


def refresh(rows: Sequence[Usage], **options: Any) -> Change:
    given = {"operator": HOST_OPERATOR, "now": NOW, "fetch": lambda start, end: rows, **options}
    return refresh_usage(**given)


def read_totals() -> dict[str, int]:
    return dict(TokenUsage.objects.values_list("tenant__slug", "total_tokens"))


@pytest.fixture
def grid(sandbox: Sandbox, settings: Settings) -> Sandbox:
    """A ScaiGrid that this server is configured for."""
    settings.CONFIG = make_config(sandbox, SCAIWAVE_SCAIGRID_URL=sandbox.url)
    return sandbox


def test_success_stored_by_month_with_the_time(tenant: Tenant) -> None:
    result = refresh(usage(acme=120))
    row = TokenUsage.objects.get()
    assert (row.month, row.fetched_at) == (NOVEMBER, NOW)
    assert (row.input_tokens, row.output_tokens, row.total_tokens) == (119, 1, 120)
    assert result.lines == ["Updated 1 tenant: 120 AI tokens in 2026-11 (UTC)."]
    assert result.warnings == []


def test_success_asks_for_the_utc_month_to_date_once() -> None:
    periods = []

    def fetch(start: datetime, end: datetime) -> list[Usage]:
        periods.append((start, end))
        return []

    late = datetime.fromisoformat("2026-12-01T00:30:00+02:00")
    refresh([], fetch=fetch, now=late)
    assert periods == [(datetime(2026, 11, 1, tzinfo=UTC), late)]


def test_success_repeated_updates_the_figures(tenant: Tenant) -> None:
    make_tenant("globex")
    refresh(usage(acme=10, globex=20))
    later = NOW + timedelta(hours=1)
    result = refresh(usage(acme=15), now=later)
    assert read_totals() == {"acme": 15, "globex": 20}
    moments = dict(TokenUsage.objects.values_list("tenant__slug", "fetched_at"))
    assert moments == {"acme": later, "globex": NOW}
    assert result.lines[1] == "ScaiGrid has no usage for 1 other; their stored figures were kept."


def test_success_a_tenant_without_a_row_gets_none(tenant: Tenant) -> None:
    make_tenant("local", scaikey_tenant_id=None)
    result = refresh([])
    assert read_totals() == {}
    assert result.rest["updated_tenants"] == 0
    assert result.rest["tenants_without_usage"] == 1


def test_success_unknown_keys_are_reported(tenant: Tenant) -> None:
    rows = [*usage(acme=1, gone=5), Usage(group_key=None, total_tokens=7)]
    result = refresh(rows)
    assert result.subject["total_tokens"] == 1
    assert result.rest["unknown_group_keys"] == ["", "tnt_gone"]
    assert result.warnings == [
        "ScaiGrid has usage for 2 unknown tenants: (no tenant), tnt_gone. `scaiwave sync` "
        "fetches new tenants."
    ]
    many = refresh(usage(**{f"x{number:02}": 1 for number in range(12)}))
    assert "tnt_x09 and 2 more. " in many.warnings[0]


def test_success_one_audit_row(tenant: Tenant) -> None:
    refresh(usage(acme=3, gone=5))
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_id, entry.subject_name, entry.tenant_slug) == (
        "refresh-usage",
        "2026-11",
        "all tenants 2026-11",
        "",
    )
    assert entry.details == {"month": "2026-11", "updated": 1, "total_tokens": 3, "unknown": 1}


def test_success_dry_run_writes_nothing(tenant: Tenant) -> None:
    result = refresh(usage(acme=3), dry_run=True)
    assert (TokenUsage.objects.count(), AuditEntry.objects.count()) == (0, 0)
    assert result.lines == ["Would update 1 tenant: 3 AI tokens in 2026-11 (UTC)."]
    assert result.dry_run


def test_success_as_many_queries_for_100_tenants_as_for_3() -> None:
    counts = []
    for names in (range(3), range(3, 103)):
        for number in names:
            make_tenant(f"t{number}")
        with CaptureQueriesContext(connection) as queries:
            refresh(usage(**{f"t{number}": number + 1 for number in names}))
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_success_no_network_in_the_transaction() -> None:
    outside = len(connection.savepoint_ids)

    def fetch(start: datetime, end: datetime) -> list[Usage]:
        assert len(connection.savepoint_ids) == outside
        return []

    refresh([], fetch=fetch)


def test_success_the_command_requests_scaigrid_once(grid: Sandbox) -> None:
    ids = list(grid.directory.tenants)
    make_tenant("acme", scaikey_tenant_id=ids[0])
    make_tenant("quiet", scaikey_tenant_id=ids[3])
    document = json.loads(run_command("refresh_usage", "--json"))
    month = document["usage"]["month"]
    total = build_usage_row(grid.seed, ids[0], month)["total_tokens"]
    assert read_totals() == {"acme": total}
    assert (document["updated_tenants"], document["tenants_without_usage"]) == (1, 1)
    assert (document["usage"]["total_tokens"], document["changed"]) == (total, True)
    assert document["unknown_group_keys"] == sorted(ids[1:3])
    assert grid.requests.count("/v1/*") == 1


def test_success_showing_tenants_sends_no_request(grid: Sandbox, tenant: Tenant) -> None:
    month = datetime.now(UTC).date().replace(day=1)
    stale = datetime.now(UTC) - timedelta(days=1)
    TokenUsage.objects.create(
        tenant=Tenant.objects.get(), month=month, total_tokens=5, fetched_at=stale
    )
    for words in (["list_tenants"], ["list_tenants", "--sort=-tokens"], ["show_tenant", "acme"]):
        assert " 5" in run_command(*words)
    assert grid.requests.total == 0


def test_success_the_command_warns_of_unknown_tenants(grid: Sandbox) -> None:
    out, err = read_outputs("refresh_usage")
    assert out.startswith("Updated 0 tenants: 0 AI tokens in ")
    assert err.startswith("Warning: ScaiGrid has usage for 3 unknown tenants: ")


def test_success_the_job(grid: Sandbox) -> None:
    make_tenant("acme", scaikey_tenant_id=next(iter(grid.directory.tenants)))
    assert jobs.refresh_usage()["updated_tenants"] == 1
    assert AuditEntry.objects.get().operator_role == "host"


def test_fail_refusal_of_scaigrid_changes_nothing(grid: Sandbox) -> None:
    grid.scaigrid.permissions.remove("accounting:view_partner")
    with pytest.raises(UpstreamForbidden) as caught:
        run_command("refresh_usage")
    assert "AUTHZ_PERMISSION_DENIED" in caught.value.message
    assert "accounting:view_partner for the usage of all tenants" in caught.value.fix
    assert AuditEntry.objects.count() == 0


def test_fail_without_scaigrid(sandbox: Sandbox, settings: Settings) -> None:
    settings.CONFIG = make_config(sandbox)
    with pytest.raises(SettingMissing) as caught:
        run_command("refresh_usage")
    assert caught.value.message == "ScaiGrid is not configured: SCAIWAVE_SCAIGRID_URL is not set."
