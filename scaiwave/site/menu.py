"""The menu: the lists and pages by task instead of by app."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Section(Enum):
    """The sections of the menu in their order, each with its title."""

    TENANTS = "Tenants"
    PEOPLE = "People"
    ROOMS = "Rooms"
    SYNC = "Sync"
    FEDERATION = "Federation"
    AUDIT = "Audit"
    JOBS = "Jobs"
    ADMINISTRATORS = "Administrators"
    INTERNALS = "Internals"
    """Join tables, counters and the like, for those who look for the cause of a problem."""

    @property
    def anchor(self) -> str:
        return self.name.lower()


_ORDER = list(Section)


def build_menu(models: Iterable[tuple[Section, dict[str, object]]]) -> list[dict[str, object]]:
    """Return the sections that have models or pages, named as Django names its apps.

    `models` are entries of models and pages with their sections, in the order of registration,
    which is kept within a section.
    """
    by_section: dict[Section, list[dict[str, object]]] = {}
    for section, model in models:
        by_section.setdefault(section, []).append(model)
    return [
        {
            "name": section.value,
            "app_label": section.anchor,
            "app_url": by_section[section][0]["admin_url"],
            "is_current": any(model["is_current"] for model in by_section[section]),
            "models": by_section[section],
        }
        for section in sorted(by_section, key=_ORDER.index)
    ]
