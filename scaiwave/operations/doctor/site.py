"""Admin page of the last report of `scaiwave doctor`."""

from __future__ import annotations

from typing import Any

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
from tenants.models import (
    DoctorRun,
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
        findings = [
            {**finding, "badge": _format_state(str(finding.get("state")))}
            for finding in sorted(run.findings, key=_rank_finding)
        ]
        return render_to_string("tenants/admin/findings.html", {"findings": findings})


FINDING_TONES = {
    State.FAIL.value: Tone.BAD,
    State.WARN.value: Tone.WARN,
    State.PASS.value: Tone.GOOD,
    State.SKIP.value: Tone.NEUTRAL,
}


def _rank_finding(finding: dict[str, Any]) -> int:
    states = list(FINDING_TONES)
    state = finding.get("state")
    return states.index(state) if state in states else len(states)


def _format_state(state: str) -> str:
    return format_badge(state, FINDING_TONES.get(state, Tone.NEUTRAL))
