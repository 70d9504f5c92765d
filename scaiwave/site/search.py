"""The search across all lists of the site."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.admin import AdminSite
from django.db.models import ForeignKey, Model, QuerySet, UUIDField
from django.http import HttpRequest
from django.utils.text import capfirst

from scaiwave.site.base import ReadOnlyAdmin
from scaiwave.site.formatting import model_url
from scaiwave.site.model_admins import ModelField
from scaiwave.site.related import count_rows
from scaiwave.site.terms import MAX_TERM_CHARS, TermForm, get_term_form

MAX_ROWS = 5

Match = tuple[ReadOnlyAdmin, QuerySet[Model]]
"""A list, and the rows of it that a term finds."""


@dataclass(frozen=True)
class Found:
    """`details` distinguish the row from others of the same name. `value` names it in a filter."""

    text: str
    details: str
    url: str
    value: str


@dataclass(frozen=True)
class FoundRows:
    """Rows of one list; `url` is the list with the same search, which has all of them.

    `is_by_name` is true for lists whose rows have names, and not for joins and records.
    """

    title: str
    url: str
    rows: list[Found]
    has_more: bool
    is_by_name: bool


def search_site(
    site: AdminSite, request: HttpRequest, term: str, model: str = ""
) -> list[FoundRows]:
    """Search the lists that the account may see, and whose rows a term of this form can find.

    A UUID finds the row with this ID in every list. Reads a few rows of each list. `model` is the
    label of the only one to search.
    """
    term = term.strip()[:MAX_TERM_CHARS]
    if not term or "\0" in term:  # PostgreSQL refuses it in a text.
        return []
    registered = (site.get_model_admin(model) for model in site._registry)
    admins = [
        each
        for each in sorted(registered, key=lambda each: getattr(each, "position", 1))
        if isinstance(each, ReadOnlyAdmin)
        and each.has_view_permission(request)
        and model in {"", each.model._meta.label_lower}
    ]
    form = get_term_form(term)
    if form is TermForm.ID:
        matches = [_match_id(each, request, term) for each in admins]
        counts = count_rows([rows for _, rows in matches], 1)
        matches = [match for match, count in zip(matches, counts, strict=True) if count]
    else:
        asked = [each for each in admins if form in each.searched_forms]
        matches = [_match(each, request, term) for each in asked]
    found = [(model_admin, _read_rows(model_admin, rows)) for model_admin, rows in matches]
    return [_build(request, each, term, rows) for each, rows in found if rows]


def find_only(found: Sequence[FoundRows]) -> Found | None:
    """Return the row that the search is about, if that is clear.

    A row found by its name comes before rows that share its ID.
    """
    named = [each for each in found if each.is_by_name]
    rows = [row for each in named or found for row in each.rows]
    return rows[0] if len(rows) == 1 else None


def _match(model_admin: ReadOnlyAdmin, request: HttpRequest, term: str) -> Match:
    """Find a term as the search of the list does."""
    rows, _ = model_admin.get_search_results(request, model_admin.get_queryset(request), term)
    return model_admin, rows


def _match_id(model_admin: ReadOnlyAdmin, request: HttpRequest, term: str) -> Match:
    """Find a row by its ID. In lists with names that may also be the ID that ScaiKey has given."""
    if model_admin.searched_forms:
        return _match(model_admin, request, term)
    rows = model_admin.get_queryset(request)
    key: ModelField = model_admin.model._meta.pk
    if isinstance(key, ForeignKey):
        key = key.target_field
    is_found = isinstance(key, UUIDField)
    return model_admin, rows.filter(pk=UUID(term)) if is_found else rows.none()


def _read_rows(model_admin: ReadOnlyAdmin, rows: QuerySet[Model]) -> list[Model]:
    """Read the first rows with what their names consist of, and one more if there is."""
    related = model_admin.list_select_related
    if not isinstance(related, bool):
        rows = rows.select_related(*related)
    return list(rows.prefetch_related(None).order_by(*model_admin.ordering)[: MAX_ROWS + 1])


def _build(
    request: HttpRequest, model_admin: ReadOnlyAdmin, term: str, rows: list[Model]
) -> FoundRows:
    model = model_admin.model
    return FoundRows(
        title=capfirst(str(model._meta.verbose_name_plural)),
        url=f"{model_url(model, 'changelist')}?{urlencode({'q': term})}",
        rows=[
            Found(*model_admin.describe(request, row), model_url(row, "change", row.pk), str(row))
            for row in rows[:MAX_ROWS]
        ],
        has_more=len(rows) > MAX_ROWS,
        is_by_name=bool(model_admin.searched_forms),
    )
