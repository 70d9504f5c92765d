"""Registrations and runs of the sync, to look at: what came of them and what they changed."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html

from identity_sync.models import Registration, SyncChange, SyncRun, SyncSkip
from scaiwave.admin import ReadOnlyAdmin, register_soft_reference
from tenants.models import Group, Participant, Partner, Tenant

SUBJECTS: dict[str, type[Model]] = {
    "partners": Partner,
    "tenants": Tenant,
    "participants": Participant,
    "groups": Group,
}

register_soft_reference(SyncChange, "subject_id", at=list(SUBJECTS.values()))


@admin.register(Registration)
class RegistrationAdmin(ReadOnlyAdmin):
    list_display = ("name", "state", "scope", "scaikey_url", "requested_at", "decided_at")
    list_filter = ("state", "scope")
    search_fields = ("name", "request_id__exact", "client_id__exact", "scaikey_url")
    sortable_by = ("requested_at",)


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    list_display = (
        "started_at",
        "outcome",
        "trigger",
        "tenant",
        "changes",
        "duration",
        "requests",
        "operator",
        "error",
    )
    list_filter = ("outcome", "trigger", "started_at")
    list_select_related = ("tenant",)
    search_fields = ("operator", "error_code__exact", "tenant__slug")
    sortable_by = ("started_at",)
    ordering = ("-started_at", "-id")

    @admin.display(description="changes")
    def changes(self, run: SyncRun) -> str:
        """What a run did to each kind, of the numbers that are not 0."""
        return "; ".join(
            f"{kind} {summary}" for kind, counts in run.counts.items() if (summary := _did(counts))
        )

    @admin.display(description="duration", empty_value="-")
    def duration(self, run: SyncRun) -> str | None:
        return None if run.duration_seconds is None else f"{run.duration_seconds:.1f} s"

    @admin.display(description="error")
    def error(self, run: SyncRun) -> str:
        return f"{run.error_code} {run.error_message}".strip()[:120]


def _did(counts: dict[str, int]) -> str:
    signs = {
        "added": "+",
        "updated": "~",
        "deactivated": "−",
        "restored": "↺",
        "skipped": "skipped ",
        "held": "skipped ",
    }
    return " ".join(f"{sign}{counts[key]}" for key, sign in signs.items() if counts.get(key))


@admin.register(SyncChange)
class SyncChangeAdmin(ReadOnlyAdmin):
    list_display = ("action", "kind", "subject", "fields_changed", "reason", "tenant", "run")
    list_filter = ("action", "kind")
    list_select_related = ("tenant", "run")
    search_fields = ("id", "subject_id")
    search_help_text = "The id of what was changed: a partner, tenant, participant or group."
    id_fields = ("id", "subject_id")
    more_fields = ("subject",)
    hidden_fields = ("subject_name",)

    @admin.display(description="subject")
    def subject(self, change: SyncChange) -> str:
        """A link to what was changed; nothing that a sync knows is ever deleted."""
        name = change.subject_name or str(change.subject_id)
        if (model := SUBJECTS.get(change.kind)) is None:
            return name
        url = reverse(f"admin:tenants_{model._meta.model_name}_change", args=[change.subject_id])
        return format_html('<a href="{}">{}</a>', url, name)

    @admin.display(description="fields")
    def fields_changed(self, change: SyncChange) -> str:
        return change.fields.replace(",", ", ")


@admin.register(SyncSkip)
class SyncSkipAdmin(ReadOnlyAdmin):
    list_display = (
        "kind",
        "subject_name",
        "reason",
        "runs",
        "first_skipped_at",
        "last_skipped_at",
        "tenant",
    )
    list_filter = ("kind", "is_postponed")
    list_select_related = ("tenant",)
    search_fields = ("subject_scaikey_id__exact", "tenant__slug")
    sortable_by = ("first_skipped_at", "runs")
    ordering = ("first_skipped_at", "id")
