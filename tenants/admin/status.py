from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin

from scaiwave.admin import ReadOnlyAdmin
from scaiwave.admin.formatting import Tone, format_badge
from tenants.queries.figures import STATUS_ORDER

STATUS_TONES = {"active": Tone.GOOD, "suspended": Tone.WARN, "deactivated": Tone.NEUTRAL}


class StatusAdmin(ReadOnlyAdmin):
    """Adds a column with the status that results from the three status fields."""

    more_fields: ClassVar[Sequence[str]] = ("status_text",)

    @admin.display(description="status", ordering="status")
    def status_text(self, row: Any) -> str:
        """The status with its reason, and since when."""
        reason = (row.inactive_reason or "").removeprefix("suspended ")
        if row.suspended_by_hand_at is not None:
            since = row.suspended_by_hand_at.astimezone(settings.LOCAL_ZONE)
            reason = f"{reason} since {since:%Y-%m-%d}"
        return format_badge(row.status, STATUS_TONES[row.status], reason)

    def find_sort_expression(self, name: Any) -> Any:
        return STATUS_ORDER if name == "status" else None
