"""Admin pages, read-only, of registrations and of runs of the sync with changes and plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Case, Model, Q, QuerySet, TextField, Value, When
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import escape, format_html, format_html_join

from identity_sync.encoding import encode_values
from identity_sync.models import (
    LOCK,
    PRESENT_NAMES,
    WRITTEN,
    Outcome,
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
from identity_sync.report import KINDS
from identity_sync.reports.run_figures import COLUMNS, NOT_APPLIED, OUTCOME_TONES, build_rows
from identity_sync.reports.runs import describe_change, get_oldest_kept_id
from identity_sync.site import acts
from identity_sync.sync.history import MAX_PLANNED_CHANGES, RECORDED_PLANS
from scaiwave.core.locks import is_locked
from scaiwave.site import ReadOnlyAdmin, Section, register_soft_reference
from scaiwave.site.access import PLATFORM, by_tenant, find_limited_operator, limit_rows
from scaiwave.site.filters import make_choice_filter
from scaiwave.site.formatting import (
    EMPTY_VALUE,
    FormattedValue,
    Tone,
    format_badge,
    format_clamped,
    format_id,
    format_name,
    format_time,
    format_word,
    link_to,
    link_to_id,
    value_text,
)
from scaiwave.site.related import list_url
from scaiwave.site.tabs import register_tab
from scaiwave.site.terms import TermForm, is_uuid
from tenants.models import Group, Participant, Partner, Tenant
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
ACTIONS = ("add", "deactivate", "move", "restore", "skipped", "update")
ACTION_TONES = {
    "add": Tone.GOOD,
    "restore": Tone.GOOD,
    "update": Tone.INFO,
    "move": Tone.INFO,
    "deactivate": Tone.BAD,
    "skipped": Tone.WARN,
}
MAX_SHOWN_CHANGES = 20
MAX_SHOWN_PLANNED = 100
SYNC_CODES = "SW_SYNC_"
"""What the codes of the sync's own errors begin with."""
SUBJECTS: dict[str, type[Model]] = {
    "partners": Partner,
    "tenants": Tenant,
    "participants": Participant,
    "groups": Group,
}

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
register_soft_reference(SyncChange, "subject_id", at=list(SUBJECTS.values()))


