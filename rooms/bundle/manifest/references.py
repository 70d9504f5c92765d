"""Index the events of a manifest and what they refer to, on disk, since there may be millions.

The index is a private SQLite database without a name: it spills to a file that is deleted as soon
as it is created, so nothing is left behind however the process ends. Rows are only appended, and
compared at the end.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from rooms.bundle.format import (
    MANIFEST,
    REFERENCES,
    STRIPPED_PREFIX,
    STRIPPED_TYPES,
    is_stripped,
    normalize_id,
)
from rooms.bundle.manifest.events import Batch, BundleEvent
from rooms.bundle.manifest.schema import manifest_error
from rooms.errors import DanglingReference
from scaiwave.errors import DiskFull

# What an import does with an event: leaves it out, or removes a reference from either content.
STRIP = 0
IN_CONTENT = 1
IN_ORIGINAL = 2

ReferenceRow = tuple[int, str, bool, int, str]
"""A row of `refs`."""

_get_event_type = attrgetter("event_type")
_MAX_LISTED = 3
_CACHE_KIB = 1024
_MAX_TARGET_CHARS = 60

# n: number of the event; needed: the event is useless without its target; place: IN_CONTENT or
# IN_ORIGINAL; gone: events that are left out; cut: events that lose references, in these places.
_TABLES = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    PRAGMA cache_size = -{cache};
    CREATE TABLE ids (id TEXT NOT NULL);
    CREATE TABLE refs (n INTEGER, target TEXT, needed INTEGER, place INTEGER, kind TEXT);
    CREATE TABLE stripped (n INTEGER PRIMARY KEY);
    CREATE TABLE gone (n INTEGER PRIMARY KEY);
    CREATE TABLE cut (n INTEGER PRIMARY KEY, places INTEGER);
"""

_FIND_DANGLING = """
    CREATE TABLE dangling AS
    SELECT n, min(target) AS target FROM refs
    WHERE NOT EXISTS (SELECT 1 FROM ids WHERE ids.id = refs.target)
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
        SELECT refs.n FROM lost JOIN ids ON ids.rowid = lost.n
        JOIN refs ON refs.target = ids.id WHERE refs.needed
    )
    SELECT n FROM lost
"""

_FIND_CUT = """
    INSERT INTO cut
    SELECT n, sum(DISTINCT place) FROM refs
    WHERE NOT needed AND n NOT IN (SELECT n FROM gone) AND NOT EXISTS (
        SELECT 1 FROM ids WHERE ids.id = target AND ids.rowid NOT IN (SELECT n FROM gone)
    )
    GROUP BY n
"""


@dataclass(frozen=True)
class DroppedReferences:
    """What an import leaves out because of missing targets, as numbers of events."""

    references: int = 0
    reactions: int = 0
    redactions: int = 0


@contextmanager
def _translate_sqlite_errors() -> Iterator[None]:
    """Raise `DiskFull` if SQLite has no space for its temporary file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise DiskFull(
            f"Not enough disk space for the index of the bundle's events: {error}.",
            fix="Set SQLITE_TMPDIR or TMPDIR to a directory with more space, then run this again.",
        ) from error


class ReferenceIndex:
    """Call `add` for each batch of events, then `resolve`, then `iter_pending_edits`.

    Each raises `DiskFull`.
    """

    def __init__(self) -> None:
        # Read in whichever thread writes the events to the database.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(_TABLES.format(cache=_CACHE_KIB))
        self._database.execute("BEGIN")
        self._count = 0
        self.stripped: dict[str, int] = {}

    def close(self) -> None:
        self._database.close()

    def add(self, batch: Batch) -> None:
        with _translate_sqlite_errors():
            # As one text, which is three times as fast as row by row; IDs need no escaping.
            ids = '","'.join([event.id for event in batch])
            self._run("INSERT INTO ids SELECT value FROM json_each(?)", f'["{ids}"]')
            types = set(map(_get_event_type, batch))
            if labels := {name: _format_label(name) for name in types if is_stripped(name)}:
                self._add_stripped(batch, labels)
            if types & REFERENCES.keys():
                self._add_references(batch)
            self._count += len(batch)

    def _add_stripped(self, batch: Batch, labels: dict[str, str]) -> None:
        rows = []
        for number, event in enumerate(batch, self._count + 1):
            if label := labels.get(event.event_type):
                rows.append((number,))
                self.stripped[label] = self.stripped.get(label, 0) + 1
        self._database.executemany("INSERT INTO stripped VALUES (?)", rows)

    def _add_references(self, batch: Batch) -> None:
        rows: list[ReferenceRow] = []
        for number, event in enumerate(batch, self._count + 1):
            if rule := REFERENCES.get(event.event_type):
                if rule[0] in event.content:
                    rows += _build_rows(number, event.event_type, event.content, IN_CONTENT)
                if event.original_content:
                    content = event.original_content
                    rows += _build_rows(number, event.event_type, content, IN_ORIGINAL)
        self._database.executemany("INSERT INTO refs VALUES (?, ?, ?, ?, ?)", rows)

    def resolve(self, *, may_cut: bool) -> DroppedReferences:
        """Find duplicate IDs and missing targets, and decide what an import does about them.

        References to an event that is left out are always cut. Raises `BundleBadManifest` for
        duplicate IDs, and `DanglingReference` for missing targets unless they may be cut.
        """
        with _translate_sqlite_errors():
            self._require_unique()
            self._run("CREATE INDEX refs_target ON refs (target)")
            if not may_cut:
                self._require_targets()
            self._run(_FIND_GONE)
            self._run(_FIND_CUT)
            return DroppedReferences(
                self._fetch_count("SELECT count(*) FROM cut"),
                self._count_dropped("swp.room.reaction"),
                self._count_dropped("swp.room.redaction"),
            )

    def iter_pending_edits(self) -> Iterator[tuple[int, int]]:
        """Yield the number of each event to be changed, ascending, and `STRIP` or the places."""
        with _translate_sqlite_errors():
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
        try:
            self._run("CREATE UNIQUE INDEX ids_once ON ids (id)")
        except sqlite3.IntegrityError:
            duplicate, first, last = self._run(
                "SELECT id, min(rowid), max(rowid) FROM ids GROUP BY id HAVING count(*) > 1 "
                "ORDER BY 2 LIMIT 1"
            ).fetchone()
            raise manifest_error(
                f"Events {first:,} and {last:,} of the manifest",
                f"have the same ID: {duplicate}",
                event=last,
                event_id=duplicate,
            ) from None

    def _require_targets(self) -> None:
        self._run(_FIND_DANGLING)
        if not (count := self._fetch_count("SELECT count(*) FROM dangling")):
            return
        first_rows = self._run(
            "SELECT n, ids.id, target FROM dangling JOIN ids ON ids.rowid = n ORDER BY n LIMIT ?",
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


def _format_label(event_type: str) -> str:
    """Return the name under which stripped events are counted: one for all sidekick types."""
    return event_type if event_type in STRIPPED_TYPES else f"{STRIPPED_PREFIX}*"


def _build_rows(
    number: int, event_type: str, content: dict[str, Any], place: int
) -> tuple[ReferenceRow, ...]:
    """Return a row for the reference in this content, or none if the key is absent or null."""
    key, needed = REFERENCES[event_type]
    target = content.get(key)
    if target is None:
        return ()
    # A value that is not an ID refers to nothing.
    text = normalize_id(target) or (target if isinstance(target, str) else json.dumps(target))
    return ((number, text[:_MAX_TARGET_CHARS], needed and place == IN_CONTENT, place, event_type),)


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
