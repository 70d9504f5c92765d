"""The index in the database itself: a table of documents and its full-text search."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from rooms.models import Event, RemoteState
from rooms.search import documents
from rooms.search.base import EventRange, IndexCounts, IndexingResult
from rooms.search.documents import last_positions_sql, removed_sql, up_to_run_sql
from rooms.search.query import SearchQuery
from rooms.search.schema import TABLE, WORDS, complete_full_text
from rooms.search.scope import EVENTS, FINDABLE, Scope, changed_sql, eligible_sql
from scaiwave.core.sql import fetch, to_uuid, uuid_param
from tenants.models import Tenant

_Condition = tuple[str, list[Any]]
"""SQL on a document `d`, and its parameters."""

MAX_POSITION = 2**63 - 1
_EXTRA_DOCUMENTS = 20
"""Documents read beyond the limit, since some may be outdated and are then dropped."""
_MAX_PAGE_DOCUMENTS = 2_000


class SearchIndex:
    """The index in the database. `WeaviateIndex` adds a search server to it."""

    state: int = RemoteState.NOTHING
    """The least state of a document that a search finds."""

    def get_state(self, tenant_id: UUID) -> int:
        """Return the state for a tenant, which no document has if a search server lacks it."""
        return self.state

    def index(self, event_range: EventRange) -> IndexingResult:
        """Write missing and edited documents, and remove documents that must not be found.

        All other messages can be found throughout.
        """
        with transaction.atomic():
            documents.join_writers()  # before it locks a row
            removed = documents.delete_stale(event_range)
            return IndexingResult(documents.upsert(event_range), removed)

    def open_step(self) -> AbstractContextManager[object]:
        """Save the documents of a step and its progress together, so that none is uncounted."""
        return transaction.atomic()

    def remove_documents(
        self, tenant_id: UUID, events: QuerySet[Event]
    ) -> tuple[int, Callable[[], None]]:
        """Remove the documents of events that are deleted or redacted next.

        Call it in their transaction, and the function that it returns after that. Also returns the
        number of these documents.
        """
        return documents.delete_documents_of(tenant_id, events), lambda: None

    def finish_deletion(self, tenant_id: UUID) -> None:
        """Remove documents that an interrupted deletion has left because of a search server.

        They are of events that were deleted or redacted.
        """

    def remove_orphans(self, tenant_id: UUID) -> int:
        """Remove documents of deleted events; return how many."""
        return documents.delete_orphans(tenant_id)

    def count_objects(self, tenant_id: UUID) -> int:
        """Return how many documents of a tenant a search server has."""
        return 0

    def remove_tenant(self, tenant_id: UUID) -> None:
        """Remove a tenant from a search server, with all documents."""

    def search(
        self, tenant_id: UUID, query: SearchQuery, *, room_id: UUID | None, limit: int
    ) -> list[UUID]:
        """Return the newest first, without events that were redacted or edited since indexing.

        Reads matching documents page by page, newest first, and looks up only the events of those
        pages, however many more documents match.
        """
        within = ("d.tenant_id = %s", [uuid_param(tenant_id)])
        return self._search(query, within, "d.stream_position", room_id=room_id, limit=limit)

    def search_tenants(
        self, tenants: QuerySet[Tenant], query: SearchQuery, *, limit: int
    ) -> list[UUID]:
        """Return the last indexed first: positions of different tenants can't be compared."""
        within: _Condition = ("1 = 1", [])
        if tenants.query.where:
            ids, params = tenants.order_by().values("pk").query.sql_with_params()
            within = (f"d.tenant_id IN ({ids})", list(params))
        return self._search(query, within, "d.id", room_id=None, limit=limit)

    def _search(
        self,
        query: SearchQuery,
        within: _Condition,
        order: str,
        *,
        room_id: UUID | None,
        limit: int,
    ) -> list[UUID]:
        matches: list[UUID] = []
        before, page_size = MAX_POSITION, min(limit + _EXTRA_DOCUMENTS, _MAX_PAGE_DOCUMENTS)
        while len(matches) < limit:
            page = _fetch_page(query, within, order, before=before, page_size=page_size)
            event_ids = [event_id for event_id, _ in page]
            findable = filter_findable(event_ids, room_id=room_id)
            matches += [event_id for event_id in event_ids if event_id in findable]
            if len(page) < page_size:
                break
            before, page_size = page[-1][1], min(page_size * 4, _MAX_PAGE_DOCUMENTS)
        return matches[:limit]

    def count(self, scope: Scope, run_id: UUID | None = None) -> dict[UUID, IndexCounts]:
        """Count for every tenant with events or documents; with a run, up to its last position."""
        counts, has_orphans = _count_documents(scope, run_id)
        if has_orphans:
            # Documents of deleted events.
            tenant_condition, params = _tenant_sql(scope)
            rows = fetch(
                f"""
                SELECT d.tenant_id, count(*) FROM {TABLE} d
                LEFT JOIN sw_events e ON e.id = d.event_id AND e.tenant_id = d.tenant_id
                WHERE e.id IS NULL AND {tenant_condition} GROUP BY d.tenant_id
                """,
                params,
            )
            for tenant_id, orphans in rows:
                tenant_counts = counts.get(to_uuid(tenant_id), IndexCounts())
                stale = tenant_counts.stale + orphans
                counts[to_uuid(tenant_id)] = replace(tenant_counts, stale=stale)
        return counts

    def begin_backfill(self) -> None:
        """Prepare a search server. Called before the first range."""

    def end_backfill(self) -> None:
        """Complete the index. Called after the last range: building it earlier takes longer."""
        complete_full_text()


