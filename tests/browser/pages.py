"""The pages of the admin site, found in its URLs and its registry, so that new ones are walked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.urls import URLPattern, URLResolver, reverse

from tenants.models import Tenant

NOT_PAGES = {"login", "logout", "jsi18n", "autocomplete", "view_on_site", "app_list", "suggest"}
"""Addresses for people who are not signed in, for POST, for data, or that redirect."""

OF_MODELS = ("changelist", "change", "add", "delete", "history", "export")
"""Pages of models: lists and rows are walked, the others are refused or are files."""


@dataclass(frozen=True)
class SitePage:
    """An address, and the name of its screenshot. `kind` is the same for pages that are alike."""

    kind: str
    name: str
    path: str
    status: int = 200


def list_pages(rows: dict[str, list[str]], acts: dict[str, list[str]]) -> list[SitePage]:
    """Return all pages of the site. `rows` are ids by model; `acts` are the id of a row
    by act, or nothing for an act of a list."""
    pages = [SitePage("missing", "error-404", "/nowhere", 404)]
    models = {_get_url_name(model): model for model in admin.site._registry}
    for pattern in _iter_patterns(admin.site.get_urls()):
        name, has_arguments = pattern.name or "", bool(pattern.pattern.regex.groupindex)
        model_name, _, page = name.rpartition("_")
        if name in NOT_PAGES or not name or (model_name in models and page in OF_MODELS):
            continue
        if model_name in models and pattern.pattern.regex.groups == 1:
            pk = rows[models[model_name]._meta.label_lower][0]
            pages.append(SitePage(name, name, reverse(f"admin:{name}", args=[pk])))
        elif name == "act":
            pages += [
                SitePage("act", f"act-{slug}", reverse("admin:act", args=[slug, *row_ids]))
                for slug, row_ids in acts.items()
                if pattern.pattern.regex.groups == 1 + len(row_ids)
            ]
        else:
            assert not has_arguments, f"The walk does not know the arguments of admin:{name}."
            pages.append(SitePage(name, name, reverse(f"admin:{name}")))
    return [*pages, *_list_model_pages(rows)]


def _list_model_pages(rows: dict[str, list[str]]) -> Iterator[SitePage]:
    # The lists and rows of tenants come first, since they have most parts.
    for model in sorted(admin.site._registry, key=lambda model: model is not Tenant):
        name = _get_url_name(model)
        url = reverse(f"admin:{name}_changelist")
        yield SitePage("list", name, url)
        for number, pk in enumerate(rows[model._meta.label_lower], 1):
            change = reverse(f"admin:{name}_change", args=[pk])
            yield SitePage("row", f"{name}-row{number}", change)
    empty = f"{reverse('admin:tenants_tenant_changelist')}?q=nothing-has-this-name"
    yield SitePage("empty", "tenants_tenant-none", empty)
    yield SitePage("refused", "error-403", reverse("admin:tenants_tenant_add"), 403)
    jobs = reverse("admin:jobs")
    yield SitePage("jobs", "jobs-failed", f"{jobs}?state=failed")
    yield SitePage("jobs", "jobs-page2", f"{jobs}?page=2")
    yield SitePage("found", "search-found", f"{reverse('admin:search')}?q=hostile")
    yield SitePage("search", "search-none", f"{reverse('admin:search')}?q=nothing-has-this-name")


def _get_url_name(model: type[Model]) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}"


def _iter_patterns(patterns: list[Any]) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _iter_patterns(pattern.url_patterns)
        else:
            yield pattern
