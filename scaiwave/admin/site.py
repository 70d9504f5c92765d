"""The admin site itself: its titles, and its menu by task."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import PermissionsMixin
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils import timezone

from scaiwave.admin.charts import draw_chart
from scaiwave.admin.menu import Section, build_menu
from scaiwave.admin.overview import load_overview


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
