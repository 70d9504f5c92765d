"""The index in the database itself: a table of documents, and its full-text search.

Everything is done to whole sets: a part of a tenant's stream is one statement that writes, and one
that removes. Each names the tenant, whatever ids it got.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from rooms.models import Remote, SearchDocument
from rooms.search.engine import Counts, Part, Written
from rooms.search.schema import TABLE, WORDS, make_word_index
from rooms.search.scope import CHANGED, EVENTS, FINDABLE, Scope, body, eligible, from_key, key
from rooms.search.words import Words

_BEYOND = 2**63 - 1
_SPARE = 20
"""Documents looked at beyond what is asked for, since some may have been taken back since."""
_LARGEST_PAGE = 2_000

_PART = "e.tenant_id = %s AND e.stream_position > %s AND e.stream_position <= %s"


_ORPHANS = f"""tenant_id = %s AND NOT EXISTS (
    SELECT 1 FROM {EVENTS} WHERE e.id = event_id AND e.tenant_id = {TABLE}.tenant_id
)"""  # noqa: S608


class DatabaseIndex:
    """See `rooms.search.engine.Index`."""

    def index(self, part: Part) -> Written:
        with transaction.atomic():
            return Written(self._write(part), self._remove(part))

    def _write(self, part: Part) -> int:
        where, values = part.scope.events()
        needed = "" if part.rewrite else f"AND (d.id IS NULL OR {CHANGED})"
        return _execute(
            f"""
            INSERT INTO {TABLE} (tenant_id, event_id, stream_position, body, edited_at, remote)
            SELECT e.tenant_id, e.id, e.stream_position, {body()}, e.edited_at, 0
            FROM {EVENTS} LEFT JOIN {TABLE} d ON d.event_id = e.id
            WHERE {_PART} AND {where} {needed} AND {eligible()}
            ON CONFLICT (event_id) DO UPDATE
            SET tenant_id = excluded.tenant_id, stream_position = excluded.stream_position,
                body = excluded.body, edited_at = excluded.edited_at, remote = 0
            """,  # noqa: S608
            [*_of(part), *values],
        )

    def _remove(self, part: Part) -> int:
        """What was edited and still has a text has been written anew by now."""
        where, values = part.scope.events()
        return _execute(
            f"""
            DELETE FROM {TABLE} WHERE tenant_id = %s AND id IN (
                SELECT d.id FROM {EVENTS} JOIN {TABLE} d ON d.event_id = e.id
                WHERE {_PART} AND {where} AND (NOT ({FINDABLE}) OR {CHANGED})
            )
            """,  # noqa: S608
            [key(part.tenant_id), *_of(part), *values],
        )

    def remove_orphans(self, tenant_id: UUID) -> int:
        return _execute(
            f"DELETE FROM {TABLE} WHERE {_ORPHANS}",  # noqa: S608
            [key(tenant_id)],
        )

    def search(
        self, tenant_id: UUID, words: Words, *, room_id: UUID | None, limit: int
    ) -> list[UUID]:
        """The newest first. What was redacted or edited since it was indexed is not found.

        The documents tell which match, a page of the newest at a time; only of those the events
        are looked up, however many more there are.
        """
        found: list[UUID] = []
        before, most = _BEYOND, limit + _SPARE
        while len(found) < limit:
            page = self._page(tenant_id, words, before=before, most=most)
            ids = [event for event, _ in page]
            allowed = self.still_findable(tenant_id, ids, room_id)
            found += [event for event in ids if event in allowed]
            if len(page) < most:
                break
            before, most = page[-1][1], min(most * 4, _LARGEST_PAGE)
        return found[:limit]

    def _page(
        self, tenant_id: UUID, words: Words, *, before: int, most: int
    ) -> list[tuple[UUID, int]]:
        """Events of matching documents, with their positions."""
        documents, matches, sought = _matching(words)
        rows = _fetch(
            f"""
            SELECT d.event_id, d.stream_position FROM {documents}
            WHERE {matches} AND d.tenant_id = %s AND d.stream_position < %s
            ORDER BY d.stream_position DESC LIMIT %s
            """,  # noqa: S608
            [*sought, key(tenant_id), before, most],
        )
        return [(from_key(event), position) for event, position in rows]

    def counts(self, scope: Scope, run_id: UUID | None = None) -> dict[UUID, Counts]:
        """Of every tenant that has events or documents; up to where a run goes if that is given.

        The content is looked at only where there is no document or an old one: whose document is
        up to date has a text.
        """
        up_to, through = _through(run_id)
        where, values = scope.events()
        rows = _fetch(
            f"""
            SELECT e.tenant_id,
                count(*) FILTER (WHERE d.id IS NOT NULL AND NOT {CHANGED} AND {FINDABLE}),
                count(*) FILTER (WHERE d.id IS NULL AND {eligible()}),
                count(*) FILTER (WHERE d.id IS NOT NULL AND {CHANGED} AND {eligible()}),
                count(*) FILTER (WHERE d.id IS NOT NULL
                    AND (NOT ({FINDABLE}) OR {CHANGED} AND NOT {eligible()}))
            FROM {EVENTS} {up_to} LEFT JOIN {TABLE} d
                ON d.event_id = e.id AND d.tenant_id = e.tenant_id
            WHERE {where} GROUP BY e.tenant_id
            """,  # noqa: S608
            [*through, *values],
        )
        counts = {
            from_key(of): Counts(
                eligible=indexed + missing + edited,
                indexed=indexed,
                missing=missing,
                stale=edited + taken,
            )
            for of, indexed, missing, edited, taken in rows
        }
        for tenant, gone in (self._orphans(scope) if scope.whole else {}).items():
            known = counts.get(tenant, Counts())
            counts[tenant] = replace(known, stale=known.stale + gone)
        return counts

    def _orphans(self, scope: Scope) -> dict[UUID, int]:
        """Documents whose event is gone."""
        of_tenant = "" if scope.tenant_id is None else "AND d.tenant_id = %s"
        rows = _fetch(
            f"""
            SELECT d.tenant_id, count(*) FROM {TABLE} d
            LEFT JOIN sw_events e ON e.id = d.event_id AND e.tenant_id = d.tenant_id
            WHERE e.id IS NULL {of_tenant} GROUP BY d.tenant_id
            """,  # noqa: S608
            [] if scope.tenant_id is None else [key(scope.tenant_id)],
        )
        return {from_key(of): count for of, count in rows}

    def begin(self) -> None:
        """Nothing: while the first backfill runs there is no index of words to slow it down."""

    def end(self) -> None:
        make_word_index()

    # What a search server beside the database needs to know.

    def to_be_removed(self, part: Part) -> list[UUID]:
        """The events of this part that were sent and may not be found any more."""
        where, values = part.scope.events()
        rows = _fetch(
            f"""
            SELECT e.id FROM {EVENTS} JOIN {TABLE} d ON d.event_id = e.id
            WHERE {_PART} AND {where} AND d.remote > 0
                AND (NOT ({FINDABLE}) OR {CHANGED} AND NOT {eligible()})
            """,  # noqa: S608
            [*_of(part), *values],
        )
        return [from_key(row[0]) for row in rows]

    def orphans(self, tenant_id: UUID) -> list[UUID]:
        """The events that were sent and are gone."""
        sql = f"SELECT event_id FROM {TABLE} WHERE remote > 0 AND {_ORPHANS}"  # noqa: S608
        return [from_key(row[0]) for row in _fetch(sql, [key(tenant_id)])]

    def to_be_sent(
        self, part: Part, *, after: int, most: int, with_vectors: bool
    ) -> list[SearchDocument]:
        """Documents with their events that were not sent, or without the vector they could have."""
        lacking = Remote.TEXT if with_vectors else Remote.NOTHING
        documents = SearchDocument.objects.filter(
            tenant=part.tenant_id,
            event__tenant=part.tenant_id,
            event__stream_position__gt=part.after,
            event__stream_position__lte=part.through,
            remote__lte=lacking,
            pk__gt=after,
        )
        if part.scope.room_id is not None:
            documents = documents.filter(event__room=part.scope.room_id)
        return list(documents.select_related("event").order_by("pk")[:most])

    def not_sent(self, scope: Scope, run_id: UUID | None = None) -> dict[UUID, int]:
        """How many documents, of those that are as they should be."""
        up_to, through = _through(run_id)
        where, values = scope.events()
        rows = _fetch(
            f"""
            SELECT e.tenant_id, count(*) FROM {EVENTS} {up_to}
            JOIN {TABLE} d ON d.event_id = e.id AND d.tenant_id = e.tenant_id
            WHERE {where} AND d.remote = 0 AND {FINDABLE} AND NOT {CHANGED} GROUP BY e.tenant_id
            """,  # noqa: S608
            [*through, *values],
        )
        return {from_key(of): count for of, count in rows}

    def still_findable(
        self, tenant_id: UUID, events: list[UUID], room_id: UUID | None
    ) -> set[UUID]:
        """Those of these events that are as they were indexed, in this tenant and room."""
        if not events:
            return set()
        in_room, room = ("AND e.room_id = %s", [key(room_id)]) if room_id else ("", [])
        rows = _fetch(
            f"""
            SELECT e.id FROM {EVENTS} JOIN {TABLE} d
                ON d.event_id = e.id AND d.tenant_id = e.tenant_id
            WHERE e.tenant_id = %s AND e.id IN ({", ".join(["%s"] * len(events))})
                AND {FINDABLE} AND NOT {CHANGED} {in_room}
            """,  # noqa: S608
            [key(tenant_id), *(key(event) for event in events), *room],
        )
        return {from_key(row[0]) for row in rows}


def _of(part: Part) -> list[Any]:
    return [key(part.tenant_id), part.after, part.through]


def _matching(words: Words) -> tuple[str, str, list[Any]]:
    """Where documents come from, what they must match, and its parameters."""
    if connection.vendor == "postgresql":
        query = " && ".join(["phraseto_tsquery('simple', %s)"] * len(words.pieces))
        return f"{TABLE} d", f"d.words @@ ({query})", list(words.for_tsquery)
    return f"{WORDS} JOIN {TABLE} d ON d.id = {WORDS}.rowid", f"{WORDS} MATCH %s", [words.for_fts5]


def _through(run_id: UUID | None) -> tuple[str, list[Any]]:
    if run_id is None:
        return "", []
    ends = "SELECT tenant_id, max(last) AS last FROM sw_search_ranges WHERE backfill_id = %s"
    return (
        f"JOIN ({ends} GROUP BY tenant_id) ends "
        "ON ends.tenant_id = e.tenant_id AND e.stream_position <= ends.last",
        [key(run_id)],
    )


def _execute(sql: str, values: list[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)


def _fetch(sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())
