"""The list and the pages of tenants."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import F
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from scaiwave.site import Section
from scaiwave.site.access import by_tenant
from scaiwave.site.formatting import (
    EMPTY_VALUE,
    FormattedValue,
    format_clamped,
    format_json,
    format_meter,
    format_time,
)
from scaiwave.site.terms import TermForm
from tenants.models import Tenant
from tenants.people.queries.figures import find_figure, find_figure_model, load_figures
from tenants.people.queries.limits import BY_FIGURE, LIMITS
from tenants.people.site.filters import (
    LimitFilter,
    OriginFilter,
    PartnerFilter,
    SkippedFilter,
    StatusFilter,
)
from tenants.people.site.status import StatusAdmin

FIGURES = {
    "people": "members",
    "rooms": "rooms",
    "storage": "storage_bytes",
    "ai_tokens": "ai_tokens",
    "last_sync": "last_sync_at",
    "last_activity": "last_activity_at",
}
"""The figures that columns show."""
LIMITED = ("people", "rooms", "storage", "ai_tokens")
LIMIT_TITLES = ("People", "Rooms", "Storage", "AI tokens this month")


def _get_percent(tenant: Any, name: str) -> int | None:
    """Return the percentage of a limit that is used; the first one uses up a limit of 0."""
    used, limit = tenant.figures[name], BY_FIGURE[name].get(tenant)
    if used is None or limit is None:
        return None
    return used * 100 // limit if limit else 100 * bool(used)


def _list_export_columns(key: str, name: str) -> dict[str, Callable[[Any], Any]]:
    """Return use, limit and percentage, as the list shows them in one column."""
    return {
        key: lambda tenant: tenant.figures[name],
        f"{key}_limit": BY_FIGURE[name].get,
        f"{key}_percent": lambda tenant: _get_percent(tenant, name),
    }


@admin.register(Tenant)
class TenantAdmin(StatusAdmin):
    scope = by_tenant("pk")
    section = Section.TENANTS
    searched_forms = frozenset({TermForm.TEXT, TermForm.EMAIL})
    position = 0
    list_display = (
        *("slug", "name_clamped", "status_text", "partner", "people", "rooms", "storage"),
        *("ai_tokens", "last_sync", "last_activity"),
    )
    list_filter = (
        StatusFilter,
        ("partner", PartnerFilter),
        LimitFilter,
        SkippedFilter,
        OriginFilter,
    )
    list_select_related = ("partner",)
    search_fields = ("slug", "name", "contact_email", "scaikey_tenant_id__exact")
    search_help_text = "Search by slug, name, contact address, or ID (ScaiWave or ScaiKey)."
    id_fields = ("id", "scaikey_tenant_id")
    # Sorting by a figure counts it for every tenant, of which there are some ten thousand at most.
    sortable_by = list_display
    ordering = ("slug", "-id")
    more_fields = ("last_sync", "last_activity", "feature_table")
    number_columns = LIMITED
    hidden_fields = ("features", *(limit.field for limit in LIMITS))

    export_columns: ClassVar = {
        **StatusAdmin.export_columns,
        "name_clamped": {"name": attrgetter("name")},
        "people": {
            "people": lambda tenant: tenant.figures["members"] or 0,
            **_list_export_columns("participants", "participants"),
        },
        "rooms": _list_export_columns("rooms", "rooms"),
        "storage": _list_export_columns("storage", "storage_bytes"),
        "ai_tokens": _list_export_columns("ai_tokens_this_month", "ai_tokens"),
        "last_sync": {"last_sync": lambda tenant: tenant.figures["last_sync_at"]},
        "last_activity": {"last_activity": lambda tenant: tenant.figures["last_activity_at"]},
    }

    def _is_shown(self, request: HttpRequest, name: str) -> bool:
        """Show figures of rows that the account may see."""
        model = find_figure_model(FIGURES[name]) if name in FIGURES else None
        is_visible = model is None or self._can_view(request, model)
        return is_visible and super()._is_shown(request, name)

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        filters = super().get_list_filter(request)
        if not all(self._is_shown(request, name) for name in LIMITED):
            filters.remove(LimitFilter)
        skips = find_figure_model("skipped_rows")
        if skips is not None and not self._can_view(request, skips):
            filters.remove(SkippedFilter)
        return filters

    def prefetch_columns(self, rows: list[Any]) -> None:
        figures = load_figures([row.pk for row in rows], timezone.now()) if rows else {}
        for row in rows:
            row.figures = figures.get(row.pk, {})

    def find_sort_expression(self, name: Any) -> Any:
        if name == "partner":
            return F("partner__slug")
        figure = find_figure(name, timezone.now()) if isinstance(name, str) else None
        return super().find_sort_expression(name) if figure is None else figure

    def _get_figure(self, tenant: Any, name: str) -> Any:
        if not hasattr(tenant, "figures"):
            self.prefetch_columns([tenant])
        return tenant.figures.get(name)

    def split_heading(self, tenant: Tenant) -> tuple[str, str]:
        return tenant.name or str(tenant), tenant.slug

    def summarise(self, tenant: Tenant, request: HttpRequest) -> str:
        """Return the status, and a meter for each limit."""
        limits = [
            (title, getattr(self, name)(tenant))
            for name, title in zip(LIMITED, LIMIT_TITLES, strict=True)
            if self._is_shown(request, name)
        ]
        meters = format_html_join("", '<div><span class="name">{}</span><br>{}</div>', limits)
        return format_html("<div>{}</div>{}", self.status_text(tenant), meters)

    @admin.display(description="features")
    def feature_table(self, tenant: Tenant) -> str:
        return format_json(tenant.features) if tenant.features else "none of its own"

    @admin.display(description="name", ordering="name")
    def name_clamped(self, tenant: Tenant) -> str:
        return format_clamped(tenant.name)

    @admin.display(description="people", ordering="members")
    def people(self, tenant: Tenant) -> str:
        """The active people, as everywhere. The limit also counts AI and bridges."""
        people = self._get_figure(tenant, "members") or 0
        used, limit = self._get_figure(tenant, "participants"), tenant.max_participants
        more = f"{used:,} with AI and bridges" if limit is not None and used != people else ""
        html = self._format_use(tenant, "participants", text=f"{people:,}", note=more)
        return FormattedValue(html, people)

    @admin.display(description="rooms", ordering="rooms")
    def rooms(self, tenant: Tenant) -> str:
        """The rooms that are not closed, which the limit counts."""
        return self._format_use(tenant, "rooms")

    @admin.display(description="storage", ordering="storage_bytes")
    def storage(self, tenant: Tenant) -> str:
        return self._format_use(tenant, "storage_bytes")

    @admin.display(description="AI tokens this month", ordering="ai_tokens")
    def ai_tokens(self, tenant: Tenant) -> str:
        return self._format_use(tenant, "ai_tokens")

    @admin.display(description="last sync", ordering="last_sync_at")
    def last_sync(self, tenant: Tenant) -> str:
        """The end of the last sync that covered the tenant and was written."""
        return format_time(self._get_figure(tenant, "last_sync_at"))

    @admin.display(description="last activity", ordering="last_activity_at")
    def last_activity(self, tenant: Tenant) -> str:
        """The time of the newest event in its rooms."""
        return format_time(self._get_figure(tenant, "last_activity_at"))

    def _format_use(self, tenant: Tenant, name: str, *, text: str = "", note: str = "") -> str:
        """Return a figure beside its limit, with a meter. `text` replaces the figure."""
        used, limit = self._get_figure(tenant, name), BY_FIGURE[name].get(tenant)
        if used is None and limit is None:
            return EMPTY_VALUE
        format_number = BY_FIGURE[name].format
        text = text or ("unknown" if used is None else format_number(used))
        text = text if limit is None else f"{text} / {format_number(limit)}"
        meter = format_meter(used, limit, text)
        return (
            format_html('{} <span class="why note-below">{}</span>', meter, note) if note else meter
        )
