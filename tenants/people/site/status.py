from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from scaiwave import extensions
from scaiwave.site import ReadOnlyAdmin
from scaiwave.site.formatting import Tone, format_badge, format_time
from tenants.models.directory import ACTIVE_STATUSES
from tenants.people.queries.figures import STATUS_ORDER

STATUS_TONES = {"active": Tone.GOOD, "suspended": Tone.WARN, "deactivated": Tone.NEUTRAL}


class StatusAdmin(ReadOnlyAdmin):
    """Adds a column with the status that results from the three status fields."""

    more_fields: ClassVar[Sequence[str]] = ("status_text",)
    help_texts: ClassVar = {"scaikey_status": "from the last sync that found it in ScaiKey"}
    export_columns: ClassVar = {"status_text": {"status": attrgetter("status")}}

    @admin.display(description="status", ordering="status")
    def status_text(self, row: Any) -> str:
        """The status with its reason, and since when as far as that is known.

        Pages look up since when ScaiKey has suspended a row; lists do not.
        """
        return format_badge(row.status, STATUS_TONES[row.status], _format_reason(row))

    def find_sort_expression(self, name: Any) -> Any:
        return STATUS_ORDER if name == "status" else None

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = kwargs["obj"]
        if row.absent_since is None and row.scaikey_status not in ACTIVE_STATUSES:
            row.suspended_in_scaikey_at = (
                extensions.STATUS_HISTORY.load()(row.pk)
                if self._can_view(request, apps.get_model(extensions.STATUS_HISTORY_MODEL))
                else None
            )
        return super().render_change_form(request, context, *args, **kwargs)


def _format_reason(row: Any) -> str:
    manually, reason = "", _format_status_in_scaikey(row)
    if row.suspended_by_hand_at is not None:
        manually = format_html("manually since {}", format_time(row.suspended_by_hand_at))
    if row.absent_since is not None:
        reason = format_html("removed from ScaiKey on {}", format_time(row.absent_since))
    return format_html("{} and {}", manually, reason) if manually and reason else manually or reason


def _format_status_in_scaikey(row: Any) -> str:
    if row.scaikey_status in ACTIVE_STATUSES:
        return ""
    word = row.scaikey_status.lower()
    reason = "in ScaiKey" if word == "suspended" else f"{word} in ScaiKey"
    if not hasattr(row, "suspended_in_scaikey_at"):
        return reason
    if (since := row.suspended_in_scaikey_at) is None:
        return f"{reason}, since unknown"
    return format_html("{} since {}", reason, format_time(since))
