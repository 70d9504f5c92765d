"""Admin pages, read-only, of the changes of syncs: made, planned and skipped ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.db.models import Case, Count, Model, Q, QuerySet, When, Window
from django.db.models.functions import RowNumber
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from identity_sync.encoding import ValueRow, add_id, encode_values
from identity_sync.models import (
    PRESENT_NAMES,
    SyncChange,
    SyncChangeValues,
    SyncPlannedChange,
    SyncSkip,
)
from identity_sync.report import KINDS
from identity_sync.reports.runs import describe_change, get_oldest_kept_id
from scaiwave.site import ReadOnlyAdmin, Section, register_soft_reference
from scaiwave.site.access import by_tenant, find_limited_operator
from scaiwave.site.filters import make_choice_filter
from scaiwave.site.formatting import (
    EMPTY_VALUE,
    FormattedValue,
    Tone,
    format_badge,
    format_name,
    format_time,
    format_word,
    link_to,
    link_to_id,
    value_text,
)
from tenants.models import Group, Participant, Partner, Tenant

ACTIONS = ("add", "deactivate", "move", "restore", "skipped", "update")
ACTION_TONES = {
    "add": Tone.GOOD,
    "restore": Tone.GOOD,
    "update": Tone.INFO,
    "move": Tone.INFO,
    "deactivate": Tone.BAD,
    "skipped": Tone.WARN,
}
SUBJECTS: dict[str, type[Model]] = {
    "partners": Partner,
    "tenants": Tenant,
    "participants": Participant,
    "groups": Group,
}

register_soft_reference(SyncChange, "subject_id", at=list(SUBJECTS.values()))


MAX_TENANTS = 15
MAX_SHOWN_OF_TENANT = 10
_PAST = {"add": "added", "deactivate": "deactivated", "move": "moved", "restore": "restored"}
_PAST |= {"skipped": "skipped", "update": "updated"}


@dataclass(frozen=True)
class TenantChanges:
    """What a run changes in a tenant, or in none: its counts, and the first rows."""

    tenant: Tenant | None
    losses: int
    total: int
    summary: str
    rows: list[Any]
    url: str


def group_by_tenant(
    changes: QuerySet[Any], is_loss: Q, url: str
) -> tuple[list[TenantChanges], int]:
    """Return the tenants of a run with the most losses first, and how many others there are.

    `url` lists all changes of the run.
    """
    counted = changes.order_by().values("tenant", "kind", "action")
    counted = counted.annotate(number=Count("pk"), lost=Count("pk", filter=is_loss))
    by_tenant: dict[UUID | None, list[dict[str, Any]]] = defaultdict(list)
    for row in counted:
        by_tenant[row["tenant"]].append(row)
    totals = {
        key: (sum(row["lost"] for row in rows), sum(row["number"] for row in rows))
        for key, rows in by_tenant.items()
    }
    keys = sorted(totals, key=lambda key: (totals[key], str(key)), reverse=True)
    keys, others = keys[:MAX_TENANTS], len(keys[MAX_TENANTS:])
    place = Window(
        RowNumber(), partition_by="tenant", order_by=[Case(When(is_loss, then=0), default=1), "pk"]
    )
    first = changes.filter(Q(tenant__in=[key for key in keys if key]) | Q(tenant=None))
    first = first.select_related("tenant").annotate(place=place)
    rows = defaultdict(list)
    for change in first.filter(place__lte=MAX_SHOWN_OF_TENANT).order_by("place"):
        rows[change.tenant_id].append(change)
    return [
        TenantChanges(
            rows[key][0].tenant,
            *totals[key],
            _summarise(by_tenant[key]),
            rows[key],
            f"{url}&tenant__id__exact={key}" if key else url,
        )
        for key in keys
    ], others


def _summarise(rows: Sequence[dict[str, Any]]) -> str:
    """Return such as "people: 43 deactivated, 2 added; memberships: 39 deactivated"."""
    by_kind: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: (-row["lost"], -row["number"])):
        action = PRESENT_NAMES.get(row["action"], row["action"])
        by_kind.setdefault(row["kind"], []).append(f"{row['number']:,} {_PAST.get(action, action)}")
    return "; ".join(f"{format_word(kind)}: {', '.join(each)}" for kind, each in by_kind.items())


def describe_shown_change(change: SyncChange) -> dict[str, Any]:
    described = describe_change(change)
    action = str(described["action"])
    url = reverse("admin:identity_sync_syncchange_change", args=[change.pk])
    tone = ACTION_TONES.get(action, Tone.NEUTRAL)
    return {
        "action": format_html('<a class="badge {}" href="{}">{}</a>', tone.value, url, action),
        "kind": format_word(change.kind),
        "subject": format_subject(change),
        "values": described["values"],
        "fields": described["fields"],
        "reason": change.reason,
    }


def format_subject(change: SyncChange | SyncPlannedChange) -> str:
    """Return a link to the row, which must exist: a sync never deletes the rows of its changes."""
    name = add_id(change.subject_name, change.subject_scaikey_id)
    return link_to_id(change.kind.removesuffix("s"), str(change.subject_id), name)


def describe_planned(change: SyncPlannedChange, existing: set[UUID]) -> dict[str, Any]:
    return {
        "action": _format_planned_action(change),
        "kind": format_word(change.kind),
        "subject": _format_planned_subject(change, existing),
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
    return add_id(change.subject_name, change.subject_scaikey_id)


def _format_values(values: Sequence[ValueRow]) -> str:
    lines = ((each["field"], value_text(each["old"]), value_text(each["new"])) for each in values)
    return format_html_join("", "<div><strong>{}</strong> {} → {}</div>", lines)


def find_existing(changes: Sequence[SyncPlannedChange]) -> set[UUID]:
    """Return the subjects that have a page: planned additions have no row."""
    existing: set[UUID] = set()
    for kind, model in SUBJECTS.items():
        keys = [change.subject_id for change in changes if change.kind == kind]
        if keys:
            existing |= set(model._default_manager.filter(pk__in=keys).values_list("pk", flat=True))
    return existing


class _ChangeAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.SYNC

    def _is_shown(self, request: HttpRequest, name: str) -> bool:
        """Hide runs from those who see only some tenants: they have no page of a full sync."""
        if name == "run" and find_limited_operator(request) is not None:
            return False
        return super()._is_shown(request, name)


@admin.register(SyncPlannedChange)
class SyncPlannedChangeAdmin(_ChangeAdmin):
    list_display = (
        *("action_badge", "kind", "subject", "tenant_name", "values_text", "reason", "run"),
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

    def prefetch_columns(self, rows: list[Any]) -> None:
        existing = find_existing(rows)
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
        return link_to(change.tenant) if change.tenant else change.tenant_slug or EMPTY_VALUE

    @admin.display(description="before → after")
    def values_text(self, change: SyncPlannedChange) -> str:
        """The fields before and after the change; skipped rows have none."""
        return _format_values(encode_values(change.values)) or EMPTY_VALUE


class ActionFilter(admin.SimpleListFilter):
    """Filters changes by their action; old rows count by its present name."""

    title = "action"
    parameter_name = "action"

    def lookups(
        self, request: HttpRequest, model_admin: admin.ModelAdmin[SyncChange]
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
class SyncChangeAdmin(_ChangeAdmin):
    list_display = (
        *("current_action", "kind", "subject", "fields_changed", "reason", "tenant", "run"),
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
        *("kind", "subject", "reason", "is_postponed", "runs", "first_skipped_at"),
        *("last_skipped_at", "tenant"),
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
        """Find the people among the skipped rows; a new person has no row yet."""
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
        """The name, or the ScaiKey ID without one; people have a link."""
        if not hasattr(skip, "participant_id"):
            self.prefetch_columns([skip])
        name = add_id(skip.subject_name, skip.subject_scaikey_id)
        is_known = skip.participant_id is not None
        return link_to_id("participant", str(skip.participant_id), name) if is_known else name
