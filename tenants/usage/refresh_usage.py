"""Fetch how many AI tokens each tenant has used from ScaiGrid, and store it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from django.db import transaction

from scaiwave.config import Configuration
from scaiwave.console.text import pluralize
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import AuditSubject, record_audit
from tenants.models import Tenant, TokenUsage
from tenants.people.queries.tenants import usage_month

if TYPE_CHECKING:
    from scaiwave.clients.scaigrid.client import Usage

BATCH_SIZE = 500
"""Rows in one statement. SQLite allows about 30,000 values, and a row has seven."""
MAX_NAMED = 10
"""How many unknown IDs a warning names."""


WORDS = ChangeWords(
    "usage",
    "Would update {tenants}: {total_tokens:,} AI tokens in {month} (UTC).",
    "Updated {tenants}: {total_tokens:,} AI tokens in {month} (UTC).",
    "Updated {tenants}: {total_tokens:,} AI tokens in {month} (UTC).",
)


def refresh_usage(
    *, operator: Operator, fetch: UsageFetch, now: datetime, dry_run: bool = False
) -> Change:
    """Fetch and store the AI tokens that all tenants have used in this UTC month.

    One request returns all tenants, matched by ScaiKey tenant ID. A tenant without a row in
    ScaiGrid keeps its stored figures. Raises the errors of the ScaiGrid client.
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
        name, rest = result.subject["month"], result.rest
        subject = AuditSubject("tokenusage", name, f"all tenants {name}")
        details = {
            "month": name,
            "updated": rest["updated_tenants"],
            "total_tokens": result.subject["total_tokens"],
            "unknown": len(rest["unknown_group_keys"]),
        }
        record_audit(operator, "refresh-usage", subject, now, details)
    return result


def _match_tenants(
    usage: Sequence[Usage], month: date, now: datetime, *, dry_run: bool = False
) -> tuple[list[TokenUsage], Change]:
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
    silent, cautions = len(ids) - len(rows), []
    if unknown:
        named = ", ".join(key or "(no tenant)" for key in unknown[:MAX_NAMED])
        more = f" and {len(unknown) - MAX_NAMED:,} more" if len(unknown) > MAX_NAMED else ""
        cautions = [
            f"ScaiGrid has usage for {pluralize(len(unknown), 'unknown tenant')}: {named}{more}. "
            "`scaiwave sync` fetches new tenants."
        ]
    note = (
        f"ScaiGrid has no usage for {pluralize(silent, 'other')}; their stored figures were kept."
    )
    total = sum(row.total_tokens for row in rows)
    result = Change(
        WORDS,
        {"month": f"{month:%Y-%m}", "total_tokens": total, "fetched_at": now},
        bool(rows) and not dry_run,
        bool(rows) and dry_run,
        names={"tenants": pluralize(len(rows), "tenant")},
        rest={
            "updated_tenants": len(rows),
            "tenants_without_usage": silent,
            "unknown_group_keys": unknown,
        },
        cautions=cautions,
        notes=[note] if silent else [],
    )
    return rows, result


UsageFetch = Callable[[datetime, datetime], "Sequence[Usage]"]


def build_usage_fetch(config: Configuration) -> UsageFetch:
    """Return a function that fetches every tenant's usage between two times from ScaiGrid.

    It raises SettingMissing if no ScaiGrid is configured, and the errors of the client.
    """

    def fetch(start: datetime, end: datetime) -> Sequence[Usage]:
        # Importing httpx is slow, so only do it if a request is made.
        from scaiwave.clients.scaigrid.client import scaigrid_client

        with scaigrid_client(config) as client:
            return client.usage_summary(group_by="tenant", start=start, end=end)

    return fetch