@admin.register(Registration)
class RegistrationAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.SYNC
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
        "not_applied": Q(outcome__in=NOT_APPLIED),
        **{outcome.value: Q(outcome=outcome) for outcome in Outcome},
    }
    titles: ClassVar = {"not_applied": "Not applied: failed, refused or partial"}


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.SYNC
    searched_forms = frozenset({TermForm.CODE, TermForm.EMAIL})
    list_display = (
        "started_at",
        "outcome_badge",
        "trigger",
        "tenant",
        "changes",
        "duration",
        "requests",
        "operator",
        "error",
    )
    list_filter = (OutcomeFilter, "trigger", "started_at")
    list_select_related = ("tenant",)
    search_fields = ("operator", "error_code__exact", "tenant__slug")
    search_help_text = "Search by operator, code of an error, slug of a tenant, or ID."
    more_fields = ("figures", "planned", "changed", "warning_list", "loss_list")
    field_models: ClassVar = {
        "planned": (SyncPlannedChange,),
        "changed": (SyncChange, SyncChangeValues),
        "loss_list": (Tenant,),
    }
    # The heading has them.
    hidden_fields = (
        "counts",
        "outcome",
        "operator",
        "trigger",
        "requests",
        "duration_seconds",
        "error_code",
        "error_message",
        "error_fix",
        "fix_command",
        "warnings",
        "losses",
        "phases",
    )
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
        """Return the run with what the account may see of it.

        The sync of one tenant can take people from another one.
        """
        run: Any = super().get_object(request, *args, **kwargs)
        if run is not None:
            changes = SyncChange.objects.filter(run=run)
            run.visible_changes = limit_rows(request, changes, CHANGE_SCOPE)
            planned = SyncPlannedChange.objects.filter(run=run, pk__gte=get_oldest_kept_id())
            run.visible_planned = limit_rows(request, planned, CHANGE_SCOPE)
            keys = [tenant for _, tenant, _ in run.losses if is_uuid(tenant)]
            tenants = limit_rows(request, Tenant.objects.filter(pk__in=keys), TENANT_SCOPE)
            run.visible_tenants = {str(tenant.pk): tenant.slug for tenant in tenants}
            run.is_limited = find_limited_operator(request) is not None
        return run

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        """Leave out what a run with this outcome can't have."""
        fields = super().get_fields(request, obj)
        if not isinstance(obj, SyncRun):
            return fields
        outcomes: dict[Any, Sequence[str]] = {
            "planned": RECORDED_PLANS,
            "changed": WRITTEN,
        }
        return [name for name in fields if name not in outcomes or obj.outcome in outcomes[name]]

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
            "is_interrupted": is_running and not is_locked(LOCK),
        }
        return render_to_string("identity_sync/admin/run.html", context)

    @admin.display(description="outcome")
    def outcome_badge(self, run: SyncRun) -> str:
        return format_badge(run.outcome, OUTCOME_TONES.get(Outcome(run.outcome), Tone.NEUTRAL))

    @admin.display(description="figures")
    def figures(self, run: Any) -> str:
        """A table of the counts: kinds by what was done with their records."""
        if not (rows := build_rows(run, has_plan=run.visible_planned.exists())):
            return EMPTY_VALUE
        context = {"columns": ("Kind", *COLUMNS), "rows": rows}
        return render_to_string("scaiwave/admin/figures.html", context)

    @admin.display(description="what changed")
    def changed(self, run: Any) -> str:
        """The first changes with their values; the tab has all of them."""
        related = ("tenant", "stored_values")
        found = run.visible_changes.select_related(*related).order_by("pk")
        changes = list(found[: MAX_SHOWN_CHANGES + 1])
        if not changes:
            return EMPTY_VALUE
        context = {
            "changes": [_describe_change(change) for change in changes[:MAX_SHOWN_CHANGES]],
            "more": len(changes) > MAX_SHOWN_CHANGES,
            "url": list_url(SyncChange._meta.get_field("run"), run),
        }
        return render_to_string("identity_sync/admin/changed.html", context)

    @admin.display(description="planned changes")
    def planned(self, run: Any) -> str:
        """The first changes that were not made, removals first; the tab has the others."""
        found = run.visible_planned.select_related("tenant").order_by("pk")
        changes = list(found[: MAX_SHOWN_PLANNED + 1])
        recorded = len(changes) if len(changes) <= MAX_SHOWN_PLANNED else found.count()
        changes = changes[:MAX_SHOWN_PLANNED]
        existing = _find_existing(changes)
        context = {
            "changes": [_describe_planned(change, existing) for change in changes],
            "total": sum(
                counts.get(name, 0) for counts in run.get_counts().values() for name in _COUNTED
            ),
            "recorded": recorded,
            "limit": MAX_PLANNED_CHANGES,
            "url": list_url(SyncPlannedChange._meta.get_field("run"), run),
        }
        return render_to_string("identity_sync/admin/planned.html", context)

    @admin.display(description="warnings")
    def warning_list(self, run: SyncRun) -> str:
        return format_html_join("", "<div>{}</div>", ((each,) for each in run.warnings)) or "-"

    @admin.display(description="losses of access")
    def loss_list(self, run: Any) -> str:
        """How many lost access in which tenant."""
        names = run.visible_tenants
        lines = (
            (f"{number:,} {format_word(measure)}", link_to_id("tenant", tenant, names[tenant]))
            if tenant in names
            else (f"{number:,} {format_word(measure)}", tenant or EMPTY_VALUE)
            for measure, tenant, number in run.losses
            if tenant in names or not run.is_limited
        )
        return format_html_join("", "<div>{} in {}</div>", lines) or EMPTY_VALUE

    @admin.display(description="changes")
    def changes(self, run: SyncRun) -> str:
        """The counts of each kind that are not 0."""
        summaries = {
            kind: summary
            for kind, counts in run.get_counts().items()
            if (summary := _format_counts(counts))
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


def _describe_change(change: SyncChange) -> dict[str, Any]:
    described = describe_change(change)
    return {
        "url": reverse("admin:identity_sync_syncchange_change", args=[change.pk]),
        "action": described["action"],
        "tone": ACTION_TONES.get(str(described["action"]), Tone.NEUTRAL),
        "kind": format_word(change.kind),
        "subject": format_subject(change),
        "tenant": link_to(change.tenant) if change.tenant else EMPTY_VALUE,
        "values": described["values"],
        "fields": described["fields"],
        "reason": change.reason,
    }


def format_subject(change: SyncChange | SyncPlannedChange) -> str:
    """Return a link to the row, which must exist: a sync never deletes the rows of its changes."""
    model = SUBJECTS.get(change.kind)
    name = "" if model is None else str(model._meta.model_name)
    return link_to_id(name, str(change.subject_id), change.subject_name)


def _describe_planned(change: SyncPlannedChange, existing: set[UUID]) -> dict[str, Any]:
    return {
        "action": _format_planned_action(change),
        "kind": format_word(change.kind),
        "subject": _format_planned_subject(change, existing),
        "tenant": _format_planned_tenant(change),
        "values": encode_values(change.values),
        "reason": change.reason,
    }


def _format_planned_action(change: SyncPlannedChange) -> str:
    tone = Tone.BAD if change.is_removal else ACTION_TONES.get(change.action, Tone.NEUTRAL)
    reason = "loses access" if change.is_removal and change.action == "update" else ""
    return format_badge(change.action, tone, reason)


def _format_planned_subject(change: SyncPlannedChange, existing: set[UUID]) -> str:
    if change.subject_id in existing:
        return format_subject(change)
    return change.subject_name or format_id(change.subject_scaikey_id)


def _format_planned_tenant(change: SyncPlannedChange) -> str:
    return link_to(change.tenant) if change.tenant else change.tenant_slug or EMPTY_VALUE


def _format_values(values: Sequence[dict[str, Any]]) -> str:
    lines = ((each["field"], value_text(each["old"]), value_text(each["new"])) for each in values)
    return format_html_join("", "<div><strong>{}</strong> {} → {}</div>", lines)


def _find_existing(changes: Sequence[SyncPlannedChange]) -> set[UUID]:
    """Return the subjects that have a page: what a plan adds has no row."""
    existing: set[UUID] = set()
    for kind, model in SUBJECTS.items():
        keys = [change.subject_id for change in changes if change.kind == kind]
        if keys:
            existing |= set(model._default_manager.filter(pk__in=keys).values_list("pk", flat=True))
    return existing


_COUNTED = ("added", "updated", "deactivated", "restored", "skipped")


def _format_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{counts[name]:,} {name}" for name in _COUNTED if counts.get(name))


@admin.register(SyncPlannedChange)
class SyncPlannedChangeAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.SYNC
    list_display = (
        "action_badge",
        "kind",
        "subject",
        "tenant_name",
        "values_text",
        "reason",
        "run",
    )
    list_filter = (
        make_choice_filter("action", ACTIONS),
        make_choice_filter("kind", KINDS),
        "is_removal",
    )
    linked_columns = ("subject", "tenant_name")
    list_select_related = ("tenant", "run")
    search_fields = ("subject_name", "subject_scaikey_id__exact", "tenant__slug")
    search_help_text = "Search by name, ID (ScaiWave or ScaiKey), or slug of a tenant."
    id_fields = ("id", "subject_id")
    # The newest run first, and of each the removals.
    ordering = ("-run_id", "id")
    more_fields = ("action_badge", "subject", "tenant_name", "values_text", "reason")
    hidden_fields = (
        *("action", "subject_name", "tenant", "tenant_slug", "values", "is_removal"),
        *("reason_code", "detail"),
    )
    field_models: ClassVar = {"tenant_name": (Tenant,)}

    def format_name(self, change: SyncPlannedChange) -> str:
        return f"{change.action} {format_word(change.kind)} {change.subject_name}"

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncPlannedChange]:
        return super().get_queryset(request).filter(pk__gte=get_oldest_kept_id())

    def _is_shown(self, request: HttpRequest, name: str) -> bool:
        """Hide runs from those who see only some tenants, as for the changes that were made."""
        if name == "run" and find_limited_operator(request) is not None:
            return False
        return super()._is_shown(request, name)

    def prefetch_columns(self, rows: list[Any]) -> None:
        existing = _find_existing(rows)
        for row in rows:
            row.has_page = row.subject_id in existing

    @admin.display(description="action", ordering="action")
    def action_badge(self, change: SyncPlannedChange) -> str:
        return _format_planned_action(change)

    @admin.display(description="subject")
    def subject(self, change: Any) -> str:
        if not hasattr(change, "has_page"):
            self.prefetch_columns([change])
        return _format_planned_subject(change, {change.subject_id} if change.has_page else set())

    @admin.display(description="tenant")
    def tenant_name(self, change: SyncPlannedChange) -> str:
        return _format_planned_tenant(change)

    @admin.display(description="before → after")
    def values_text(self, change: SyncPlannedChange) -> str:
        """The fields before and after the change; of what is skipped there are none."""
        return _format_values(encode_values(change.values)) or EMPTY_VALUE


