"""The admin site itself: its titles, and its menu by task."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from scaiwave.admin.menu import Section, build_menu


class OperatorSite(admin.AdminSite):
    site_header = "ScaiWave operators"
    site_title = "ScaiWave operators"
    index_title = "Overview"
    index_template = "scaiwave/admin/index.html"
    site_url = None

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
