from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import escape, format_html

from scaiwave.core.operators import OperatorRole, get_host_operator
from scaiwave.site import ReadOnlyAdmin, Section, register_soft_reference
from scaiwave.site.access import PLATFORM, by_tenant_text, find_limited_operator
from scaiwave.site.filters import TypedFilter, get_day_start, make_choice_filter
from scaiwave.site.formatting import (
    EMPTY_VALUE,
    FormattedValue,
    format_clamped,
    format_count,
    format_id,
    format_json,
    format_time,
    format_word,
    link_to_id,
    load_json,
    value_text,
)
from scaiwave.site.tabs import register_tab
from scaiwave.site.terms import MAX_TERM_CHARS, is_uuid
from tenants.audit.queries.actions import AUDIT_ACTIONS
from tenants.audit.queries.entries import AuditFilter, filter_entries, search_entries
from tenants.audit.queries.format import RECORD_BYTES, hash_statement
from tenants.audit.texts import name_type, split_details
from tenants.errors import AmbiguousName, TenantNotFound
from tenants.lookup.subjects import load_participant_names
from tenants.models import (
    AuditChain,
    AuditEntry,
    AuditPruning,
    AuditSeal,
    AuditSealPart,
    Counter,
    Participant,
    Partner,
    Role,
    Tenant,
)

register_soft_reference(AuditEntry, "tenant_id", at=[Tenant])
register_soft_reference(AuditEntry, "subject_id", at=[Partner, Participant, Role])


register_tab(Tenant, "Audit", AuditEntry, "tenant_id", position=7)
register_tab(Participant, "Audit", AuditEntry, "subject_id", position=9)


class AuditFields(TypedFilter):
    """The filters of `scaiwave admin audit`."""

    title = "period, operator, tenant, subject"
    fields: ClassVar = {
        "from": ("From", "date"),
        "to": ("To", "date"),
        "operator": ("Operator", "text"),
        "tenant": ("Tenant", "text"),
        "subject": ("Subject: name, e-mail or ID", "text"),
    }
    suggests: ClassVar = {"tenant": "tenants.tenant"}

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        given: dict[str, Any] = dict(self.used_parameters)
        filters = AuditFilter(
            tenant=given.get("tenant"),
            operator=given.get("operator"),
            subject=given.get("subject"),
            since=get_day_start(given["from"]) if "from" in given else None,
            until=get_day_start(given["to"], days=1) if "to" in given else None,
        )
        operator = find_limited_operator(request) or get_host_operator()
        try:
            return filter_entries(queryset, operator, filters)
        except (TenantNotFound, AmbiguousName):
            return queryset.none()


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    scope = by_tenant_text("tenant_id")
    section = Section.AUDIT
    list_display = ("at", "action_words", "subject", "change_text", "tenant", "who", "origin")
    list_filter = (
        AuditFields,
        make_choice_filter("action", AUDIT_ACTIONS),
        make_choice_filter("operator_role", [role.value for role in OperatorRole]),
    )
    search_fields = ("action", "operator", "subject_name", "tenant_slug", "subject_id__exact")
    search_help_text = (
        "Search by the first letters of words in action, operator, subject or tenant, or by ID."
    )
    linked_columns = ("subject", "tenant")
    more_fields = ("action_words", "subject", "changes", "other_details", "tenant", "who")
    hidden_fields = (
        *("action", "details", "operator", "operator_id", "operator_role", "subject_name"),
        *("subject_type", "tenant_slug"),
    )
    id_fields = ("id", "subject_id", "tenant_id")
    sortable_by = ("at",)
    ordering = ("-at", "-id")

    def get_ordering(self, request: HttpRequest) -> list[Any]:
        """Sort the entries of an action, for example, by ID, as its index does; IDs are in the
        order of time."""
        is_selected = any(map(request.GET.get, ("action", "operator", "tenant", "subject")))
        return ["-id"] if is_selected else list(self.ordering)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()[:MAX_TERM_CHARS]
        if not term or is_uuid(term):
            return super().get_search_results(request, queryset, search_term)
        return search_entries(queryset, term) if "\0" not in term else queryset.none(), False

    def format_name(self, entry: AuditEntry) -> str:
        action = format_word(entry.action)
        what = f"{entry.operator}: {action} {entry.subject_name}".strip()
        return format_html("{} {}", format_time(entry.at), what)

    @admin.display(description="action")
    def action_words(self, entry: AuditEntry) -> str:
        return FormattedValue(escape(format_word(entry.action)), entry.action)

    @admin.display(description="what")
    def change_text(self, entry: AuditEntry) -> str:
        """The changed fields, then the other details, in one line; without any, the action."""
        changes, others = split_details(entry.details)
        parts = [
            f"{each['field']}: {value_text(each['old'])} → {value_text(each['new'])}"
            for each in changes
        ]
        parts += [
            f"{format_word(name)}: {_format_value(name, value)}"
            for name, value in others
            if value not in (None, "", [], {}) and value is not False
        ]
        action = f"{format_word(entry.action)} {entry.subject_name}".strip()
        return format_clamped("; ".join(parts) or action)

    @admin.display(description="other details")
    def other_details(self, entry: AuditEntry) -> str:
        _, others = split_details(entry.details)
        details = [(format_word(name), _format_value(name, value)) for name, value in others]
        if not details:
            return EMPTY_VALUE
        return render_to_string("tenants/admin/details.html", {"details": details})

    @admin.display(description="operator", ordering="operator")
    def who(self, entry: AuditEntry) -> str:
        role = entry.operator_role.replace("_", " ")
        html = format_html('{} <span class="why note-below">{}</span>', entry.operator, role)
        return FormattedValue(html, entry.operator)

    @admin.display(description="changes")
    def changes(self, entry: AuditEntry) -> str:
        """The changed fields before and after."""
        changes, _ = split_details(entry.details)
        if not changes:
            return EMPTY_VALUE
        return render_to_string("tenants/admin/changes.html", {"changes": changes})

    def prefetch_columns(self, rows: list[Any]) -> None:
        names = load_participant_names(rows)
        for row in rows:
            row.present_name = names.get(row.subject_id, row.subject_name)

    @admin.display(description="subject")
    def subject(self, entry: Any) -> str:
        """A link to the subject, with its type. If that was deleted, it leads to an error page."""
        if not hasattr(entry, "present_name"):
            self.prefetch_columns([entry])
        link = link_to_id(entry.subject_type, entry.subject_id, entry.present_name)
        kind = name_type(entry.subject_type)
        html = format_html('{} <span class="why note-below">{}</span>', link, kind)
        return FormattedValue(html, entry.present_name or entry.subject_id)

    @admin.display(description="tenant")
    def tenant(self, entry: AuditEntry) -> str:
        return link_to_id("tenant", entry.tenant_id, entry.tenant_slug)


