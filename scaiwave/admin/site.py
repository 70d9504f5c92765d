"""The admin site itself: its titles, and its menu by task."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import PermissionsMixin
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone

from scaiwave.admin.act_view import show_act
from scaiwave.admin.charts import draw_chart
from scaiwave.admin.menu import Section, build_menu
from scaiwave.admin.overview import load_overview
from scaiwave.admin.search import search_site


class OperatorSite(admin.AdminSite):
    site_header = "ScaiWave operators"
    site_title = "ScaiWave operators"
    index_title = "Overview"
    index_template = "scaiwave/admin/index.html"
    site_url = None

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Show the overview, as far as the account may see what each part is about."""
        user = cast(PermissionsMixin, request.user)
        overview = load_overview(timezone.now(), user.has_perm)
        charts = [draw_chart(chart) for chart in overview["charts"]]
        context = {"overview": overview, "charts": charts, **(extra_context or {})}
        return super().index(request, context)

    def get_urls(self) -> list[Any]:
        return [
            path("search/", self.admin_view(self.search), name="search"),
            path("act/<str:slug>/", self.admin_view(self.act), name="act"),
            path("act/<str:slug>/<str:row_id>/", self.admin_view(self.act), name="act"),
            *super().get_urls(),
        ]

    def act(self, request: HttpRequest, slug: str, row_id: str = "") -> HttpResponseBase:
        return show_act(self, request, slug, row_id)

    def search(self, request: HttpRequest) -> HttpResponse:
        """Search all lists; go to the row at once if it is the only one."""
        term = request.GET.get("q", "").strip()
        found = search_site(self, request, term)
        rows = [row for each in found for row in each.rows]
        if len(rows) == 1:
            return HttpResponseRedirect(rows[0].url)
        context = {
            **self.each_context(request),
            "title": f"Search for {term}" if term else "Search",
            "term": term,
            "found": found,
        }
        return TemplateResponse(request, "scaiwave/admin/search.html", context)

    def get_app_list(
        self, request: HttpRequest, app_label: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the sections of the menu, or the models of one app for its own page."""
        if app_label is not None:
            return super().get_app_list(request, app_label)
        apps = self._build_app_dict(request)
        visible = {model["model"]: model for app in apps.values() for model in app["models"]}
        ordered = sorted(self._registry.items(), key=lambda item: getattr(item[1], "position", 1))
        return build_menu(
            (getattr(model_admin, "section", Section.INTERNALS), visible[model])
            for model, model_admin in ordered
            if model in visible
        )