def _fetch_page(
    query: SearchQuery, within: _Condition, order: str, *, before: int, page_size: int
) -> list[tuple[UUID, int]]:
    """Return (event id, number in the order) of matching documents, the highest number first.

    Adding 0 to the number keeps PostgreSQL from walking all documents in that order, which it
    wrongly takes for the cheaper plan when a word is rare.
    """
    source, condition, terms = _match_sql(query)
    rows = fetch(
        f"""
        SELECT d.event_id, {order} FROM {source}
        WHERE {condition} AND {within[0]} AND {order} < %s
        ORDER BY {order} + 0 DESC LIMIT %s
        """,
        [*terms, *within[1], before, page_size],
    )
    return [(to_uuid(event_id), number) for event_id, number in rows]


def filter_findable(
    event_ids: list[UUID], *, tenant_id: UUID | None = None, room_id: UUID | None = None
) -> set[UUID]:
    """Return the events, in a tenant and a room, that have not changed since they were indexed."""
    if not event_ids:
        return set()
    places = {"tenant_id": tenant_id, "room_id": room_id}
    wanted = {column: uuid_param(value) for column, value in places.items() if value}
    rows = fetch(
        f"""
        SELECT e.id FROM {EVENTS} JOIN {TABLE} d
            ON d.event_id = e.id AND d.tenant_id = e.tenant_id
        WHERE e.id IN ({", ".join(["%s"] * len(event_ids))})
            AND {FINDABLE} AND NOT {changed_sql()}
            {"".join(f" AND e.{column} = %s" for column in wanted)}
        """,
        [*(uuid_param(event_id) for event_id in event_ids), *wanted.values()],
    )
    return {to_uuid(row[0]) for row in rows}


def _match_sql(query: SearchQuery) -> tuple[str, str, list[Any]]:
    """Return the FROM clause, the condition on documents, and the condition's parameters."""
    if connection.vendor == "postgresql":
        tsquery = " && ".join(["phraseto_tsquery('simple', %s)"] * len(query.terms))
        return f"{TABLE} d", f"d.words @@ ({tsquery})", list(query.tsquery_phrases)
    # CROSS JOIN makes SQLite join in the order written. Otherwise it would look up each document
    # of the tenant in the word index.
    return (
        f"{WORDS} CROSS JOIN {TABLE} d ON d.id = {WORDS}.rowid",
        f"{WORDS} MATCH %s",
        [query.fts5_query],
    )


def _count_documents(scope: Scope, run_id: UUID | None) -> tuple[dict[UUID, IndexCounts], bool]:
    """Return counts by tenant, and whether the totals show documents without an event.

    The content of an event is read only if its document is missing or outdated; an up-to-date
    document proves that there is a text.
    """
    run_join, run_params = up_to_run_sql(run_id)
    condition, scope_params = scope.events_sql()
    totals_sql, totals_params = _document_totals_sql(scope, run_id)
    rows = fetch(
        f"""
        SELECT e.tenant_id,
            count(*) FILTER (WHERE d.id IS NOT NULL AND NOT {changed_sql()} AND {FINDABLE}),
            count(*) FILTER (WHERE d.id IS NULL AND {eligible_sql()}),
            count(*) FILTER (WHERE d.id IS NOT NULL AND {changed_sql()} AND {eligible_sql()}),
            count(*) FILTER (WHERE d.id IS NOT NULL AND {removed_sql()}),
            -count(d.id)
        FROM {EVENTS} {run_join} LEFT JOIN {TABLE} d
            ON d.event_id = e.id AND d.tenant_id = e.tenant_id
        WHERE {condition} GROUP BY e.tenant_id
        {totals_sql}
        """,
        [*run_params, *scope_params, *totals_params],
    )
    counts, surplus = dict[UUID, IndexCounts](), dict[Any, int]()
    for tenant_id, indexed, missing, edited, removed, documents_delta in rows:
        surplus[tenant_id] = surplus.get(tenant_id, 0) + documents_delta
        if documents_delta <= 0:  # a row about events, not about document totals
            eligible = indexed + missing + edited
            counts[to_uuid(tenant_id)] = IndexCounts(eligible, indexed, missing, edited + removed)
    return counts, scope.is_whole and any(surplus.values())


def _document_totals_sql(scope: Scope, run_id: UUID | None) -> tuple[str, list[Any]]:
    """Return a UNION with all documents per tenant, so that both counts share one snapshot."""
    if not scope.is_whole:
        return "", []
    tenant_condition, tenant_params = _tenant_sql(scope)
    run_join, run_params, within_run = "", list[Any](), ""
    if run_id is not None:
        ends, run_params = last_positions_sql(run_id)
        run_join = f"LEFT JOIN {ends} ON ends.tenant_id = d.tenant_id"
        within_run = "AND (ends.last IS NULL OR d.stream_position <= ends.last)"
    return (
        f"UNION ALL SELECT d.tenant_id, 0, 0, 0, 0, count(*) FROM {TABLE} d {run_join} "
        f"WHERE {tenant_condition} {within_run} GROUP BY d.tenant_id",
        [*run_params, *tenant_params],
    )


def _tenant_sql(scope: Scope) -> tuple[str, list[Any]]:
    return (
        ("1 = 1", [])
        if scope.tenant_id is None
        else ("d.tenant_id = %s", [uuid_param(scope.tenant_id)])
    )
