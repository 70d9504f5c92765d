"""The index in the database itself: a table of documents, and its full-text search."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from rooms.search import documents
from rooms.search.base import Counts, EventRange, IndexingResult
from rooms.search.documents import fetch, last_positions_sql, removed_sql, up_to_run_sql
from rooms.search.query import SearchQuery
from rooms.search.schema import TABLE, WORDS, complete_full_text
from rooms.search.scope import (
    CHANGED,
    EVENTS,
    FINDABLE,
    Scope,
    eligible_sql,
    parse_uuid,
    uuid_param,
)

_BEYOND = 2**63 - 1
_SPARE = 20
"""Documents looked at beyond what is asked for, since some may have been taken back since."""
_LARGEST_PAGE = 2_000


class DatabaseIndex:
    """See `rooms.search.base.Index`."""

    def index(self, part: EventRange) -> IndexingResult:
        with transaction.atomic():
            removed = documents.delete_stale(part)
            return IndexingResult(documents.upsert(part), removed)

    def remove_orphans(self, tenant_id: UUID) -> int:
        return documents.remove_orphans(tenant_id)

    def search(
        self, tenant_id: UUID, words: SearchQuery, *, room_id: UUID | None, limit: int
    ) -> list[UUID]:
        """The newest first. What was redacted or edited since it was indexed is not found.

        The documents tell which match, a page of the newest at a time; only of those the events
        are looked up, however many more there are.
        """
        found: list[UUID] = []
        before, most = _BEYOND, min(limit + _SPARE, _LARGEST_PAGE)
        while len(found) < limit:
            page = self._page(tenant_id, words, before=before, most=most)
            ids = [event for event, _ in page]
            allowed = still_findable(tenant_id, ids, room_id)
            found += [event for event in ids if event in allowed]
            if len(page) < most:
                break
            before, most = page[-1][1], min(most * 4, _LARGEST_PAGE)
        return found[:limit]

    def _page(
        self, tenant_id: UUID, words: SearchQuery, *, before: int, most: int
    ) -> list[tuple[UUID, int]]:
        """Events of matching documents, with their positions.

        What is added to the position keeps PostgreSQL from reading every document of the tenant
        in their order, which it takes for the shorter way to a rare word.
        """
        source, matches, sought = _matching(words)
        rows = fetch(
            f"""
            SELECT d.event_id, d.stream_position FROM {source}
            WHERE {matches} AND d.tenant_id = %s AND d.stream_position < %s
            ORDER BY d.stream_position + 0 DESC LIMIT %s
            """,  # noqa: S608
            [*sought, uuid_param(tenant_id), before, most],
        )
        return [(parse_uuid(event), position) for event, position in rows]

    def counts(self, scope: Scope, run_id: UUID | None = None) -> dict[UUID, Counts]:
        """Of every tenant that has events or documents; up to where a run goes if that is given."""
        counts, spare = _counted(scope, run_id)
        if spare:
            for of, gone in _orphans_by_tenant(scope).items():
                known = counts.get(of, Counts())
                counts[of] = replace(known, stale=known.stale + gone)
        return counts

    def begin(self) -> None:
        """Nothing: while the first backfill runs there is no index of words to slow it down."""

    def end(self) -> None:
        complete_full_text()


def still_findable(tenant_id: UUID, events: list[UUID], room_id: UUID | None) -> set[UUID]:
    """Those of these events that are as they were indexed, in this tenant and room."""
    if not events:
        return set()
    in_room, room = ("AND e.room_id = %s", [uuid_param(room_id)]) if room_id else ("", [])
    rows = fetch(
        f"""
        SELECT e.id FROM {EVENTS} JOIN {TABLE} d
            ON d.event_id = e.id AND d.tenant_id = e.tenant_id
        WHERE e.tenant_id = %s AND e.id IN ({", ".join(["%s"] * len(events))})
            AND {FINDABLE} AND NOT {CHANGED} {in_room}
        """,  # noqa: S608
        [uuid_param(tenant_id), *(uuid_param(event) for event in events), *room],
    )
    return {parse_uuid(row[0]) for row in rows}


def _matching(words: SearchQuery) -> tuple[str, str, list[Any]]:
    """Where documents come from, what they must match, and its parameters."""
    if connection.vendor == "postgresql":
        query = " && ".join(["phraseto_tsquery('simple', %s)"] * len(words.pieces))
        return f"{TABLE} d", f"d.words @@ ({query})", list(words.for_tsquery)
    # SQLite takes the tables of a CROSS JOIN in their order. It would else rather look each
    # document of the tenant up among the words.
    return (
        f"{WORDS} CROSS JOIN {TABLE} d ON d.id = {WORDS}.rowid",
        f"{WORDS} MATCH %s",
        [words.for_fts5],
    )


def _counted(scope: Scope, run_id: UUID | None) -> tuple[dict[UUID, Counts], bool]:
    """Also returns whether there are documents that no event has, as far as their numbers tell.

    The content is looked at only where there is no document or an old one: whose document is up
    to date has a text.
    """
    up_to, through = up_to_run_sql(run_id)
    where, values = scope.events()
    of_documents, of_scope = _number_of_documents(scope, run_id)
    rows = fetch(
        f"""
        SELECT e.tenant_id,
            count(*) FILTER (WHERE d.id IS NOT NULL AND NOT {CHANGED} AND {FINDABLE}),
            count(*) FILTER (WHERE d.id IS NULL AND {eligible_sql()}),
            count(*) FILTER (WHERE d.id IS NOT NULL AND {CHANGED} AND {eligible_sql()}),
            count(*) FILTER (WHERE d.id IS NOT NULL AND {removed_sql()}),
            -count(d.id)
        FROM {EVENTS} {up_to} LEFT JOIN {TABLE} d
            ON d.event_id = e.id AND d.tenant_id = e.tenant_id
        WHERE {where} GROUP BY e.tenant_id
        {of_documents}
        """,  # noqa: S608
        [*through, *values, *of_scope],
    )
    counts, spare = dict[UUID, Counts](), dict[Any, int]()
    for of, indexed, missing, edited, taken, number in rows:
        spare[of] = spare.get(of, 0) + number
        if number <= 0:  # a row of the events'
            eligible_ = indexed + missing + edited
            counts[parse_uuid(of)] = Counts(eligible_, indexed, missing, edited + taken)
    return counts, scope.whole and any(spare.values())


def _number_of_documents(scope: Scope, run_id: UUID | None) -> tuple[str, list[Any]]:
    """In the same statement, so that it is of the same moment."""
    if not scope.whole:
        return "", []
    of_tenant, values = _of_tenant(scope)
    ends, run, before_end = "", list[Any](), ""
    if run_id is not None:
        ends, run = last_positions_sql(run_id)
        ends = f"LEFT JOIN {ends} ON ends.tenant_id = d.tenant_id"
        before_end = "AND (ends.last IS NULL OR d.stream_position <= ends.last)"
    return (
        f"UNION ALL SELECT d.tenant_id, 0, 0, 0, 0, count(*) FROM {TABLE} d {ends} "  # noqa: S608
        f"WHERE {of_tenant} {before_end} GROUP BY d.tenant_id",
        [*run, *values],
    )


def _orphans_by_tenant(scope: Scope) -> dict[UUID, int]:
    """Documents whose event is gone."""
    of_tenant, values = _of_tenant(scope)
    rows = fetch(
        f"""
        SELECT d.tenant_id, count(*) FROM {TABLE} d
        LEFT JOIN sw_events e ON e.id = d.event_id AND e.tenant_id = d.tenant_id
        WHERE e.id IS NULL AND {of_tenant} GROUP BY d.tenant_id
        """,  # noqa: S608
        values,
    )
    return {parse_uuid(of): count for of, count in rows}


def _of_tenant(scope: Scope) -> tuple[str, list[Any]]:
    return (
        ("1 = 1", [])
        if scope.tenant_id is None
        else ("d.tenant_id = %s", [uuid_param(scope.tenant_id)])
    )
