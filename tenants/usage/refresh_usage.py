"""Fetch how many AI tokens each tenant has used from ScaiGrid, and store it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from django.db import transaction

from scaiwave.config import Configuration
from scaiwave.core.change import ChangeResult
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.lookup.serializers import Row
from tenants.models import Tenant, TokenUsage
from tenants.people.queries.tenants import usage_month

if TYPE_CHECKING:
    from scaiwave.clients.scaigrid.client import Usage

BATCH_SIZE = 500
"""Rows in one statement. SQLite allows about 30,000 values, and a row has seven."""
MAX_NAMED = 10
"""How many unknown IDs a warning names."""


@dataclass(frozen=True)
class RefreshUsageResult(ChangeResult):
    """`updated` counts tenants with new figures, `silent` linked tenants without a row in
    ScaiGrid. `unknown` has the group keys that match no tenant; "" is an empty key."""

    month: date
    updated: int
    silent: int
    total_tokens: int
    unknown: tuple[str, ...]
    fetched_at: datetime
    dry_run: bool = False

    @property
    def lines(self) -> list[str]:
        verb = "Would update" if self.dry_run else "Updated"
        tenants = f"{self.updated:,} tenant{'' if self.updated == 1 else 's'}"
        first = f"{verb} {tenants}: {self.total_tokens:,} AI tokens in {self.month:%Y-%m} (UTC)."
        if not self.silent:
            return [first]
        others = f"{self.silent:,} other{'' if self.silent == 1 else 's'}"
        return [first, f"ScaiGrid has no usage for {others}; their stored figures were kept."]

    @property
    def warnings(self) -> list[str]:
        if not self.unknown:
            return []
        count = len(self.unknown)
        named = ", ".join(key or "(no tenant)" for key in self.unknown[:MAX_NAMED])
        more = f" and {count - MAX_NAMED:,} more" if count > MAX_NAMED else ""
        return [
            f"ScaiGrid has usage for {count:,} unknown tenant{'' if count == 1 else 's'}: "
            f"{named}{more}. `scaiwave sync` fetches new tenants."
        ]

    def document(self) -> Row:
        return {
            "usage": {
                "month": f"{self.month:%Y-%m}",
                "total_tokens": self.total_tokens,
                "fetched_at": self.fetched_at,
            },
            "changed": bool(self.updated),
            "updated_tenants": self.updated,
            "tenants_without_usage": self.silent,
            "unknown_group_keys": list(self.unknown),
        }


def refresh_usage(
    *, operator: Operator, fetch: UsageFetch, now: datetime, dry_run: bool = False
) -> RefreshUsageResult:
    """Fetch and store the AI tokens that all tenants have used in this UTC month.

    One request returns all tenants, matched by ScaiKey tenant ID. A tenant without a row in
    ScaiGrid keeps its stored figures. Raises what the ScaiGrid client raises.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    month = usage_month(now)
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    usage = fetch(start, now)
    if dry_run:
        return _match_tenants(usage, month, now, dry_run=True)[1]
    with transaction.atomic():
        rows, result = _match_tenants(usage, month, now)
        # Write in the order of tenant IDs, so that concurrent runs can't deadlock.
        TokenUsage.objects.bulk_create(
            sorted(rows, key=lambda row: row.tenant_id),
            batch_size=BATCH_SIZE,
            update_conflicts=True,
            unique_fields=["tenant", "month"],
            update_fields=["input_tokens", "output_tokens", "total_tokens", "fetched_at"],
        )
        _record(operator, result)
    return result


def _match_tenants(
    usage: Sequence[Usage], month: date, now: datetime, *, dry_run: bool = False
) -> tuple[list[TokenUsage], RefreshUsageResult]:
    """Return the rows to store, and the result to report."""
    linked = Tenant.objects.filter(scaikey_tenant_id__isnull=False)
    ids = dict(linked.values_list("scaikey_tenant_id", "pk"))
    rows = [
        TokenUsage(
            tenant_id=ids[row.group_key],
            month=month,
            input_tokens=row.input_tokens,
            output_tokens=row.output_tokens,
            total_tokens=row.total_tokens,
            fetched_at=now,
        )
        for row in usage
        if row.group_key in ids
    ]
    unknown = sorted(row.group_key or "" for row in usage if row.group_key not in ids)
    return rows, RefreshUsageResult(
        month=month,
        updated=len(rows),
        silent=len(ids) - len(rows),
        total_tokens=sum(row.total_tokens for row in rows),
        unknown=tuple(unknown),
        fetched_at=now,
        dry_run=dry_run,
    )


def _record(operator: Operator, result: RefreshUsageResult) -> None:
    month = f"{result.month:%Y-%m}"
    subject = TokenUsage(id=month, tenant=Tenant(slug="all tenants"), month=result.month)
    details = {
        "month": month,
        "updated": result.updated,
        "total_tokens": result.total_tokens,
        "unknown": len(result.unknown),
    }
    record_audit(operator, "refresh-usage", subject, result.fetched_at, details)


UsageFetch = Callable[[datetime, datetime], "Sequence[Usage]"]


def build_usage_fetch(config: Configuration) -> UsageFetch:
    """Return a function that fetches every tenant's usage between two times from ScaiGrid.

    It raises SettingMissing if no ScaiGrid is configured, and what the client raises.
    """

    def fetch(start: datetime, end: datetime) -> Sequence[Usage]:
        # Importing httpx is slow, so only do it if a request is made.
        from scaiwave.clients.scaigrid.client import scaigrid_client

        with scaigrid_client(config) as client:
            return client.usage_summary(group_by="tenant", start=start, end=end)

    return fetch
