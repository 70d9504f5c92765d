"""Tabs of a row: its page, and the lists of what belongs to it, each with an address of its own.

A tab is the usual list, filtered by the row, below the same heading. Apps register the lists that
they have for rows of the apps below them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.admin import AdminSite
from django.db.models import Model
from django.http import HttpRequest
from django.utils.text import capfirst

from scaiwave.site.filters import filter_parameter
from scaiwave.site.formatting import model_url, strip_markup
from scaiwave.site.model_admins import ModelField, get_site_admin
from scaiwave.site.related import list_url
from scaiwave.site.rows import find_row


@dataclass(frozen=True)
class _Tab:
    title: str
    model: type[Model]
    field_name: str
    position: int
    part: str
    is_offered: Callable[[Any], bool]

    @property
    def field(self) -> ModelField:
        field: ModelField = self.model._meta.get_field(self.field_name)  # type: ignore[assignment]
        return field


@dataclass(frozen=True)
class TabLink:
    title: str
    url: str
    is_current: bool


@dataclass(frozen=True)
class RowHeading:
    """What stands above every tab of a row; `summary` is made by the admin of the row's model.

    The heading shows the name as `large`, with another name as `small` beside it.

    `parts` are the lists of the current tab if it has several. `list_url` is the list of all rows
    of the model, and `page_url` the page of this one.
    """

    name: str
    large: str
    small: str
    kind: str
    summary: str
    tabs: list[TabLink]
    parts: list[TabLink]
    list_title: str
    list_url: str
    page_url: str

    @property
    def current_title(self) -> str:
        return next((tab.title for tab in self.tabs if tab.is_current), "")

    @property
    def title(self) -> str:
        return strip_markup(self.name)


_TABS: dict[type[Model], list[_Tab]] = defaultdict(list)


def register_tab(
    row_model: type[Model],
    title: str,
    model: type[Model],
    field_name: str,
    *,
    position: int,
    part: str = "",
    is_offered: Callable[[Any], bool] = lambda row: True,
) -> None:
    """Add a list to the pages of a model's rows: the rows of `model` that refer to one of them.

    Lists with the same title are parts of one tab, which opens the first that is registered; each
    has a title of its own as `part`. `is_offered` leaves a list out for rows that never have any.
    """
    tab = _Tab(title, model, field_name, position, part, is_offered)
    if tab not in _TABS[row_model]:
        _TABS[row_model].append(tab)


def build_heading(
    site: AdminSite, request: HttpRequest, row: Model, current: type[Model] | None = None
) -> RowHeading | None:
    """Return the heading of a row with its tabs, or None if its model has none.

    `current` is the model of the tab that is shown; None is the page of the row itself.
    """
    tabs = [
        tab
        for tab in sorted(_TABS[type(row)], key=lambda tab: tab.position)
        if site.get_model_admin(tab.model).has_view_permission(request)
    ]
    if not tabs:
        return None
    meta = row._meta
    page = model_url(row, "change", row.pk)
    links, parts = _build_links(tabs, row, current)
    model_admin = get_site_admin(site, type(row))
    large, small = model_admin.split_heading(row)
    return RowHeading(
        name=model_admin.format_name(row),
        large=large,
        small=small if small != large else "",
        kind=str(meta.verbose_name),
        summary=model_admin.summarise(row, request),
        tabs=[TabLink("Summary", page, current is None), *links],
        parts=parts,
        list_title=capfirst(str(meta.verbose_name_plural)),
        list_url=model_url(row, "changelist"),
        page_url=page,
    )


def _build_links(
    tabs: list[_Tab], row: Model, current: type[Model] | None
) -> tuple[list[TabLink], list[TabLink]]:
    """Return the links of the tabs, and the links of the current tab's parts.

    Tabs of the same title are parts of one, whose link opens the first of them.
    """
    current_title = next((tab.title for tab in tabs if tab.model is current), "")
    shown = [tab for tab in tabs if tab.is_offered(row)]
    firsts = {tab.title: tab for tab in reversed(shown)}
    links = [
        TabLink(tab.title, list_url(tab.field, row), tab.title == current_title)
        for tab in reversed(firsts.values())
    ]
    parts = [
        TabLink(tab.part, list_url(tab.field, row), tab.model is current)
        for tab in shown
        if tab.part and tab.title == current_title
    ]
    return links, parts


def find_tabbed_row(site: AdminSite, request: HttpRequest, model: type[Model]) -> Model | None:
    """Return the row that a list is filtered by, if the list is one of its tabs."""
    return _find_tab(site, request, model)[0]


def find_tab_parameter(site: AdminSite, request: HttpRequest, model: type[Model]) -> str:
    """Return the query parameter that makes a list a tab of a row, or nothing."""
    return _find_tab(site, request, model)[1]


def _find_tab(
    site: AdminSite, request: HttpRequest, model: type[Model]
) -> tuple[Model | None, str]:
    """Return the row of a tab, and the query parameter that selects it.

    A list that is filtered by two rows of a model, in an address that someone has made, is of none.
    """
    for row_model, tabs in _TABS.items():
        for tab in tabs:
            parameter = filter_parameter(tab.field)
            keys = request.GET.getlist(parameter)
            if tab.model is not model or len(keys) != 1:
                continue
            row: Model | None = find_row(site, request, row_model, keys[0])
            if row is not None:
                return row, parameter
    return None, ""
