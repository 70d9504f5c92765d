"""Index the events of a manifest and their references, on disk, since there may be millions.

Rows of the index are only appended, and compared at the end.

Most rooms need few rows. Their IDs begin with a time and are nearly in order, which proves that
they are unique; and most references are to one of the last events, which are in memory.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress, count
from typing import Any

from rooms.bundle.format import (
    MANIFEST,
    REFERENCE_KEYS,
    REFERENCES,
    STRIPPED_PREFIX,
    STRIPPED_TYPES,
    is_stripped,
    normalize_id,
)
from rooms.bundle.manifest.events import Batch, BundleEvent, Columns
from rooms.bundle.manifest.schema import manifest_error
from rooms.errors import DanglingReference
from scaiwave.core.temporary_index import open_index, translate_index_errors

# What an import does with an event: leaves it out, or removes a reference from either content.
STRIP = 0
IN_CONTENT = 1
IN_ORIGINAL = 2

FindTargets = Callable[[Sequence[str]], Iterable[str]]
"""Returns the given IDs of events that exist outside the bundle; some may be no IDs at all."""

ReferenceRow = tuple[int, str, bool, int, str]
"""A row of `refs`."""

_USELESS_ALONE = frozenset(kind for kind, (_, needed) in REFERENCES.items() if needed)
"""Types of events that are useless without the event that they refer to."""
_MIN_RECENT = 4096
"""Events whose IDs stay in memory."""
_MAX_LISTED = 3
_MAX_TARGET_CHARS = 60

# batches: the IDs of consecutive events, as JSON, with the number of the first event and the lowest
# and highest ID; n: number of the event; ids: the IDs to compare; needed: the event is
# useless without its target; place: IN_CONTENT or IN_ORIGINAL; gone: events that are left out; cut:
# events that lose references, in these places.
_TABLES = """
    CREATE TABLE batches (first INTEGER PRIMARY KEY, low TEXT, high TEXT, ids TEXT);
    CREATE TABLE ids (n INTEGER PRIMARY KEY, id TEXT NOT NULL);
    CREATE TABLE refs (n INTEGER, target TEXT, needed INTEGER, place INTEGER, kind TEXT);
    CREATE TABLE stripped (n INTEGER PRIMARY KEY);
    CREATE TABLE gone (n INTEGER PRIMARY KEY);
    CREATE TABLE cut (n INTEGER PRIMARY KEY, places INTEGER);
    CREATE TABLE deleted (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""

_ADD_IDS = """
    INSERT INTO ids SELECT first + key, value FROM batches, json_each(ids)
"""

_ADD_TARGETS = """
    INSERT INTO ids SELECT first + key, value FROM batches, json_each(ids)
    WHERE EXISTS (SELECT 1 FROM refs WHERE target BETWEEN low AND high)
    AND value IN (SELECT target FROM refs)
"""

_FIND_DANGLING = """
    CREATE TABLE dangling AS
    SELECT n, min(target) AS target FROM refs
    WHERE NOT EXISTS (SELECT 1 FROM ids WHERE ids.id = refs.target)
    AND target NOT IN (SELECT id FROM deleted)
    GROUP BY n
"""

_FIND_GONE = """
    INSERT INTO gone
    WITH RECURSIVE lost (n) AS (
        SELECT n FROM stripped
        UNION
        SELECT n FROM refs
        WHERE needed AND NOT EXISTS (SELECT 1 FROM ids WHERE ids.id = target)
        UNION
        SELECT refs.n FROM lost JOIN ids ON ids.n = lost.n
        JOIN refs ON refs.target = ids.id WHERE refs.needed
    )
    SELECT n FROM lost
"""

_FIND_CUT = """
    INSERT INTO cut
    SELECT n, sum(DISTINCT place) FROM refs
    WHERE NOT needed AND n NOT IN (SELECT n FROM gone) AND NOT EXISTS (
        SELECT 1 FROM ids WHERE ids.id = target AND ids.n NOT IN (SELECT n FROM gone)
    )
    GROUP BY n
"""


class ReferenceIndex:
    """Call `add` for each batch of events, then `resolve`, then `iter_pending_edits`.

    Each raises `DiskFull`.
    """

    def __init__(self) -> None:
        self._database = open_index(_TABLES)
        self._count = self.deleted_count = 0
        self.stripped: dict[str, int] = {}
        self._recent = _RecentEvents()

    def close(self) -> None:
        self._database.close()

    def add(self, batch: Batch) -> None:
        columns = batch.columns
        types = set(columns.event_types)
        first = self._count + 1
        self._count += len(batch)
        low, high = min(columns.ids), max(columns.ids)
        self._recent.add(columns, low, high)
        with translate_index_errors():
            # As one text, because a row for each takes as long as decoding the events; IDs need no
            # escaping.
            ids = '","'.join(columns.ids)
            self._run("INSERT INTO batches VALUES (?, ?, ?, ?)", first, low, high, f'["{ids}"]')
            if stripped := {name for name in types if is_stripped(name)}:
                for name in stripped:
                    # One label for all sidekick types.
                    label = name if name in STRIPPED_TYPES else f"{STRIPPED_PREFIX}*"
                    number = columns.event_types.count(name)
                    self.stripped[label] = self.stripped.get(label, 0) + number
                numbered = enumerate(columns.event_types, first)
                gone = [(number,) for number, name in numbered if name in stripped]
                self._database.executemany("INSERT INTO stripped VALUES (?)", gone)
            if types & REFERENCES.keys():
                rows = self._iter_references(first, columns)
                self._database.executemany("INSERT INTO refs VALUES (?, ?, ?, ?, ?)", rows)

    def _iter_references(self, first: int, columns: Columns) -> Iterator[ReferenceRow]:
        """Yield those to events that are not certainly kept."""
        is_kept, keep = self._recent.is_kept, self._recent.keep
        types = columns.event_types
        for number, kind, target in _list_targets(zip(count(first), types, columns.contents)):
            if not is_kept(target):
                yield _build_row(number, kind, target, IN_CONTENT)
            elif kind in _USELESS_ALONE:
                keep(columns.ids[number - first])
        originals = zip(count(first), types, columns.original_contents)
        for number, kind, target in _list_targets(compress(originals, columns.original_contents)):
            if not is_kept(target):
                yield _build_row(number, kind, target, IN_ORIGINAL)

    def add_deleted(self, ids: Sequence[str]) -> None:
        with translate_index_errors():
            try:
                self._database.executemany("INSERT INTO deleted VALUES (?)", zip(ids))
            except sqlite3.IntegrityError:
                raise manifest_error("`deleted`", "has an ID twice") from None
        self.deleted_count += len(ids)

    def iter_deleted(self) -> Iterator[list[str]]:
        """Yield the IDs of deleted events, ascending, in batches."""
        last = ""
        while True:
            with translate_index_errors():
                rows = self._run(
                    "SELECT id FROM deleted WHERE id > ? ORDER BY id LIMIT ?", last, _MIN_RECENT
                ).fetchall()
            if not rows:
                return
            yield [event_id for (event_id,) in rows]
            last = rows[-1][0]

    def _add_outside_targets(self, find_targets: FindTargets) -> None:
        """Add the targets that exist outside the bundle and stay, with negative numbers."""
        missing = self._run(
            "SELECT DISTINCT target FROM refs WHERE target NOT IN (SELECT id FROM ids) "
            "AND target NOT IN (SELECT id FROM deleted)"
        )
        number = 0
        while rows := missing.fetchmany(_MIN_RECENT):
            for target in find_targets([target for (target,) in rows]):
                number -= 1
                self._run("INSERT INTO ids VALUES (?, ?)", number, target)

    def resolve(self, *, may_cut: bool, find_targets: FindTargets | None = None) -> dict[str, int]:
        """Find duplicate IDs and missing targets, and decide what an import does about them.

        Returns how many it leaves out because of missing targets, by the fields of `EventCounts`.
        References to an event that is left out or deleted are always cut. Raises
        `BundleBadManifest` for duplicate IDs, and `DanglingReference` for missing targets unless
        they may be cut.
        """
        with translate_index_errors():
            self._require_unique()
            self._require_not_deleted()
            self._run("CREATE INDEX refs_target ON refs (target)")
            if self._recent.are_unique:  # otherwise all IDs were compared
                self._run(_ADD_TARGETS)
                self._run("CREATE INDEX ids_id ON ids (id)")
            if find_targets:
                self._add_outside_targets(find_targets)
            if not may_cut:
                self._require_targets()
            self._run(_FIND_GONE)
            self._run(_FIND_CUT)
            return {
                "references_cut": self._fetch_count("SELECT count(*) FROM cut"),
                "reactions_stripped": self._count_dropped("swp.room.reaction"),
                "redactions_stripped": self._count_dropped("swp.room.redaction"),
            }

    def iter_pending_edits(self) -> Iterator[tuple[int, int]]:
        """Yield the number of each event to be changed, ascending, and `STRIP` or the places."""
        with translate_index_errors():
            rows = self._run(
                "SELECT n, ? FROM gone UNION ALL SELECT n, places FROM cut ORDER BY n", STRIP
            )
            # `yield from` would close the cursor at the end, possibly after the database.
            for row in rows:  # noqa: UP028
                yield row

    @property
    def dropped_count(self) -> int:
        return self._fetch_count("SELECT count(*) FROM gone")

    def _run(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._database.execute(sql, values)

    def _fetch_count(self, sql: str, *values: Any) -> int:
        return int(self._run(sql, *values).fetchone()[0])

    def _count_dropped(self, event_type: str) -> int:
        return self._fetch_count(
            "SELECT count(DISTINCT n) FROM refs JOIN gone USING (n) WHERE needed AND kind = ?",
            event_type,
        )

    def _require_unique(self) -> None:
        if self._recent.are_unique:
            return
        self._run(_ADD_IDS)
        try:
            self._run("CREATE UNIQUE INDEX ids_once ON ids (id)")
        except sqlite3.IntegrityError:
            duplicate, first, last = self._run(
                "SELECT id, min(n), max(n) FROM ids GROUP BY id HAVING count(*) > 1 "
                "ORDER BY 2 LIMIT 1"
            ).fetchone()
            raise manifest_error(
                f"Events {first:,} and {last:,} of the manifest",
                f"have the same ID: {duplicate}",
                event=last,
                event_id=duplicate,
            ) from None

    def _require_not_deleted(self) -> None:
        both = (
            self.deleted_count
            and self._run(
                "SELECT value FROM batches, json_each(ids) "
                "WHERE value IN (SELECT id FROM deleted) LIMIT 1"
            ).fetchone()
        )
        if both:
            raise manifest_error("`deleted`", f"has an event that is in `events`: {both[0]}")

    def _require_targets(self) -> None:
        self._run(_FIND_DANGLING)
        if not (count := self._fetch_count("SELECT count(*) FROM dangling")):
            return
        first_rows = self._run(
            "SELECT n, (SELECT value FROM batches, json_each(ids) WHERE first + key = n "
            "AND first = (SELECT max(first) FROM batches WHERE first <= n)), target "
            "FROM (SELECT n, target FROM dangling ORDER BY n LIMIT ?) ORDER BY n",
            _MAX_LISTED,
        ).fetchall()
        listed = "; ".join(f"event {n:,} ({own}) to {target}" for n, own, target in first_rows)
        more = f"; {count - len(first_rows):,} more" if count > len(first_rows) else ""
        raise DanglingReference(
            f"Events refer to events that are not in the bundle: {listed}{more}.",
            entry=MANIFEST,
            event=first_rows[0][0],
            event_id=first_rows[0][1],
        )


class _RecentEvents:
    """What is known about the last events without the index.

    `are_unique` is true as long as no event can have the ID of an earlier one: each ID is higher
    than the IDs of all earlier events, except some that are still in memory.
    """

    def __init__(self) -> None:
        self.are_unique = True
        # By ID, whether an import certainly keeps the event. Two generations, so that the older one
        # can be forgotten.
        self._newer: dict[str, bool] = {}
        self._older: dict[str, bool] = {}
        self._highest = self._highest_before_newer = self._highest_forgotten = ""

    def add(self, columns: Columns, low: str, high: str) -> None:
        """`low` and `high` are the lowest and the highest ID."""
        if len(self._newer) >= _MIN_RECENT:
            self._older, self._newer = self._newer, {}
            self._highest_forgotten = self._highest_before_newer
            self._highest_before_newer = self._highest
        types = set(columns.event_types)
        is_kept = {name: not is_stripped(name) and name not in _USELESS_ALONE for name in types}
        before = len(self._newer)
        kept = map(is_kept.__getitem__, columns.event_types)
        self._newer.update(zip(columns.ids, kept, strict=True))
        self.are_unique = (
            self.are_unique
            and len(self._newer) == before + len(columns.ids)
            and (
                low > self._highest
                # Or the IDs are missing from the older generation and from all before it.
                or (low > self._highest_forgotten and self._older.keys().isdisjoint(columns.ids))
            )
        )
        self._highest = max(self._highest, high)

    def is_kept(self, target: object) -> bool:
        """Return whether the target is a recent event that an import certainly keeps."""
        if type(target) is not str:
            return False
        return self._newer.get(target) or self._older.get(target, False)

    def keep(self, event_id: str) -> None:
        """Remember that an import certainly keeps this event of the last batch."""
        self._newer[event_id] = True


def _list_targets(events: Iterable[tuple[int, str, Any]]) -> list[tuple[int, str, Any]]:
    """Return number, type and target of each reference in events of number, type and content."""
    get_key = REFERENCE_KEYS.get
    return [
        (number, kind, content[key])
        for number, kind, content in events
        if (key := get_key(kind)) in content and content[key] is not None
    ]


def _build_row(number: int, event_type: str, target: object, place: int) -> ReferenceRow:
    _, needed = REFERENCES[event_type]
    # A value that is not an ID refers to nothing.
    text = normalize_id(target) or (target if isinstance(target, str) else json.dumps(target))
    return number, text[:_MAX_TARGET_CHARS], needed and place == IN_CONTENT, place, event_type


def strip_references(event: BundleEvent, places: int) -> BundleEvent:
    """Return the event without its references in these places."""
    key, _ = REFERENCES[event.event_type]
    if places & IN_CONTENT:
        event.content = {name: value for name, value in event.content.items() if name != key}
    if places & IN_ORIGINAL and event.original_content is not None:
        event.original_content = {
            name: value for name, value in event.original_content.items() if name != key
        }
    return event
