"""AI token usage as last fetched from ScaiGrid, compared with the caps of tenants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet
from django.utils.timesince import timesince

from scaiwave.core.clock import is_in_future, is_recent
from tenants.lookup.serializers import Row
from tenants.models import Tenant, TokenUsage

NEAR_CAP_FRACTION = 0.8
"""The fraction of a cap above which usage is highlighted."""

MAX_NAMED = 10
"""Tenants near their cap that a warning names."""

STALE_AFTER = timedelta(hours=2)
"""The schedule fetches every hour, so two runs were missed."""

NO_USAGE: Row = {"ai_tokens_month": None, "ai_tokens_fetched_at": None, "ai_tokens_share": None}


def token_columns(tenants: QuerySet[Tenant], month: date) -> dict[UUID, Row]:
    """Return the columns of each tenant with stored usage."""
    rows = TokenUsage.objects.filter(month=month, tenant__in=tenants).values_list(
        "tenant_id", "total_tokens", "fetched_at", F("tenant__max_ai_tokens_month")
    )
    return {
        tenant_id: {
            "ai_tokens_month": tokens,
            "ai_tokens_fetched_at": fetched_at,
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


def format_row(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the row with `91,000 (91%)` if usage is near the cap."""
    return {**row, "ai_tokens_month": format_tokens(row)} if is_near_cap(row) else row


def format_tokens(usage: Mapping[str, Any]) -> str | None:
    """Return `91,000 (91%)` near the cap, `5,000` otherwise, or None if unknown."""
    if usage["ai_tokens_month"] is None:
        return None
    tokens = f"{usage['ai_tokens_month']:,}"
    return f"{tokens} ({format_percent(usage)})" if is_near_cap(usage) else tokens


class UsageSummary:
    """How old the figures of tenants are, and who is near the cap; it does not hold the rows."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self._oldest: datetime | None = None
        self._newest: datetime | None = None
        self._near_cap = 0
        self._nearest: list[Mapping[str, Any]] = []
        for row in rows:
            self.add(row)

    def add(self, row: Mapping[str, Any]) -> None:
        fetched_at = row["ai_tokens_fetched_at"]
        if fetched_at is not None:
            self._oldest = min(self._oldest or fetched_at, fetched_at)
            self._newest = max(self._newest or fetched_at, fetched_at)
        if is_near_cap(row):
            self._near_cap += 1
            self._nearest.append(row)
            self._nearest.sort(key=lambda each: -each["ai_tokens_share"])
            del self._nearest[MAX_NAMED:]

    def format_age(self, now: datetime) -> str | None:
        """Describe how old the figures are. Return None without figures."""
        if self._oldest is None:
            return None
        prefix = "the oldest " if self._oldest != self._newest else ""
        elapsed = "just now"
        if now - self._oldest >= timedelta(minutes=1):
            elapsed = timesince(self._oldest, now).replace("\N{NO-BREAK SPACE}", " ") + " ago"
        note = f"AI tokens were fetched from ScaiGrid, {prefix}{elapsed}."
        if self._newest is not None and is_in_future(self._newest, now):
            note = (
                "AI tokens were fetched from ScaiGrid while a clock was ahead; check this host's."
            )
        if not is_recent(self._oldest, now, max_age=STALE_AFTER) or is_in_future(
            self._newest or self._oldest, now
        ):
            note += " Run `scaiwave admin refresh-usage` to update them."
        return note

    def format_warning(self) -> str | None:
        """List tenants whose usage is near or above the cap, the highest fraction first."""
        if not self._nearest:
            return None
        named = ", ".join(f"{row['slug']} ({format_percent(row)})" for row in self._nearest)
        more = f" and {self._near_cap - MAX_NAMED} more" if self._near_cap > MAX_NAMED else ""
        return (
            f"Over {NEAR_CAP_FRACTION * 100:.0f}% of this month's AI tokens are used by "
            f"{named}{more}."
        )


def is_near_cap(row: Mapping[str, Any]) -> bool:
    return row["ai_tokens_share"] is not None and row["ai_tokens_share"] > NEAR_CAP_FRACTION


def format_percent(row: Mapping[str, Any]) -> str:
    """Round down, so that 100% means that nothing is left."""
    return f"{round(row['ai_tokens_share'] * 10_000) // 100:,}%"
