"""The parts of the start page, and what an account may see of them.

A part consists of texts and numbers only, so that it can be stored as JSON and shown
again without a query.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from scaiwave.core.operators import Operator
from scaiwave.extensions import OVERVIEW
from scaiwave.site.formatting import Tone


@dataclass(frozen=True)
class CardLink:
    text: str
    url: str


@dataclass(frozen=True)
class Card:
    """One figure with its judgement. `url` is the list behind it, `permission` what one needs to
    see it. `command` is what an operator would run now. `links` are parts of the figure with their
    own lists, which stand before the details."""

    title: str
    value: str
    url: str
    permission: str
    tone: Tone = Tone.NEUTRAL
    details: Sequence[str] = ()
    command: str = ""
    links: Sequence[CardLink] = ()


@dataclass(frozen=True)
class Point:
    """One column of a chart: a value for each series, and its text."""

    label: str
    values: Sequence[float]
    text: str
    url: str = ""
    tone: Tone | None = None


@dataclass(frozen=True)
class Chart:
    """A bar chart. With several series the bars are stacked. A point with a tone has its colour,
    and `tones` is what these mean: of each a name and the tone."""

    title: str
    url: str
    permission: str
    series: Sequence[str]
    points: Sequence[Point]
    tones: Sequence[tuple[str, Tone]] = ()


@dataclass(frozen=True)
class Entry:
    text: str
    url: str = ""
    details: str = ""
    tone: Tone | None = None
    badge: str = ""
    at: str = ""
    code: str = ""


@dataclass(frozen=True)
class EntryList:
    """A short list; `empty` is shown if there are no entries.

    Lists with the same title are shown as one: the newest entries of all of them, `latest` of each
    and together, and a link with the text `name` to each.
    """

    title: str
    url: str
    permission: str
    entries: Sequence[Entry]
    empty: str
    name: str = ""
    latest: int = 0


@dataclass(frozen=True)
class Cell:
    """A cell of a table; numbers are aligned to the right."""

    text: str
    url: str = ""
    tone: Tone | None = None
    is_number: bool = False


@dataclass(frozen=True)
class OverviewTable:
    """A small table. The first cell of each row is its title. `details` is a sentence below it,
    and `empty` is shown without rows."""

    title: str
    url: str
    permission: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    details: str
    empty: str


@dataclass(frozen=True)
class OverviewPart:
    cards: Sequence[Card] = field(default_factory=tuple)
    tables: Sequence[OverviewTable] = field(default_factory=tuple)
    charts: Sequence[Chart] = field(default_factory=tuple)
    lists: Sequence[EntryList] = field(default_factory=tuple)


def join_parts(parts: Sequence[OverviewPart]) -> dict[str, Any]:
    return {
        kind: [asdict(each) for part in parts for each in getattr(part, kind)]
        for kind in ("cards", "tables", "charts", "lists")
    }


def load_overview(now: datetime, has_permission: Callable[[str], bool]) -> dict[str, Any]:
    """Return the part of the stored overview that the reader may see."""
    document = OVERVIEW.load()(now)
    visible = {
        kind: [each for each in parts if has_permission(each["permission"])]
        for kind, parts in document.items()
    }
    return _join_lists(visible)


def load_limited_overview(now: datetime, operator: Operator) -> dict[str, Any]:
    """Return what `load_overview` returns, for an operator who sees only some tenants."""
    return _join_lists(OVERVIEW.load()(now, operator))


def _join_lists(overview: dict[str, Any]) -> dict[str, Any]:
    """Make one list of those with the same title.

    Another release may have stored the document less than a minute ago, without newer keys.
    """
    by_title: dict[str, list[dict[str, Any]]] = {}
    for each in overview["lists"]:
        by_title.setdefault(each["title"], []).append(each)
    return {**overview, "lists": [_join(lists) for lists in by_title.values()]}


def _join(lists: Sequence[dict[str, Any]]) -> dict[str, Any]:
    first = lists[0]
    entries = [entry for each in lists for entry in each["entries"]]
    if latest := first.get("latest"):
        entries = sorted(entries, key=lambda entry: str(entry["at"]), reverse=True)
        entries = entries[:latest]
    links = [{"text": each["name"], "url": each["url"]} for each in lists if each.get("name")]
    return {**first, "entries": entries, "links": links}


def hide_links(overview: dict[str, Any], hidden: Collection[str]) -> None:
    """Take the links to these pages out of an overview, which the account may not open."""
    lists = overview["lists"]
    parts = [*overview["cards"], *lists]
    parts += [link for card in overview["cards"] for link in card.get("links", ())]
    parts += [entry for each in lists for entry in each["entries"]]
    for each in parts:
        each["url"] = "" if _get_path(each["url"]) in hidden else each["url"]
    for each in lists:
        each["links"] = [link for link in each["links"] if _get_path(link["url"]) not in hidden]


def _get_path(url: str) -> str:
    return url.partition("?")[0].partition("#")[0]
