"""The search across all lists that take part in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.text import capfirst

from scaiwave.admin.base import MAX_TERM_CHARS, ReadOnlyAdmin
from scaiwave.admin.formatting import format_name

MAX_ROWS = 5


@dataclass(frozen=True)
class Found:
    text: str
    url: str


@dataclass(frozen=True)
class FoundRows:
    """Rows of one list; `url` is the list with the same search, which has all of them."""

    title: str
    url: str
    rows: list[Found]
    has_more: bool


def search_site(site: AdminSite, request: HttpRequest, term: str) -> list[FoundRows]:
    """Search the lists that the account may see, each as its own search does.

    A list finds a term of the forms that its help text names. Reads a few rows of each.
    """
    found = []
    term = term.strip()[:MAX_TERM_CHARS]
    if term and "\0" not in term:  # PostgreSQL refuses it in a text.
        for model_admin in _list_searched(site, request):
            queryset = model_admin.get_queryset(request)
            matches, _ = model_admin.get_search_results(request, queryset, term)
            rows = list(matches.order_by(*model_admin.ordering)[: MAX_ROWS + 1])
            if rows:
                found.append(_build_rows(model_admin, term, rows))
    return found


def _list_searched(site: AdminSite, request: HttpRequest) -> list[ReadOnlyAdmin]:
    admins = [site.get_model_admin(model) for model in site._registry]
    return [
        each
        for each in sorted(admins, key=lambda each: getattr(each, "position", 1))
        if isinstance(each, ReadOnlyAdmin)
        and each.is_searched
        and each.has_view_permission(request)
    ]


def _build_rows(model_admin: ReadOnlyAdmin, term: str, rows: list[Any]) -> FoundRows:
    meta = model_admin.model._meta
    name = f"admin:{meta.app_label}_{meta.model_name}"
    return FoundRows(
        title=capfirst(str(meta.verbose_name_plural)),
        url=f"{reverse(f'{name}_changelist')}?{urlencode({'q': term})}",
        rows=[
            Found(_describe(row), reverse(f"{name}_change", args=[row.pk]))
            for row in rows[:MAX_ROWS]
        ],
        has_more=len(rows) > MAX_ROWS,
    )


def _describe(row: Model) -> str:
    return format_name(row) or str(row.pk)