class ActionFilter(admin.SimpleListFilter):
    """Filters changes by their action; old rows count by its present name."""

    title = "action"
    parameter_name = "action"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]
    ) -> list[tuple[str, str]]:
        return [(action, action) for action in ACTIONS]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[SyncChange]
    ) -> QuerySet[SyncChange]:
        if self.value() is None:
            return queryset
        old_names = [old for old, present in PRESENT_NAMES.items() if present == self.value()]
        return queryset.filter(action__in=[self.value(), *old_names])


@admin.register(SyncChange)
class SyncChangeAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.SYNC
    list_display = (
        "current_action",
        "kind",
        "subject",
        "fields_changed",
        "reason",
        "tenant",
        "run",
    )
    list_filter = (ActionFilter, make_choice_filter("kind", KINDS))
    linked_columns = ("subject",)
    list_select_related = ("tenant", "run")
    search_fields = ("id", "subject_id")
    search_help_text = "Search by the ID of a partner, tenant, participant or group."
    id_fields = ("id", "subject_id")
    more_fields = ("current_action", "subject", "values", "reason")
    field_models: ClassVar = {"values": (SyncChangeValues,)}
    hidden_fields = ("action", "subject_name", "reason_code", "detail")

    def format_name(self, change: SyncChange) -> str:
        return f"{change.get_action()} {format_word(change.kind)} {change.subject_name}"

    def _is_shown(self, request: HttpRequest, name: str) -> bool:
        """Hide runs from those who see only some tenants: they have no page of a full sync."""
        if name == "run" and find_limited_operator(request) is not None:
            return False
        return super()._is_shown(request, name)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        columns = super().get_list_display(request)
        return columns if self._is_shown(request, "run") else [*columns, "synced_at"]

    @admin.display(description="sync")
    def synced_at(self, change: SyncChange) -> str:
        return format_time(change.run.started_at)

    @admin.display(description="action")
    def current_action(self, change: SyncChange) -> str:
        action = change.get_action()
        return format_badge(action, ACTION_TONES.get(action, Tone.NEUTRAL))

    @admin.display(description="before → after")
    def values(self, change: SyncChange) -> str:
        """The changed fields before and after, as long as the values are kept."""
        if not (values := describe_change(change)["values"]):
            return EMPTY_VALUE
        return render_to_string("tenants/admin/changes.html", {"changes": values})

    @admin.display(description="subject")
    def subject(self, change: SyncChange) -> str:
        return format_subject(change)

    @admin.display(description="fields")
    def fields_changed(self, change: SyncChange) -> str:
        return ", ".join(change.get_fields())


