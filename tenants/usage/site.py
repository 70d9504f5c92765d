"""Admin pages of token usage."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import by_tenant
from scaiwave.site.formatting import (
    EMPTY_VALUE,
    FormattedValue,
    format_count,
    format_meter,
)
from scaiwave.site.tabs import register_tab
from tenants.models import (
    Tenant,
    TokenUsage,
)
from tenants.people.queries.tenants import usage_month
from tenants.people.queries.token_usage import cap_fraction, format_percent


class MonthFilter(admin.SimpleListFilter):
    """Filter usage by a month, such as `2026-11`. The choices are the last ones."""

    title = "month"
    parameter_name = "month"
    MONTHS = 12

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        month, months = usage_month(timezone.now()), []
        for _ in range(self.MONTHS):
            months.append(f"{month:%Y-%m}")
            month = (month - timedelta(days=1)).replace(day=1)
        return [(each, each) for each in months]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        try:
            month = date.fromisoformat(f"{self.value()}-01")
        except ValueError:
            return queryset
        return queryset.filter(month=month)


register_tab(Tenant, "Usage", TokenUsage, "tenant", position=8)


@admin.register(TokenUsage)
class TokenUsageAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.TENANTS
    list_display = ("usage_month", "tenant", "tokens", "share", "inputs", "outputs", "fetched_at")
    list_filter = (MonthFilter,)
    list_select_related = ("tenant",)
    search_fields = ("tenant__slug",)
    search_help_text = "Search by the slug of a tenant."
    sortable_by = ("usage_month", "tokens")
    ordering = ("-month", "-id")
    more_fields = ("share",)
    field_models: ClassVar = {"share": (Tenant,)}
    named_by = ("tenant",)

    @admin.display(description="month", ordering="month")
    def usage_month(self, usage: TokenUsage) -> str:
        return f"{usage.month:%Y-%m}"

    @admin.display(description="total tokens", ordering="total_tokens")
    def tokens(self, usage: TokenUsage) -> str:
        return format_count(usage.total_tokens)

    @admin.display(description="input tokens")
    def inputs(self, usage: TokenUsage) -> str:
        return format_count(usage.input_tokens)

    @admin.display(description="output tokens")
    def outputs(self, usage: TokenUsage) -> str:
        return format_count(usage.output_tokens)

    @admin.display(description="share of current cap")
    def share(self, usage: TokenUsage) -> str:
        cap = usage.tenant.max_ai_tokens_month
        fraction = cap_fraction(usage.total_tokens, cap)
        if fraction is None:
            return EMPTY_VALUE
        percent = format_percent({"ai_tokens_share": fraction})
        return FormattedValue(format_meter(usage.total_tokens, cap, percent), percent)
