"""The parts of the start page, and what an account may see of them.

A part consists of texts and numbers only, so that it can be stored as JSON and shown
again without a query.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field, fields
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
class Task:
    """Something that needs a decision or a fix: a sentence, with the button that leads to it.

    `url` is the page of the button `button`. With `act`, the slug of an act, the button is for
    those who may do that act. `command` does the same in a terminal. `permission` is what one
    needs to see the task.
    """

    text: str
    permission: str
    tone: Tone = Tone.WARN
    details: Sequence[str] = ()
    button: str = ""
    url: str = ""
    act: str = ""
    command: str = ""


@dataclass(frozen=True)
class Card:
    """One figure, with its judgement if it is about health. `url` is the list behind it,
    `permission` what one needs to see it. `at` is a time that the value is about. `links` are parts
    of the figure with their own lists, which stand before the details."""

    title: str
    value: str
    url: str
    permission: str
    tone: Tone = Tone.NEUTRAL
    details: Sequence[str] = ()
    links: Sequence[CardLink] = ()
    at: str = ""


@dataclass(frozen=True)
class Point:
    """One column of a chart: a value for each series, and its text. Without values it is a gap.

    `at` is its time if the label is one.
    """

    label: str
    values: Sequence[float]
    text: str
    url: str = ""
    tone: Tone | None = None
    at: str = ""


@dataclass(frozen=True)
class Chart:
    """A bar chart. With several series the bars are stacked. A point with a tone has its colour,
    and `tones` is what these mean: of each a name and the tone. `unit` is `bytes` or the unit that
    stands behind the numbers of the axis."""

    title: str
    url: str
    permission: str
    series: Sequence[str]
    points: Sequence[Point]
    tones: Sequence[tuple[str, Tone]] = ()
    unit: str = ""


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
    """`health` is whether this server works, and `volumes` are how much it has."""

    tasks: Sequence[Task] = field(default_factory=tuple)
    health: Sequence[Card] = field(default_factory=tuple)
    volumes: Sequence[Card] = field(default_factory=tuple)
    tables: Sequence[OverviewTable] = field(default_factory=tuple)
    charts: Sequence[Chart] = field(default_factory=tuple)
    lists: Sequence[EntryList] = field(default_factory=tuple)


Stored = dict[str, Any]
"""A stored overview or a part of it: the fields of the classes above, as JSON."""
_KINDS = tuple(kind.name for kind in fields(OverviewPart))


def join_parts(parts: Sequence[OverviewPart]) -> Stored:
    """Return all parts, with the most urgent tasks first."""
    document = {
        kind: [asdict(each) for part in parts for each in getattr(part, kind)] for kind in _KINDS
    }
    document["tasks"].sort(key=lambda task: task["tone"] != Tone.BAD)
    return document


def load_overview(
    now: datetime, has_permission: Callable[[str], bool], after: datetime | None
) -> Stored:
    """Return the part of the stored overview that the reader may see, and `built_at`."""
    document = OVERVIEW.load()(now, None, after)
    visible = {
        kind: [each for each in document[kind] if has_permission(each["permission"])]
        for kind in _KINDS
    }
    return _join_lists({**document, **visible})


def load_limited_overview(now: datetime, operator: Operator, after: datetime | None) -> Stored:
    """Return what `load_overview` returns, for an operator who sees only some tenants."""
    return _join_lists(OVERVIEW.load()(now, operator, after))


def _join_lists(overview: Stored) -> Stored:
    """Make one list of those with the same title."""
    by_title: dict[str, list[Stored]] = {}
    for each in overview["lists"]:
        by_title.setdefault(each["title"], []).append(each)
    joined = []
    for first, *others in by_title.values():
        lists = [first, *others]
        entries = [entry for each in lists for entry in each["entries"]]
        if latest := first["latest"]:
            entries.sort(key=lambda entry: str(entry["at"]), reverse=True)
            entries = entries[:latest]
        links = [{"text": each["name"], "url": each["url"]} for each in lists if each["name"]]
        joined.append({**first, "entries": entries, "links": links})
    return {**overview, "lists": joined}


def hide_links(overview: Stored, hidden: Collection[str], may_do: Callable[[str], bool]) -> None:
    """Take out links to these pages, and acts that the account may not do."""
    lists = overview["lists"]
    for task in overview["tasks"]:
        if task["act"] and not may_do(task["act"]):
            task["url"] = ""
    cards = [*overview["health"], *overview["volumes"]]
    parts = [*overview["tasks"], *cards, *lists]
    parts += [link for card in cards for link in card["links"]]
    parts += [entry for each in lists for entry in each["entries"]]
    for each in parts:
        each["url"] = "" if _get_path(each["url"]) in hidden else each["url"]
    for each in lists:
        each["links"] = [link for link in each["links"] if _get_path(link["url"]) not in hidden]


def _get_path(url: str) -> str:
    return url.partition("?")[0].partition("#")[0]
