"""Which events there are, and what they refer to: on disk, for there may be millions.

A private database of SQLite without a name: it spills to a file that is deleted as it is made, so
that nothing is left however the process ends. Rows are appended only, and compared at the end.
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
)
from rooms.bundle.manifest.events import Batch, BundleEvent
from rooms.bundle.manifest.schema import manifest_error
from rooms.errors import DanglingReference
from scaiwave.errors import DiskFull

# What an import does with an event: leaves it out, or takes a reference out of either content.
STRIP = 0
IN_CONTENT = 1
IN_ORIGINAL = 2

Reference = tuple[int, str, bool, int, str]
"""Of a row of `refs`."""

_event_type = attrgetter("event_type")
_NAMED_DANGLING = 3
_CACHE_KIB = 1024
_LONGEST_TARGET = 60

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

_DANGLING = """
    CREATE TABLE dangling AS
    SELECT n, min(target) AS target FROM refs
    WHERE NOT EXISTS (SELECT 1 FROM ids WHERE ids.id = refs.target)
    GROUP BY n
"""

_GONE = """
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

_CUT = """
    INSERT INTO cut
    SELECT n, sum(DISTINCT place) FROM refs
    WHERE NOT needed AND n NOT IN (SELECT n FROM gone) AND NOT EXISTS (
        SELECT 1 FROM ids WHERE ids.id = target AND ids.rowid NOT IN (SELECT n FROM gone)
    )
    GROUP BY n
"""


@dataclass(frozen=True)
class DroppedReferences:
    """What an import leaves out because of what it refers to; each a count of events."""

    references: int = 0
    reactions: int = 0
    redactions: int = 0


