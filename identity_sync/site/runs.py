"""Admin pages, read-only, of registrations, runs of the sync, and webhooks."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Case, Model, Q, QuerySet, TextField, Value, When
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import escape, format_html, format_html_join

from identity_sync.models import (
    FAILED_Q,
    LOCK,
    WRITTEN,
    Outcome,
    PendingRemoval,
    Registration,
    RegistrationState,
    SyncChange,
    SyncChangeValues,
    SyncPlannedChange,
    SyncRun,
    SyncSkip,
    WebhookEvent,
    WebhookState,
)
from identity_sync.report import format_losses
from identity_sync.reports.run_figures import COLUMNS, NOT_APPLIED, OUTCOME_TONES, build_rows
from identity_sync.reports.runs import get_oldest_kept_id
from identity_sync.site import acts
from identity_sync.site.changes import (
    MAX_TENANTS,
    describe_planned,
    describe_shown_change,
    find_existing,
    group_by_tenant,
)
from identity_sync.sync.record.history import MAX_PLANNED_CHANGES, RECORDED_PLANS
from scaiwave.console.text import pluralize
from scaiwave.core.locks import is_locked
from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import PLATFORM, by_tenant, find_limited_operator, limit_rows
from scaiwave.site.filters import make_choice_filter
from scaiwave.site.formatting import (
    EMPTY_VALUE,
    FormattedValue,
    Tone,
    format_badge,
    format_clamped,
    format_time,
    format_word,
    link_to_id,
)
from scaiwave.site.related import list_url
from scaiwave.site.tabs import register_tab
from scaiwave.site.terms import TermForm
from tenants.models import Participant, Tenant
from tenants.people.site.filters import ConditionFilter

__all__ = ["acts"]

REGISTRATION_TONES = {
    RegistrationState.PENDING: Tone.WARN,
    RegistrationState.APPROVED: Tone.GOOD,
    RegistrationState.REJECTED: Tone.BAD,
}
WEBHOOK_TONES = {
    WebhookState.PENDING: Tone.INFO,
    WebhookState.HANDLED: Tone.GOOD,
    WebhookState.FAILED: Tone.BAD,
}
SYNC_CODES = "SW_SYNC_"
"""What the codes of the sync's own errors begin with."""
register_tab(Tenant, "Sync", SyncChange, "tenant", position=6, part="Changes")
register_tab(Tenant, "Sync", SyncRun, "tenant", position=6, part="Runs of this tenant")
register_tab(Tenant, "Sync", SyncSkip, "tenant", position=6, part="Skipped")
register_tab(Participant, "Sync", SyncChange, "subject_id", position=5)
register_tab(
    SyncRun,
    "Changes",
    SyncChange,
    "run",
    position=1,
    is_offered=lambda run: run.outcome in WRITTEN,
)
register_tab(
    SyncRun,
    "Planned changes",
    SyncPlannedChange,
    "run",
    position=2,
    is_offered=lambda run: run.outcome in RECORDED_PLANS,
)


@admin.register(Registration)
class RegistrationAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.SYNC
    position = 0
    list_display = ("name", "state_badge", "scope", "scaikey_url", "requested_at", "decided_at")
    list_filter = ("state", make_choice_filter("scope", ("GLOBAL", "PARTNER", "TENANT")))
    search_fields = ("name", "request_id__exact", "client_id__exact", "scaikey_url")
    search_help_text = "Search by name, URL of ScaiKey, or ID of a request or application."
    sortable_by = ("requested_at",)

    @admin.display(description="state")
    def state_badge(self, registration: Registration) -> str:
        return format_badge(
            registration.state.lower(),
            REGISTRATION_TONES.get(RegistrationState(registration.state), Tone.NEUTRAL),
        )


CHANGE_SCOPE, TENANT_SCOPE = by_tenant(), by_tenant("pk")


