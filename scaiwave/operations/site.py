"""Admin pages of the last report of `scaiwave doctor`, of the rows of the overview, of the mark of
a restored server, and of the problems that are reported by e-mail."""

from __future__ import annotations

from django.contrib import admin
from django.template.loader import render_to_string

from scaiwave.operations.doctor.findings import State
from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import PLATFORM
from scaiwave.site.formatting import (
    FormattedValue,
    Tone,
    format_badge,
    format_time,
)
from scaiwave.site.terms import TermForm
from tenants.models import (
    DailyFigures,
    DoctorRun,
    Notice,
    Restoration,
    SchemaState,
    StoredOverview,
)


@admin.register(DoctorRun)
class DoctorRunAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.INTERNALS
    list_display = ("ran_at", "health_badge", "operator")
    more_fields = ("health_badge", "finding_table")
    hidden_fields = ("number", "is_healthy", "findings")

    def format_name(self, run: DoctorRun) -> str:
        return format_time(run.ran_at)

    @admin.display(description="result")
    def health_badge(self, run: DoctorRun) -> str:
        text, tone = ("healthy", Tone.GOOD) if run.is_healthy else ("something failed", Tone.BAD)
        return FormattedValue(format_badge(text, tone), run.is_healthy)

    health_badge.export_key = "is_healthy"  # type: ignore[attr-defined]

    @admin.display(description="findings")
    def finding_table(self, run: DoctorRun) -> str:
        """What each check found, problems first."""
        order = {state: rank for rank, state in enumerate(FINDING_TONES)}
        findings = []
        for finding in sorted(run.findings, key=lambda each: order.get(each.get("state"), 9)):
            state = str(finding.get("state"))
            badge = format_badge(state, FINDING_TONES.get(state, Tone.NEUTRAL))
            findings.append({**finding, "badge": badge})
        return render_to_string("tenants/admin/findings.html", {"findings": findings})


FINDING_TONES = {
    State.FAIL.value: Tone.BAD,
    State.WARN.value: Tone.WARN,
    State.PASS.value: Tone.GOOD,
    State.SKIP.value: Tone.NEUTRAL,
}


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


@admin.register(Restoration)
class RestorationAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.INTERNALS
    list_display = ("backup", "backup_at", "restored_at")
    hidden_fields = ("number",)


@admin.register(SchemaState)
class SchemaStateAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.INTERNALS
    list_display = ("oldest_served",)
    ordering = ("number",)
    id_fields = ()
    hidden_fields = ("number",)


@admin.register(Notice)
class NoticeAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.INTERNALS
    list_display = ("topic", "seen_at", "reported_at", "attempts", "attempted_at", "error")
