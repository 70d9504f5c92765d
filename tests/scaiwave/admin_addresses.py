"""The addresses of the admin site's lists and pages, found in its registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.apps import apps
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse

SEARCHED_TERMS = ("acme", "a@acme.example")


@dataclass(frozen=True)
class Address:
    """`name` is the same on every server; `is_list` is False for the page of a row and its tabs."""

    name: str
    url: str
    is_list: bool = True


def iter_addresses(client: Client) -> Iterator[Address]:
    """Yield each list with its searches, filters and orders, and a page of each model with tabs."""
    for model in apps.get_models():
        if admin.site.is_registered(model):
            yield from _iter_lists(client, model)
            if row := model._default_manager.order_by("pk").first():
                yield from iter_page(client, row)


def _iter_lists(client: Client, model: type[Model]) -> Iterator[Address]:
    """Yield the list alone, and with each search, filter and order, one at a time."""
    label = model._meta.label
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    yield Address(label, url)
    changelist = client.get(url).context["cl"]
    if changelist.search_fields:
        for term in SEARCHED_TERMS:
            yield Address(f"{label} searched for {term}", f"{url}?q={term}")
        if row := model._default_manager.order_by("-pk").first():
            yield Address(f"{label} searched for an ID", f"{url}?q={row.pk}")
    for spec in changelist.filter_specs:
        for choice in list(spec.choices(changelist))[-1:]:
            yield Address(f"{label} filtered by {spec.title}", url + choice["query_string"])
    for column in changelist.sortable_by:
        number = changelist.list_display.index(column)
        title = getattr(column, "short_description", column)
        yield Address(f"{label} sorted by {title}", f"{url}?o=-{number}")


def iter_page(client: Client, row: Model) -> Iterator[Address]:
    """Yield the page of a row and its tabs."""
    meta = row._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    yield Address(f"{meta.label}, a row", url, is_list=False)
    heading = client.get(url).context["heading"]
    for tab in () if heading is None else heading.tabs[1:]:
        yield Address(f"{meta.label}, tab {tab.title}", tab.url, is_list=False)
        for part in client.get(tab.url).context["heading"].parts[1:]:
            name = f"{meta.label}, tab {tab.title}, {part.title}"
            yield Address(name, part.url, is_list=False)
