"""AI tokens beside their caps, as they were last fetched; nothing here asks ScaiGrid."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db.models import F, QuerySet
from django.utils.timesince import timesince

from tenants.models import Tenant, TokenUsage
from tenants.queries.serializers import Row

NEAR_CAP_FRACTION = 0.8
"""The share of a cap from which on it is told."""

STALE_AFTER = timedelta(hours=2)
"""The schedule fetches every hour, so this is the second time that it did not."""

NO_USAGE: Row = {"ai_tokens_month": None, "ai_tokens_as_of": None, "ai_tokens_share": None}


def token_columns(tenants: QuerySet[Tenant], month: date) -> dict[UUID, Row]:
    """The columns of each tenant of which usage is known."""
    found = TokenUsage.objects.filter(month=month, tenant__in=tenants).values_list(
        "tenant_id", "total_tokens", "fetched_at", F("tenant__max_ai_tokens_month")
    )
    return {
        tenant_id: {
            "ai_tokens_month": tokens,
            "ai_tokens_as_of": fetched_at,
            "ai_tokens_share": cap_fraction(tokens, cap),
        }
        for tenant_id, tokens, fetched_at, cap in found
    }


def cap_fraction(tokens: int, cap: int | None) -> float | None:
    """0.91 of a cap, rounded down; None where there is no cap. The first token uses up a cap
    of 0."""
    if cap is None:
        return None
    return tokens * 10_000 // cap / 10_000 if cap else float(tokens > 0)


def format_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows with `91,000 (91 %)` where a cap is close."""
    return [
        {**row, "ai_tokens_month": format_tokens(row)} if is_near_cap(row) else row for row in rows
    ]


def format_tokens(usage: Row) -> str | None:
    """`91,000 (91 %)` where the cap is close, `5,000` where it is not, None if unknown."""
    if usage["ai_tokens_month"] is None:
        return None
    tokens = f"{usage['ai_tokens_month']:,}"
    return f"{tokens} ({format_percent(usage)})" if is_near_cap(usage) else tokens


def format_age(rows: Sequence[Row], now: datetime) -> str | None:
    """How old the figures are; None where there are none."""
    moments = [row["ai_tokens_as_of"] for row in rows if row["ai_tokens_as_of"] is not None]
    if not moments:
        return None
    oldest = min(moments)
    several = "the oldest " if oldest != max(moments) else ""
    note = f"AI tokens were fetched from ScaiGrid, {several}{_format_elapsed(oldest, now)}."
    if now - oldest > STALE_AFTER:
        note += " `scaiwave admin refresh-usage` fetches them anew."
    return note


def _format_elapsed(moment: datetime, now: datetime) -> str:
    if now - moment < timedelta(minutes=1):
        return "just now"
    return timesince(moment, now).replace("\N{NO-BREAK SPACE}", " ") + " ago"


def cap_warning(rows: Sequence[Row]) -> str | None:
    """Whose AI tokens are close to their cap or over it, the worst first."""
    close = sorted(filter(is_near_cap, rows), key=lambda row: -row["ai_tokens_share"])
    if not close:
        return None
    named = ", ".join(f"{row['slug']} ({format_percent(row)})" for row in close[:10])
    more = f" and {len(close) - 10} more" if len(close) > 10 else ""
    return (
        f"Over {NEAR_CAP_FRACTION * 100:.0f} % of this month's AI tokens are used by {named}{more}."
    )


def is_near_cap(row: Row) -> bool:
    return row["ai_tokens_share"] is not None and row["ai_tokens_share"] > NEAR_CAP_FRACTION


def format_percent(row: Row) -> str:
    """Rounded down, so that 100 % is said of nobody who has some left."""
    return f"{round(row['ai_tokens_share'] * 10_000) // 100:,} %"
