"""The list of erased tenants, which names none of them."""

from __future__ import annotations

from django.contrib import admin

from scaiwave.core.locks import is_locked
from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import PLATFORM
from scaiwave.site.formatting import Tone, format_badge, format_progress
from tenants.models import TenantErasure


@admin.register(TenantErasure)
class TenantErasureAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.TENANTS
    list_display = ("begun_at", "id", "state_badge", "phase", "finished_at", "not_exported")
    list_filter = ("phase",)
    search_fields = ("id", "tenant_id")
    search_help_text = "Search by ID of an erasure or tenant."
    id_fields = ("id", "tenant_id")
    more_fields = ("progress",)
    hidden_fields = ("error",)

    @admin.display(description="state")
    def state_badge(self, erasure: TenantErasure) -> str:
        if erasure.finished_at:
            return format_badge("finished", Tone.GOOD)
        if is_locked(erasure.lock_name):
            return format_badge("running", Tone.INFO)
        return format_badge("interrupted", Tone.BAD)

    @admin.display(description="state")
    def progress(self, erasure: TenantErasure) -> str:
        """The page of an erasure renews itself until it has finished, since it may continue."""
        is_live = erasure.finished_at is None
        return format_progress(self.state_badge(erasure), is_live=is_live, error=erasure.error)
