from __future__ import annotations

from django.contrib import admin

from scaiwave.admin import ReadOnlyAdmin, points_by_id
from tenants.models import AuditEntry, Participant, Partner, Role, Tenant, TokenUsage

points_by_id(AuditEntry, "tenant_id", at=[Tenant])
points_by_id(AuditEntry, "subject_id", at=[Partner, Participant, Role])


@admin.register(TokenUsage)
class TokenUsageAdmin(ReadOnlyAdmin):
    list_display = (
        "month",
        "tenant",
        "total_tokens",
        "input_tokens",
        "output_tokens",
        "fetched_at",
    )
    list_select_related = ("tenant",)
    search_fields = ("tenant__slug",)
    sortable_by = ("month", "total_tokens")
    ordering = ("-month", "-id")


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    list_display = (
        "at",
        "action",
        "subject_type",
        "subject_name",
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