class OutcomeFilter(ConditionFilter):
    title = "outcome"
    parameter_name = "outcome"
    conditions: ClassVar = {
        "failures": FAILED_Q,
        "not_applied": Q(outcome__in=NOT_APPLIED),
        **{outcome.value: Q(outcome=outcome) for outcome in Outcome},
    }
    titles: ClassVar = {
        "failures": "Failures: no dry runs or interruptions",
        "not_applied": "Not applied: failed, refused or partial",
    }


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.SYNC
    position = 0
    searched_forms = frozenset({TermForm.CODE, TermForm.EMAIL})
    list_display = (
        *("started_at", "outcome_badge", "trigger", "tenant", "changes", "duration", "requests"),
        *("operator", "error"),
    )
    list_filter = (OutcomeFilter, "trigger", "started_at")
    list_select_related = ("tenant",)
    search_fields = ("operator", "error_code__exact", "tenant__slug")
    search_help_text = "Search by operator, code of an error, slug of a tenant, or ID."
    more_fields = ("loss_list", "warning_list", "planned", "changed", "figures")
    field_models: ClassVar = {
        "planned": (SyncPlannedChange,),
        "changed": (SyncChange, SyncChangeValues),
        "loss_list": (Tenant,),
    }
    # The heading has them.
    hidden_fields = (
        *("counts", "outcome", "operator", "trigger", "requests", "duration_seconds", "error_code"),
        *("error_message", "error_fix", "fix_command", "warnings", "losses", "counted_losses"),
        *("phases", "is_dry_run"),
    )
    shows_related = False
    sortable_by = ("started_at",)
    ordering = ("-started_at", "-id")

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncRun]:
        """Return the runs. Accounts that see only some tenants get the messages of the sync's own
        errors only: others contain the address of ScaiKey, for example."""
        runs: QuerySet[SyncRun] = super().get_queryset(request)
        if find_limited_operator(request) is None:
            return runs
        texts = {
            f"shown_{name}": Case(
                When(error_code__startswith=SYNC_CODES, then=name),
                default=Value(""),
                output_field=TextField(),
            )
            for name in ("error_message", "error_fix")
        }
        return runs.annotate(**texts)

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Return the run with the figures that the account may see.

        The sync of one tenant can take people from another one.
        """
        run: Any = super().get_object(request, *args, **kwargs)
        if run is not None:
            changes = SyncChange.objects.filter(run=run)
            run.visible_changes = limit_rows(request, changes, CHANGE_SCOPE)
            planned = SyncPlannedChange.objects.filter(run=run, pk__gte=get_oldest_kept_id())
            run.visible_planned = limit_rows(request, planned, CHANGE_SCOPE)
            keys = {tenant for _, tenant, _ in run.get_losses()}
            tenants = limit_rows(request, Tenant.objects.filter(pk__in=keys), TENANT_SCOPE)
            run.visible_tenants = {tenant.pk: tenant.slug for tenant in tenants}
            run.is_limited = find_limited_operator(request) is not None
        return run

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """Leave out empty fields, and fields that a run with this outcome can't have."""
        fields = super().get_fields(request, obj)
        if not isinstance(obj, SyncRun):
            return fields
        has: dict[str, object] = {
            "planned": obj.outcome in RECORDED_PLANS,
            "changed": obj.outcome in WRITTEN,
            "warning_list": obj.warnings,
            "loss_list": obj.losses,
            "tenant": obj.tenant_id,
            "applied_plan": obj.applied_plan_id,
        }
        return [field for field in fields if has.get(getattr(field, "__name__", field), True)]

    def get_list_note(self, request: HttpRequest) -> str:
        """Link to the changes: runs of all tenants are hidden, as their counts are of all."""
        if find_limited_operator(request) is None:
            return ""
        return format_html(
            'Syncs of one tenant alone. <a href="{}">Sync changes</a> lists what any sync changed.',
            reverse("admin:identity_sync_syncchange_changelist"),
        )

    def format_name(self, run: SyncRun) -> str:
        return format_html("{} {}", format_time(run.started_at), run.outcome)

    def summarise(self, run: SyncRun, request: HttpRequest) -> str:
        is_running = run.outcome == Outcome.RUNNING
        context = {
            "run": run,
            "message": getattr(run, "shown_error_message", run.error_message),
            "fix": getattr(run, "shown_error_fix", run.error_fix),
            "badge": self.outcome_badge(run),
            "is_running": is_running,
            # It may have ended between the read of its row and the look at the lock.
            "is_interrupted": is_running
            and not is_locked(LOCK)
            and SyncRun.objects.filter(pk=run.pk, outcome=Outcome.RUNNING).exists(),
            "sees_skips": self._can_view(request, SyncSkip),
            "sees_removals": self._can_view(request, PendingRemoval),
        }
        return render_to_string("identity_sync/admin/run.html", context)

    @admin.display(description="outcome")
    def outcome_badge(self, run: SyncRun) -> str:
        return format_badge(run.outcome, OUTCOME_TONES.get(Outcome(run.outcome), Tone.NEUTRAL))

    @admin.display(description="figures")
    def figures(self, run: Any) -> str:
        """A table of the counts, with a row for each kind."""
        if not (rows := build_rows(run, has_plan=run.visible_planned.exists())):
            return EMPTY_VALUE
        context = {"columns": ("Kind", *COLUMNS), "rows": rows}
        return render_to_string("scaiwave/admin/figures.html", context)

    @admin.display(description="what changed")
    def changed(self, run: Any) -> str:
        """The changes by tenant with the first of each; the tab has all of them."""
        url = list_url(SyncChange._meta.get_field("run"), run)
        changes = run.visible_changes.select_related("stored_values")
        tenants, others = group_by_tenant(changes, Q(action="deactivate"), url)
        if not tenants:
            return EMPTY_VALUE
        for each in tenants:
            each.rows[:] = map(describe_shown_change, each.rows)
        context = {"tenants": tenants, "others": others, "url": url}
        return render_to_string("identity_sync/admin/tenants.html", context)

    @admin.display(description="planned changes")
    def planned(self, run: Any) -> str:
        """The changes that were not made, by tenant, removals first; the tab has the others."""
        url = list_url(SyncPlannedChange._meta.get_field("run"), run)
        tenants, others = group_by_tenant(run.visible_planned, Q(is_removal=True), url)
        existing = find_existing([change for each in tenants for change in each.rows])
        for each in tenants:
            each.rows[:] = [describe_planned(change, existing) for change in each.rows]
        context = {
            "tenants": tenants,
            "others": others,
            "total": sum(
                counts.get(name, 0) for counts in run.get_counts().values() for name in _COUNTED
            ),
            "recorded": run.visible_planned.count(),
            "limit": MAX_PLANNED_CHANGES,
            "url": url,
        }
        return render_to_string("identity_sync/admin/planned.html", context)

    @admin.display(description="warnings")
    def warning_list(self, run: SyncRun) -> str:
        return format_html_join("", "<div>{}</div>", ((each,) for each in run.warnings)) or "-"

    @admin.display(description="losses of access")
    def loss_list(self, run: Any) -> str:
        """How many lost access by tenant, the most first."""
        names = run.visible_tenants
        by_tenant: dict[UUID | None, dict[str, int]] = {}
        for measure, tenant, number in sorted(run.get_losses(), key=lambda loss: -loss[2]):
            if tenant in names or not run.is_limited:
                by_tenant.setdefault(tenant, {})[measure] = number
        lines = [
            (
                link_to_id("tenant", str(tenant), names[tenant])
                if tenant in names
                else tenant or "no tenant",
                text,
            )
            for tenant, numbers in by_tenant.items()
            if (text := format_losses(numbers))
        ]
        shown = format_html_join("", "<div>{}: {}</div>", lines[:MAX_TENANTS])
        if len(lines) <= MAX_TENANTS:
            return shown or EMPTY_VALUE
        rest = format_html_join("", "<div>{}: {}</div>", lines[MAX_TENANTS:])
        more = pluralize(len(lines) - MAX_TENANTS, "other tenant")
        return format_html("{}<details><summary>{}</summary>{}</details>", shown, more, rest)

    @admin.display(description="changes")
    def changes(self, run: SyncRun) -> str:
        """The counts of each kind that are not 0."""
        summaries = {
            kind: summary
            for kind, counts in run.get_counts().items()
            if (
                summary := ", ".join(
                    f"{counts[name]:,} {name}" for name in _COUNTED if counts.get(name)
                )
            )
        }
        text, value = (
            "; ".join(f"{name(kind)}: {summary}" for kind, summary in summaries.items())
            for name in (format_word, str)
        )
        return FormattedValue(escape(text), value)

    @admin.display(description="duration", empty_value="-")
    def duration(self, run: SyncRun) -> str | None:
        return None if run.duration_seconds is None else f"{run.duration_seconds:.1f} s"

    @admin.display(description="error")
    def error(self, run: SyncRun) -> str:
        message = getattr(run, "shown_error_message", run.error_message)
        text = f"{run.error_code} {message}".strip()
        return format_clamped(text) if text else ""


_COUNTED = ("added", "updated", "deactivated", "restored", "skipped")


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.SYNC
    list_display = (
        *("received_at", "event_type", "scaikey_id", "state_badge", "seconds", "attempts"),
        *("error_code", "run"),
    )
    list_filter = ("state", "received_at")
    list_select_related = ("run", "run__tenant")
    search_fields = ("event_id__exact", "scaikey_id__exact")
    search_help_text = "Search by ID of an event, or ScaiKey ID of its subject."
    sortable_by = ("received_at",)
    ordering = ("-received_at", "-id")

    @admin.display(description="state")
    def state_badge(self, event: WebhookEvent) -> str:
        return format_badge(event.state, WEBHOOK_TONES.get(WebhookState(event.state), Tone.NEUTRAL))

    @admin.display(description="seconds", empty_value="-")
    def seconds(self, event: WebhookEvent) -> str | None:
        """How long the event took from its arrival until it was handled."""
        if event.ended_at is None:
            return None
        return f"{(event.ended_at - event.received_at).total_seconds():.1f}"
