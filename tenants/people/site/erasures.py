"""The list of erased tenants, which names none of them."""

from __future__ import annotations

from django.contrib import admin

from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import PLATFORM
from tenants.models import TenantErasure


@admin.register(TenantErasure)
class TenantErasureAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.TENANTS
    list_display = ("begun_at", "id", "phase", "finished_at", "not_exported")
    list_filter = ("phase",)
    search_fields = ("id", "tenant_id")
    search_help_text = "Search by ID of an erasure or tenant."
    id_fields = ("id", "tenant_id")
