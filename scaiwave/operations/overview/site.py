"""Admin pages of the rows that the overview stores."""

from __future__ import annotations

from django.contrib import admin

from scaiwave.site import ReadOnlyAdmin
from scaiwave.site.access import PLATFORM
from scaiwave.site.formatting import format_time
from scaiwave.site.terms import TermForm
from tenants.models import DailyFigures, StoredOverview


@admin.register(DailyFigures)
class DailyFiguresAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    list_display = ("day", "tenants", "members", "rooms", "storage_bytes", "recorded_at")
    sortable_by = ("day",)
    ordering = ("-day",)
    searched_forms = frozenset({TermForm.DAY})
    search_fields = ("day",)
    search_help_text = "Search by day, such as 2026-11-24."
    id_fields = ()


@admin.register(StoredOverview)
class StoredOverviewAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    list_display = ("scope", "built_at")
    hidden_fields = ("document",)  # The overview shows of it what an account may see.

    def format_name(self, stored: StoredOverview) -> str:
        return format_time(stored.built_at)
