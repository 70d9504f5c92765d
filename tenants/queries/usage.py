"""AI token usage as last fetched from ScaiGrid, compared with the caps of tenants."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db.models import F, QuerySet
from django.utils.timesince import timesince

from tenants.models import Tenant, TokenUsage
from tenants.queries.serializers import Row

NEAR_CAP_FRACTION = 0.8
"""The fraction of a cap above which usage is highlighted."""

STALE_AFTER = timedelta(hours=2)
"""The schedule fetches every hour, so two runs were missed."""

NO_USAGE: Row = {"ai_tokens_month": None, "ai_tokens_as_of": None, "ai_tokens_share": None}


def token_columns(tenants: QuerySet[Tenant], month: date) -> dict[UUID, Row]:
    """Return the columns of each tenant with stored usage."""
    rows = TokenUsage.objects.filter(month=month, tenant__in=tenants).values_list(
        "tenant_id", "total_tokens", "fetched_at", F("tenant__max_ai_tokens_month")
    )
    return {
        tenant_id: {
            "ai_tokens_month": tokens,
            "ai_tokens_as_of": fetched_at,
            "ai_tokens_share": cap_fraction(tokens, cap),
        }
        for tenant_id, tokens, fetched_at, cap in rows
    }


def cap_fraction(tokens: int, cap: int | None) -> float | None:
    """Return the used fraction of a cap, such as 0.91, rounded down, or None without a cap.

    The first token uses up a cap of 0.
    """
    if cap is None:
        return None
    return tokens * 10_000 // cap / 10_000 if cap else float(tokens > 0)


def format_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with `91,000 (91 %)` if usage is near the cap."""
    return [
        {**row, "ai_tokens_month": format_tokens(row)} if is_near_cap(row) else row for row in rows
    ]


def format_tokens(usage: Row) -> str | None:
    """Return `91,000 (91 %)` near the cap, `5,000` otherwise, or None if unknown."""
    if usage["ai_tokens_month"] is None:
        return None
    tokens = f"{usage['ai_tokens_month']:,}"
    return f"{tokens} ({format_percent(usage)})" if is_near_cap(usage) else tokens


def format_age(rows: Sequence[Row], now: datetime) -> str | None:
    """Describe how old the figures are. Return None without figures."""
    times = [row["ai_tokens_as_of"] for row in rows if row["ai_tokens_as_of"] is not None]
    if not times:
        return None
    oldest = min(times)
    prefix = "the oldest " if oldest != max(times) else ""
    note = f"AI tokens were fetched from ScaiGrid, {prefix}{_format_elapsed(oldest, now)}."
    if now - oldest > STALE_AFTER:
        note += " Run `scaiwave admin refresh-usage` to update them."
    return note


def _format_elapsed(timestamp: datetime, now: datetime) -> str:
    if now - timestamp < timedelta(minutes=1):
        return "just now"
    return timesince(timestamp, now).replace("\N{NO-BREAK SPACE}", " ") + " ago"


def cap_warning(rows: Sequence[Row]) -> str | None:
    """List tenants whose usage is near or above the cap, the highest fraction first."""
    tenants = sorted(filter(is_near_cap, rows), key=lambda row: -row["ai_tokens_share"])
    if not tenants:
        return None
    named = ", ".join(f"{row['slug']} ({format_percent(row)})" for row in tenants[:10])
    more = f" and {len(tenants) - 10} more" if len(tenants) > 10 else ""
    return (
        f"Over {NEAR_CAP_FRACTION * 100:.0f} % of this month's AI tokens are used by {named}{more}."
    )


def is_near_cap(row: Row) -> bool:
    return row["ai_tokens_share"] is not None and row["ai_tokens_share"] > NEAR_CAP_FRACTION


def format_percent(row: Row) -> str:
    """Round down, so that 100 % means that nothing is left."""
    return f"{round(row['ai_tokens_share'] * 10_000) // 100:,} %"