def _format_value(name: str, value: Any) -> str:
    return format_word(value) if name == "outcome" and isinstance(value, str) else value_text(value)


@admin.register(AuditSeal)
class AuditSealAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.AUDIT
    list_display = ("day", "number", "entries", "sealed_at", "key_id")
    search_fields = ("key_id",)
    search_help_text = "Search by the ID of a key."
    more_fields = ("digest", "signed")
    hidden_fields = ("statement",)

    def format_name(self, seal: AuditSeal) -> str:
        return f"Seal {seal.number}, of {seal.day:%Y-%m-%d}"

    sortable_by = ("day",)
    ordering = ("-number",)

    @admin.display(description="SHA-256")
    def digest(self, seal: AuditSeal) -> str:
        return format_id(hash_statement(seal.statement))

    @admin.display(description="signed statement")
    def signed(self, seal: AuditSeal) -> str:
        return format_json(load_json(seal.statement))

    def get_list_note(self, request: HttpRequest) -> str:
        return (
            "Each seal proves which audit entries a day had. "
            "`scaiwave admin audit verify` compares them."
        )


@admin.register(AuditPruning)
class AuditPruningAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.AUDIT
    list_display = ("pruned_at", "through", "entries", "key_id")
    ordering = ("-pruned_at", "-id")
    more_fields = ("signed",)
    hidden_fields = ("statement",)

    def format_name(self, pruning: AuditPruning) -> str:
        return f"Deleted through {pruning.through:%Y-%m-%d}"

    @admin.display(description="signed statement")
    def signed(self, pruning: AuditPruning) -> str:
        return format_json(load_json(pruning.statement))


@admin.register(AuditChain)
class AuditChainAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.INTERNALS
    list_display = ("sealed_through", "seals")

    def format_name(self, chain: AuditChain) -> str:
        return str(chain) if chain.sealed_through else "nothing is sealed yet"


@admin.register(AuditSealPart)
class AuditSealPartAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.INTERNALS
    list_display = ("day", "number", "entries")
    more_fields = ("entries",)
    hidden_fields = ("hashes",)
    ordering = ("-day", "-number")
    number_columns = ("entries",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditSealPart]:
        """Leave the hashes in the database; a page of the list would read megabytes."""
        rows: QuerySet[AuditSealPart] = super().get_queryset(request)
        return rows.defer("hashes").annotate(size=Length("hashes"))

    @admin.display(description="entries")
    def entries(self, part: Any) -> str:
        return format_count(part.size // RECORD_BYTES)


@admin.register(Counter)
class CounterAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.INTERNALS
    list_display = ("name", "label_text", "value")
    more_fields = ("label_text",)
    hidden_fields = ("labels",)
    search_fields = ("name",)
    search_help_text = "Search by name."
    ordering = ("name", "labels")

    @admin.display(description="labels")
    def label_text(self, counter: Counter) -> str:
        return FormattedValue(escape(counter.format_labels() or EMPTY_VALUE), counter.labels)
