from __future__ import annotations

from typing import Any

from django.contrib import admin

from scaiwave.admin import ReadOnlyAdmin, register_soft_reference
from tenants.admin.usage import highlight_near_cap
from tenants.models import AuditEntry, Counter, Participant, Partner, Role, Tenant, TokenUsage
from tenants.queries.audit_subjects import load_participant_names
from tenants.queries.usage import cap_fraction, format_percent

register_soft_reference(AuditEntry, "tenant_id", at=[Tenant])
register_soft_reference(AuditEntry, "subject_id", at=[Partner, Participant, Role])


@admin.register(TokenUsage)
class TokenUsageAdmin(ReadOnlyAdmin):
    list_display = ("usage_month", "tenant", "tokens", "share", "inputs", "outputs", "fetched_at")
    list_select_related = ("tenant",)
    search_fields = ("tenant__slug",)
    sortable_by = ("usage_month", "tokens")
    ordering = ("-month", "-id")
    more_fields = ("share",)

    @admin.display(description="month", ordering="month")
    def usage_month(self, usage: TokenUsage) -> str:
        return f"{usage.month:%Y-%m}"

    @admin.display(description="total tokens", ordering="total_tokens")
    def tokens(self, usage: TokenUsage) -> str:
        return f"{usage.total_tokens:,}"

    @admin.display(description="input tokens")
    def inputs(self, usage: TokenUsage) -> str:
        return f"{usage.input_tokens:,}"

    @admin.display(description="output tokens")
    def outputs(self, usage: TokenUsage) -> str:
        return f"{usage.output_tokens:,}"

    @admin.display(description="share of current cap")
    def share(self, usage: TokenUsage) -> str | None:
        fraction = cap_fraction(usage.total_tokens, usage.tenant.max_ai_tokens_month)
        row = {"ai_tokens_share": fraction}
        return None if fraction is None else highlight_near_cap(row, format_percent(row))


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = (
        "at",
        "action",
        "subject_type",
        "subject",
        "tenant_slug",
        "operator",
        "operator_role",
        "origin",
    )
    list_filter = ("at", "operator_role")
    search_fields = ("action", "operator", "subject_name", "tenant_slug", "subject_id__exact")
    id_fields = ("id", "subject_id", "tenant_id")
    sortable_by = ("at",)
    ordering = ("-at", "-id")

    def prefetch_columns(self, rows: list[Any]) -> None:
        names = load_participant_names(rows)
        for row in rows:
            row.present_name = names.get(row.subject_id, row.subject_name)

    @admin.display(description="subject")
    def subject(self, entry: Any) -> str:
        return str(entry.present_name)


@admin.register(Counter)
class CounterAdmin(ReadOnlyAdmin):
    list_display = ("name", "labels", "value")
    search_fields = ("name",)
    ordering = ("name", "labels")