@contextmanager
def _on_disk() -> Iterator[None]:
    """Raises `DiskFull` where SQLite finds no room for its temporary file."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise DiskFull(
            f"There is no room for the list of the bundle's events: {error}.",
            fix="Name a folder with more room in SQLITE_TMPDIR or TMPDIR, then run this again.",
        ) from error


class ReferenceIndex:
    """Takes the events in batches, then settles what becomes of them."""

    def __init__(self) -> None:
        # Read by whichever thread writes the events to the database.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.executescript(_TABLES.format(cache=_CACHE_KIB))
        self._database.execute("BEGIN")
        self._count = 0
        self.stripped: dict[str, int] = {}

    def close(self) -> None:
        self._database.close()

    def take(self, batch: Batch) -> None:
        """Raises `DiskFull`, as `settle` and `todo` do."""
        with _on_disk():
            self._take(batch)

    def _take(self, batch: Batch) -> None:
        # As one text, which is three times as fast as row by row; ids need no escaping.
        ids = '","'.join([event.id for event in batch])
        self._database.execute("INSERT INTO ids SELECT value FROM json_each(?)", (f'["{ids}"]',))
        types = set(map(_event_type, batch))
        if labels := {name: _label(name) for name in types if is_stripped(name)}:
            self._take_stripped(batch, labels)
        if types & REFERENCES.keys():
            self._take_references(batch)
        self._count += len(batch)

    def _take_stripped(self, batch: Batch, labels: dict[str, str]) -> None:
        rows = []
        for number, event in enumerate(batch, self._count + 1):
            if label := labels.get(event.event_type):
                rows.append((number,))
                self.stripped[label] = self.stripped.get(label, 0) + 1
        self._database.executemany("INSERT INTO stripped VALUES (?)", rows)

    def _take_references(self, batch: Batch) -> None:
        rows: list[Reference] = []
        for number, event in enumerate(batch, self._count + 1):
            if rule := REFERENCES.get(event.event_type):
                if rule[0] in event.content:
                    rows += _reference(number, event.event_type, event.content, IN_CONTENT)
                if event.original_content:
                    content = event.original_content
                    rows += _reference(number, event.event_type, content, IN_ORIGINAL)
        self._database.executemany("INSERT INTO refs VALUES (?, ?, ?, ?, ?)", rows)

    def settle(self, *, may_cut: bool) -> DroppedReferences:
        """Find ids that two events have, and what refers to nothing.

        Raises `BundleBadManifest` for the first; for the second `DanglingReference`, unless it may
        be cut. What refers to an event that is left out may be cut in any case.
        """
        with _on_disk():
            return self._settled(may_cut)

    def _settled(self, may_cut: bool) -> DroppedReferences:
        self._require_unique()
        self._run("CREATE INDEX refs_target ON refs (target)")
        if not may_cut:
            self._require_targets()
        self._run(_GONE)
        self._run(_CUT)
        return DroppedReferences(
            self._one("SELECT count(*) FROM cut"),
            self._count_gone("swp.room.reaction"),
            self._count_gone("swp.room.redaction"),
        )

    def todo(self) -> Iterator[tuple[int, int]]:
        """The number of each event with which something has to be done, ascending, and what."""
        with _on_disk():
            rows = self._run(
                "SELECT n, ? FROM gone UNION ALL SELECT n, places FROM cut ORDER BY n", STRIP
            )
            # `yield from` would close the cursor at the end, which may come after the database's.
            for row in rows:  # noqa: UP028
                yield row

    @property
    def gone(self) -> int:
        return self._one("SELECT count(*) FROM gone")

    def _run(self, sql: str, *values: Any) -> sqlite3.Cursor:
        return self._database.execute(sql, values)

    def _one(self, sql: str, *values: Any) -> int:
        return int(self._run(sql, *values).fetchone()[0])

    def _count_gone(self, kind: str) -> int:
        return self._one(
            "SELECT count(DISTINCT n) FROM refs JOIN gone USING (n) WHERE needed AND kind = ?",
            kind,
        )

    def _require_unique(self) -> None:
        try:
            self._run("CREATE UNIQUE INDEX ids_once ON ids (id)")
        except sqlite3.IntegrityError:
            twice, first, last = self._run(
                "SELECT id, min(rowid), max(rowid) FROM ids GROUP BY id HAVING count(*) > 1 "
                "ORDER BY 2 LIMIT 1"
            ).fetchone()
            raise manifest_error(
                f"Events {first:,} and {last:,} of the manifest",
                f"have the same id, {twice}",
                event=last,
                event_id=twice,
            ) from None

    def _require_targets(self) -> None:
        self._run(_DANGLING)
        if not (count := self._one("SELECT count(*) FROM dangling")):
            return
        first = self._run(
            "SELECT n, ids.id, target FROM dangling JOIN ids ON ids.rowid = n ORDER BY n LIMIT ?",
            _NAMED_DANGLING,
        ).fetchall()
        named = "; ".join(f"event {n:,} ({own}) to {target}" for n, own, target in first)
        more = f"; {count - len(first):,} more" if count > len(first) else ""
        raise DanglingReference(
            f"Events refer to others that are not in the bundle: {named}{more}.",
            entry=MANIFEST,
            event=first[0][0],
            event_id=first[0][1],
        )


def _label(event_type: str) -> str:
    """The name under which stripped events are counted. Sidekick types are counted together, for
    there is no end of them."""
    return event_type if event_type in STRIPPED_TYPES else f"{STRIPPED_PREFIX}*"


def _reference(
    number: int, event_type: str, content: dict[str, Any], place: int
) -> tuple[Reference, ...]:
    """What this content refers to: one row, or none where the key is absent or null."""
    key, needed = REFERENCES[event_type]
    target = content.get(key)
    if target is None:
        return ()
    # What is no text is no id, and refers to nothing.
    text = target if isinstance(target, str) else json.dumps(target)
    return ((number, text[:_LONGEST_TARGET], needed and place == IN_CONTENT, place, event_type),)


def cut(event: BundleEvent, places: int) -> BundleEvent:
    """The event without its references in these places."""
    key, _ = REFERENCES[event.event_type]
    if places & IN_CONTENT:
        event.content = {name: value for name, value in event.content.items() if name != key}
    if places & IN_ORIGINAL and event.original_content is not None:
        event.original_content = {
            name: value for name, value in event.original_content.items() if name != key
        }
    return event
