"""The events of a room in pages, each with its reactions, its redaction, its replies and a quote.

A first pass finds the pages and days, and puts what refers to another event into an index on disk,
since there may be millions. In the second, each page gets what refers to its events. Every event is
counted: shown by itself, shown with its target, or left out by a filter.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from rooms.bundle.format import REFERENCE_KEYS, normalize_id
from rooms.bundle.manifest.events import BundleEvent
from rooms.bundle.manifest.schema import WHOLE_ROOM, TimeWindow
from rooms.bundle.reader import RoomContent
from rooms.transcripts.wording import (
    MESSAGE,
    REACTION,
    READ_MARKER,
    REDACTION,
    Authors,
    Clock,
    Person,
    get_body,
    get_texts,
    reveal,
)
from scaiwave.console.progress import ProgressCallback, null_progress
from scaiwave.core.temporary_index import open_index, translate_index_errors

MAX_QUOTE_CHARS = 120
_MIN_WHOLE_DAYS = 0.4
"""A page ends with a day if it is at least so full then."""
_EVENT_WEIGHT = 440
_INDEXED = "the room's events"
_MIN_SECOND = -(2**63)
# Events of positive kinds are shown with the event that they refer to.
_KINDS = {READ_MARKER: -1, MESSAGE: 0, REACTION: 1, REDACTION: 2}
_KEYS = {READ_MARKER: "event_id", **REFERENCE_KEYS}

# refs: n: number of the event that refers to another one; who: number of the person; text: the
# emoji or the reason; shown: its target was shown, and it with it. quotes: events to be quoted.
_TABLES = """
    CREATE TABLE refs (
        n INTEGER PRIMARY KEY, target TEXT, kind INTEGER, ts INTEGER, who INTEGER, text TEXT,
        shown INTEGER DEFAULT 0
    );
    CREATE TABLE quotes (id TEXT PRIMARY KEY, n INTEGER, who INTEGER, text TEXT) WITHOUT ROWID;
"""
_ADD_REF = "INSERT INTO refs (n, target, kind, ts, who, text) VALUES (?, ?, ?, ?, ?, ?)"
_FIND_REFS = """
    SELECT n, target, kind, ts, who, text FROM json_each(?) JOIN refs ON target = value ORDER BY n
