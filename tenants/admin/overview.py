from __future__ import annotations

from django.contrib import admin

from scaiwave.admin import ReadOnlyAdmin
from scaiwave.admin.access import PLATFORM
from scaiwave.admin.formatting import format_time
from scaiwave.admin.list_export import register_export_recorder
from scaiwave.admin.overview import (
    register_limited_part,
    register_overview_loader,
    register_overview_part,
)
from scaiwave.admin.terms import TermForm
from tenants.models import DailyFigures, StoredOverview
from tenants.queries.overview import build_limited_part, build_tenant_part
from tenants.services.overview import load_overview
from tenants.services.record_list_export import record_list_export

register_overview_part("tenants", build_tenant_part, position=1)
register_limited_part("tenants", build_limited_part)
register_overview_loader(load_overview)
register_export_recorder(record_list_export)


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
