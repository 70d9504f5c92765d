"""The addresses of the admin site's lists, pages, tabs and acts, found in its registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import urljoin

from django.apps import apps
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.urls import reverse

SEARCHED_TERMS = ("acme", "a@acme.example")


class Opener(Protocol):
    """What opens a page: a test client, or something like it."""

    def get(self, url: str, /) -> Any: ...


@dataclass(frozen=True)
class Address:
    """`name` is the same on every server; `is_list` is False for all but the list itself."""

    name: str
    url: str
    is_list: bool = True


def iter_addresses(client: Opener, *, with_orders: bool = True) -> Iterator[Address]:
    """Yield each list that the client may see with its searches, filters and orders, and a page of
    each model with tabs."""
    for model in apps.get_models():
        if not admin.site.is_registered(model):
            continue
        answer = client.get(_build_list_url(model))
        if answer.status_code == HTTPStatus.FORBIDDEN:
            continue
        rows = admin.site.get_model_admin(model).get_queryset(answer.wsgi_request)
        yield from _iter_lists(model, answer.context, rows)
        if with_orders:
            yield from _iter_orders(model, answer.context)
        if row := rows.order_by("pk").first():
            yield from iter_page(client, row)


def _build_list_url(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def _iter_lists(model: type[Model], context: Any, rows: QuerySet[Any]) -> Iterator[Address]:
    """Yield the list alone, and with each search and filter, one at a time."""
    label, url, changelist = model._meta.label, _build_list_url(model), context["cl"]
    yield Address(label, url)
    if changelist.search_fields:
        for term in SEARCHED_TERMS:
            yield Address(f"{label} searched for {term}", f"{url}?q={term}")
        if row := rows.order_by("-pk").first():
            yield Address(f"{label} searched for an ID", f"{url}?q={row.pk}")
    for spec in changelist.filter_specs:
        for choice in list(spec.choices(changelist))[-1:]:
            # With very many choices the last one is the address of another list.
            query = choice.get("query_string") or f"?{choice['name']}=x"
            filtered = urljoin(url, query)
            yield Address(f"{label} filtered by {spec.title}", filtered)
    for act in context["acts"]:
        yield Address(f"{label}, act {act.title}", act.url, is_list=False)


def _iter_orders(model: type[Model], context: Any) -> Iterator[Address]:
    changelist = context["cl"]
    for number, column in enumerate(changelist.list_display):
        if column not in changelist.sortable_by:
            continue
        title = getattr(column, "short_description", column)
        url = f"{_build_list_url(model)}?o=-{number}"
        yield Address(f"{model._meta.label} sorted by {title}", url)


def iter_page(client: Opener, row: Model) -> Iterator[Address]:
    """Yield the page of a row, its tabs, and the forms of what can be done with it."""
    meta = row._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    yield Address(f"{meta.label}, a row", url, is_list=False)
    context = client.get(url).context
    heading = context["heading"]
    for tab in () if heading is None else heading.tabs[1:]:
        yield Address(f"{meta.label}, tab {tab.title}", tab.url, is_list=False)
        for part in client.get(tab.url).context["heading"].parts[1:]:
            name = f"{meta.label}, tab {tab.title}, {part.title}"
            yield Address(name, part.url, is_list=False)
    for act in context["acts"]:
        yield Address(f"{meta.label}, act {act.title}", act.url, is_list=False)