"""
_MARK_SHOWN = "UPDATE refs SET shown = 1 WHERE n IN (SELECT value FROM json_each(?))"
_FIND_OWN = "SELECT n, target, shown FROM refs WHERE (shown OR kind <= 0) AND n BETWEEN ? AND ?"
_FORGET = "DELETE FROM refs WHERE kind > 0 AND NOT shown AND n BETWEEN ? AND ?"
_FIND_QUOTES = "SELECT quotes.* FROM json_each(?) JOIN quotes ON quotes.id = value"


class Layout(NamedTuple):
    """How a format divides the events: into so many at most, of about so many bytes.

    Without `max_bytes` their length and their days don't count, and `days` is empty. With `by_day`
    no page has events of two days; otherwise pages end with a day if that leaves them full enough.
    Without `has_quotes`, `replies` and `quotes` are empty.
    """

    max_events: int
    max_bytes: int = 0
    by_day: bool = False
    has_quotes: bool = True


class EventSelection(NamedTuple):
    """Which events are shown: of a period, of one participant, or with all these words, and so many
    events before and after each of these."""

    window: TimeWindow = WHOLE_ROOM
    participant: str = ""
    words: tuple[str, ...] = ()
    context: int = 0

    @property
    def is_filtered(self) -> bool:
        return bool(self.participant or self.words)


EVERYTHING = EventSelection()


class Reference(NamedTuple):
    """A reaction with its emoji as text, a redaction with its reason, or a reply to an event.

    Or an event to be quoted, without its second.
    """

    number: int
    person: Person
    text: str
    second: int = 0


@dataclass
class Day:
    """`first` is the number of the first event that is shown."""

    first: int
    events: int = 0


@dataclass
class TranscriptPage:
    """Events with their numbers from 1. A renderer takes out of `reactions` and `redactions`, by ID
    of the target, the ones that it shows; the others stay."""

    number: int
    events: list[tuple[int, BundleEvent]] = field(default_factory=list)
    reactions: dict[str, list[Reference]] = field(default_factory=dict)
    redactions: dict[str, list[Reference]] = field(default_factory=dict)
    replies: dict[str, list[Reference]] = field(default_factory=dict)
    quotes: dict[str, Reference] = field(default_factory=dict)


@dataclass
class EventTally:
    """Events by type: all of the bundle, and what became of each."""

    read: Counter[str] = field(default_factory=Counter)
    shown: Counter[str] = field(default_factory=Counter)
    shown_with_target: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def verify(self) -> None:
        """Raise RuntimeError if an event is not accounted for, which is a defect."""
        if self.read != self.shown + self.shown_with_target + self.left_out:
            raise RuntimeError(f"The transcript lacks events: {self}")

    def document(self) -> dict[str, object]:
        totals = {name: counter.total() for name, counter in vars(self).items()}
        by_type = {
            kind: {name: counter[kind] for name, counter in vars(self).items()}
            for kind in sorted(self.read)
        }
        return {**totals, "by_type": by_type}


class Timeline:
    """Iterate over `iter_pages` once; `page_starts`, `days` and `people` are known before.

    Close it. Raises `BundleDamaged` and `DiskFull`.
    """

    def __init__(
        self,
        content: RoomContent,
        layout: Layout,
        selection: EventSelection,
        clock: Clock,
        progress: ProgressCallback = null_progress,
    ) -> None:
        self.people = Authors(content.header)
        self.clock = clock
        self.tally = EventTally()
        self.days: dict[str, Day] = {}
        self.page_starts: list[int] = []
        self._content = content
        self._layout = layout
        self._selection = selection
        self._progress = progress
        window = selection.window
        self._first_second = _MIN_SECOND if window.first_second is None else window.first_second
        self._end_second = -_MIN_SECOND if window.end_second is None else window.end_second
        self._chosen = self._choose() if selection.is_filtered else None
        self._database = open_index(_TABLES, cache_kib=4096)
        self._total = 0
        try:
            with translate_index_errors(_INDEXED):
                self._build_index()
                self._database.execute("CREATE INDEX targets ON refs (target)")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._database.close()

    def find_page(self, number: int) -> int:
        """Return the page of an event by its number; pages begin with 1."""
        return max(1, bisect_right(self.page_starts, number))

    # What is shown.

    def _choose(self) -> bytearray:
        """Return a byte for each event, which is 1 if a filter finds it or it is near one."""
        words = [word.casefold() for word in self._selection.words]
        participant, people = self._selection.participant.casefold(), self.people
        chosen = bytearray(1)
        for event in chain.from_iterable(self._content.iter_batches()):
            person = people.find_author(event)
            is_found = not participant or participant in {
                person.fqid.casefold(),
                event.sender_id,
                person.name.casefold(),
            }
            if is_found and words:
                text = get_texts(event).casefold()
                is_found = event.redacted_at is None and all(word in text for word in words)
            chosen.append(is_found)
        if context := self._selection.context:
            found, chosen = chosen, bytearray(len(chosen))
            number = -1
            while (number := found.find(1, number + 1)) >= 0:
                start, end = max(1, number - context), min(len(found), number + context + 1)
                chosen[start:end] = b"\1" * (end - start)
        return chosen

    def _is_in_window(self, event: BundleEvent) -> bool:
        return self._first_second <= event.origin_ts < self._end_second

    def _keep_chosen(self, rows: list[tuple[int, BundleEvent]]) -> list[tuple[int, BundleEvent]]:
        if self._selection.window != WHOLE_ROOM:
            rows = [row for row in rows if self._is_in_window(row[1])]
        if (chosen := self._chosen) is not None:
            rows = [row for row in rows if chosen[row[0]]]
        return rows

    # The first pass.

    def _build_index(self) -> None:
        pages = _PageBreaks(self._layout)
        everything = self._chosen is None and self._selection.window == WHOLE_ROOM
        is_weighed = bool(self._layout.max_bytes)
        find_day, days, number, count = self.clock.find_day, self.days, 0, 0
        for batch in self._content.iter_batches():
            rows = []
            for number, event in enumerate(batch, number + 1):  # noqa: B020 — goes on counting
                key = _KEYS.get(event.event_type)
                if key is not None and event.content.get(key) is not None:
                    row = self._describe_reference(number, event)
                    if row is not None and self._is_in_window(event):
                        rows.append(row)
                        if row[2] > 0:
                            pages.weight += 100
                            continue
                if everything or self._keep_chosen([(number, event)]):
                    if not is_weighed:
                        if count % self._layout.max_events == 0:
                            pages.starts.append(number)
                        count += 1
                        continue
                    name = find_day(event.origin_ts)
                    if (day := days.get(name)) is None:
                        days[name] = day = Day(number)
                    day.events += 1
                    pages.add(number, name, _weigh(event))
            self._database.executemany(_ADD_REF, rows)
            self._progress(number, None)
        self._total = number
        self.page_starts = pages.starts

    def _describe_reference(self, number: int, event: BundleEvent) -> tuple[Any, ...] | None:
        """Return the row of `refs`."""
        kind, content = _KINDS[event.event_type], event.content
        if (kind <= 0 and not self._layout.has_quotes) or (target := _find_target(event)) is None:
            return None
        text = content.get("emoji") if kind == 1 else content.get("reason")
        person = self.people.find_author(event)
        if kind == 2 and (by := content.get("redacted_by")) in self._content.header.senders:
            person = self.people.find(by)
        text = text if isinstance(text, str) else ""
        return number, target, kind, event.origin_ts, person.number, text

    # The second pass.

    def iter_pages(self) -> Iterator[TranscriptPage]:
        """Yield the pages in order. A room without events has one, which is empty."""
        page_number, first, count = 1, 1, 0
        read: list[BundleEvent] = []
        for batch in self._content.iter_batches():
            start = 0
            while page_number < len(self.page_starts):
                end = self.page_starts[page_number] - 1 - count
                if end >= len(batch):
                    break
                yield from self._complete(page_number, first, read + batch[start:end])
                self._progress(count + end, self._total)
                page_number, first, start, read = page_number + 1, count + end + 1, end, []
            read += batch[start:]
            count += len(batch)
        yield from self._complete(page_number, first, read)
        self.tally.verify()

    def _complete(
        self, number: int, first: int, events: list[BundleEvent]
    ) -> Iterator[TranscriptPage]:
        """Build the page, without events that are shown elsewhere; `first` is the first number."""
        page, read = TranscriptPage(number), list(enumerate(events, first))
        with translate_index_errors(_INDEXED):
            self.tally.read.update([event.event_type for event in events])
            chosen = self._keep_chosen(read)
            quoted = self._add_references(page, chosen)
            last = first + len(read) - 1
            own = self._database.execute(_FIND_OWN, (first, last)).fetchall()
            merged = {n for n, _, is_shown in own if is_shown}
            page.events = [row for row in chosen if row[0] not in merged]
            if len(page.events) + len(merged) < len(read):
                kept = {number for number, _ in page.events} | merged
                self.tally.left_out.update(
                    event.event_type for number, event in read if number not in kept
                )
            # They must not be shown with a target that comes later, since they are counted here.
            self._database.execute(_FORGET, (first, last))
            self._add_quotes(page, quoted, [target for _, target, is_shown in own if not is_shown])
        yield page
        if page.reactions or page.redactions:
            raise RuntimeError(f"Page {page.number} lacks reactions or redactions of its events.")
        self.tally.shown.update([event.event_type for _, event in page.events])

    def _add_references(
        self, page: TranscriptPage, chosen: list[tuple[int, BundleEvent]]
    ) -> set[str]:
        """Return the IDs of the events that others quote."""
        # Nothing would show what refers to an event that is shown with another one.
        ids = [
            event.id
            for _, event in chosen
            if _KINDS.get(event.event_type, 0) <= 0 or event.redacted_at is not None
        ]
        places: tuple[dict[str, list[Reference]], ...]
        places = (page.replies, page.reactions, page.redactions)
        shown: list[int] = []
        quoted: set[str] = set()
        for n, target, kind, second, who, text in self._database.execute(
            _FIND_REFS, (_encode(ids),)
        ):
            if kind > 0:
                shown.append(n)
                self.tally.shown_with_target[REACTION if kind == 1 else REDACTION] += 1
            else:
                quoted.add(target)
            if kind >= 0:
                reference = Reference(n, self.people.all[who], reveal(text), second)
                places[kind].setdefault(target, []).append(reference)
        self._database.execute(_MARK_SHOWN, (_encode(shown),))
        return quoted

    def _add_quotes(self, page: TranscriptPage, quoted: set[str], targets: list[str]) -> None:
        if quoted:
            self._database.executemany(
                "INSERT OR IGNORE INTO quotes VALUES (?, ?, ?, ?)",
                [
                    (event.id, number, self.people.find_author(event).number, _make_quote(event))
                    for number, event in page.events
                    if event.id in quoted
                ],
            )
        for event_id, number, who, text in self._database.execute(
            _FIND_QUOTES, (_encode(targets),)
        ):
            page.quotes[event_id] = Reference(number, self.people.all[who], text)


class _PageBreaks:
    """Finds the numbers of the events that begin a page."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._day, self._day_start = "", 0
        self._events = self._events_before_day = self._weight_before_day = 0
        self.weight = 0
        self.starts: list[int] = []

    def add(self, number: int, day: str, weight: int) -> None:
        if not self.starts:
            self.starts.append(number)
        elif day != self._day:
            self._day_start, self._events_before_day = number, self._events
            self._weight_before_day = self.weight
            if self._layout.by_day:
                self._start(number, 0, 0)
        self._day = day
        if self._events == self._layout.max_events or (
            self._events and self.weight + weight > self._layout.max_bytes
        ):
            enough = self._layout.max_events * _MIN_WHOLE_DAYS
            if self._day_start > self.starts[-1] and self._events_before_day >= enough:
                rest = self._events - self._events_before_day
                self._start(self._day_start, rest, self.weight - self._weight_before_day)
            else:
                self._start(number, 0, 0)
        self._events += 1
        self.weight += weight

    def _start(self, number: int, events: int, weight: int) -> None:
        self.starts.append(number)
        self._events, self.weight = events, weight
        self._events_before_day = self._weight_before_day = 0


