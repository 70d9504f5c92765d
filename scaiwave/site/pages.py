"""Pages of the site that belong to no model. Apps register them with their place in the menu."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse

from scaiwave.site.menu import Section


@dataclass(frozen=True)
class SitePage:
    """`name` is its address in the site. It exists only for accounts that it `is_visible` for."""

    name: str
    title: str
    section: Section
    show: Callable[[AdminSite, HttpRequest], HttpResponseBase]
    is_visible: Callable[[HttpRequest], bool]

    @property
    def url(self) -> str:
        return reverse(f"admin:{self.name}")

    @property
    def menu_entry(self) -> dict[str, object]:
        return {"name": self.title, "object_name": self.name, "admin_url": self.url}


_PAGES: dict[str, SitePage] = {}


def register_page(page: SitePage) -> None:
    _PAGES[page.name] = page


def get_pages() -> list[SitePage]:
    return list(_PAGES.values())
