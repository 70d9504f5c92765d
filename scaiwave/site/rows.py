"""Rows that several parts of one page show, read once for each request."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.db.models import Model
from django.http import HttpRequest

_CACHE = "_scaiwave_admin_rows"


def find_row(
    site: AdminSite, request: HttpRequest, model: type[Model], key: str | None
) -> Model | None:
    """Return a row by its ID, or None if the account may not see it or it does not exist."""
    if not key or not site.is_registered(model):
        return None
    cache: dict[tuple[type[Model], str], Model | None] = request.__dict__.setdefault(_CACHE, {})
    if (model, key) not in cache:
        model_admin = site.get_model_admin(model)
        is_visible = model_admin.has_view_permission(request)
        cache[model, key] = model_admin.get_object(request, key) if is_visible else None
    return cache[model, key]