def find_quoted(event: BundleEvent) -> str | None:
    """Return the ID of the event that a message replies to, or that a member has read last."""
    return _find_target(event) if _KINDS.get(event.event_type, 1) <= 0 else None


def _find_target(event: BundleEvent) -> str | None:
    """Return the ID of the event that this one refers to; None if it was redacted itself."""
    value = event.content.get(_KEYS[event.event_type])
    if value is None or (event.redacted_at is not None and event.event_type != MESSAGE):
        return None
    return normalize_id(value)


def _weigh(event: BundleEvent) -> int:
    """Estimate the bytes of an event on a page."""
    content = event.content
    if event.event_type == MESSAGE and len(content) < 4:
        body = content.get("body")
        if isinstance(body, str) and event.original_content is None:
            return _EVENT_WEIGHT + len(body) * (1 if body.isascii() else 2)
    size = len(msgspec.json.encode((content, event.original_content)))
    return _EVENT_WEIGHT + 200 + size * 2


def _make_quote(event: BundleEvent) -> str:
    if event.redacted_at is not None:
        return "(redacted)"
    text = " ".join(get_body(event.content)[: MAX_QUOTE_CHARS * 4].split())
    if not text:
        return "(attachment)" if "media_id" in event.content else "(no text)"
    return reveal(text if len(text) <= MAX_QUOTE_CHARS else f"{text[: MAX_QUOTE_CHARS - 1]}…")


def _encode(values: list[str] | list[int]) -> str:
    return msgspec.json.encode(values).decode()


def group_by_text(references: list[Reference]) -> dict[str, list[Reference]]:
    """Return reactions by emoji, the earliest emoji first."""
    groups = defaultdict(list)
    for reference in references:
        groups[reference.text].append(reference)
    return groups