@admin.register(SyncChangeValues)
class SyncChangeValuesAdmin(ReadOnlyAdmin):
    """The page of a change links to its values."""

    scope = by_tenant("change__tenant")
    list_display = ("change", "value_lines")
    list_select_related = ("change",)
    more_fields = ("value_table",)
    hidden_fields = ("values",)
    search_fields = ("change_id",)
    search_help_text = "Search by the ID of a change."
    id_fields = ("change_id",)
    ordering = ("-change_id",)
    named_by = ("change",)

    def format_name(self, stored: SyncChangeValues) -> str:
        return f"Values of {format_name(stored.change)}"

    def get_queryset(self, request: HttpRequest) -> QuerySet[SyncChangeValues]:
        return super().get_queryset(request).filter(pk__gte=get_oldest_kept_id())

    @admin.display(description="before → after")
    def value_lines(self, stored: SyncChangeValues) -> str:
        return FormattedValue(_format_values(encode_values(stored.values)), stored.values)

    value_lines.export_key = "values"  # type: ignore[attr-defined]

    @admin.display(description="before → after")
    def value_table(self, stored: SyncChangeValues) -> str:
        context = {"changes": encode_values(stored.values)}
        return render_to_string("tenants/admin/changes.html", context)


@admin.register(SyncSkip)
class SyncSkipAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.SYNC
    list_display = (
        "kind",
        "subject",
        "reason",
        "is_postponed",
        "runs",
        "first_skipped_at",
        "last_skipped_at",
        "tenant",
    )
    list_filter = (make_choice_filter("kind", KINDS), "is_postponed")
    list_select_related = ("tenant",)
    search_fields = ("subject_scaikey_id__exact", "tenant__slug")
    search_help_text = "Search by ScaiKey ID, or slug of a tenant."
    sortable_by = ("first_skipped_at", "runs")
    ordering = ("first_skipped_at", "id")
    linked_columns = ("subject",)
    more_fields = ("subject", "reason")
    hidden_fields = ("subject_name", "reason_code", "detail")

    def format_name(self, skip: SyncSkip) -> str:
        subject = skip.subject_name or skip.subject_scaikey_id
        return f"{format_word(skip.kind)} {subject}: {skip.reason}"

    def prefetch_columns(self, rows: list[Any]) -> None:
        """Find the people among what was skipped; a new person has no row yet."""
        keys = [row.subject_scaikey_id for row in rows if row.kind == "participants"]
        found = Participant.objects.filter(scaikey_id__in=keys)
        people = {
            (tenant, scaikey_id): key
            for tenant, scaikey_id, key in found.values_list("tenant_id", "scaikey_id", "pk")
        }
        for row in rows:
            is_person = row.kind == "participants"
            key = people.get((row.tenant_id, row.subject_scaikey_id)) if is_person else None
            row.participant_id = key

    @admin.display(description="subject")
    def subject(self, skip: Any) -> str:
        """The name, or the ScaiKey ID of what has none; of a person with a link."""
        if not hasattr(skip, "participant_id"):
            self.prefetch_columns([skip])
        name = skip.subject_name
        if skip.participant_id is None:
            return name or format_id(skip.subject_scaikey_id)
        return link_to_id("participant", str(skip.participant_id), name or skip.subject_scaikey_id)


@admin.register(WebhookEvent)
class WebhookEventAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.SYNC
    list_display = (
        "received_at",
        "event_type",
        "scaikey_id",
        "state_badge",
        "seconds",
        "attempts",
        "error_code",
        "run",
    )
    list_filter = ("state", "received_at")
    list_select_related = ("run", "run__tenant")
    search_fields = ("event_id__exact", "scaikey_id__exact")
    search_help_text = "Search by ID of an event, or ScaiKey ID of what it is about."
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
