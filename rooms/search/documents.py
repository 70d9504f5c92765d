"""The table of documents: derived from the events, with the state of a search server.

Every statement works on a whole set and names the tenant, whatever ids it is given. Statements
about a range of positions restrict both events and documents to it. PostgreSQL's statistics can be
arbitrarily wrong, above all after all documents were deleted with SQL. A statement that restricts
only one of the two then reads the whole tenant of the other, again and again.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import QuerySet

from rooms.models import Event, RemoteState, SearchDocument
from rooms.search.base import EventRange
from rooms.search.schema import TABLE
from rooms.search.scope import EVENTS, FINDABLE, Scope, body_sql, changed_sql, eligible_sql
from scaiwave.core.locks import lock_in_transaction
from scaiwave.core.sql import execute, fetch, to_uuid, uuid_param

LOCK = "search-documents"
_IN_RANGE = "{0}.tenant_id = %s AND {0}.stream_position > %s AND {0}.stream_position <= %s"
# Compares an event with its document. With the position, the index of positions finds one row too.
_SAME_POSITION = "e.tenant_id = d.tenant_id AND e.stream_position = d.stream_position"
_EVENTS_IN_RANGE, _DOCUMENTS_IN_RANGE = _IN_RANGE.format("e"), _IN_RANGE.format("d")


def removed_sql() -> str:
    """Return the condition for documents that must no longer be found.

    An edited event that still has a text is not among them: its document is written again.
    """
    return f"(NOT ({FINDABLE}) OR {changed_sql()} AND NOT {eligible_sql()})"


def upsert(event_range: EventRange) -> int:
    """Write missing and edited documents; return how many.

    Writes in stream order, so that two processes on the same range wait for each other instead of
    deadlocking.
    """
    condition, scope_params = event_range.scope.events_sql()
    join, outdated = "", ""
    # In a first backfill there are no documents, and no event needs a lookup.
    if not event_range.rewrite and has_documents(event_range):
        join = f"LEFT JOIN {TABLE} d ON d.event_id = e.id AND {_SAME_POSITION}"
        outdated = f"AND (d.id IS NULL OR {changed_sql()})"
    with transaction.atomic():
        join_writers()
        return execute(
            f"""
            INSERT INTO {TABLE} (tenant_id, event_id, stream_position, body, edited_at, remote)
            SELECT e.tenant_id, e.id, e.stream_position, {body_sql()}, e.edited_at, 0
            FROM {EVENTS} {join}
            WHERE {_EVENTS_IN_RANGE} AND {condition} {outdated} AND {eligible_sql()}
            ORDER BY e.stream_position
            ON CONFLICT (event_id) DO UPDATE
            SET tenant_id = excluded.tenant_id, stream_position = excluded.stream_position,
                body = excluded.body, edited_at = excluded.edited_at, remote = 0
            """,
            [*_range_params(event_range), *scope_params],
        )


def has_documents(event_range: EventRange) -> bool:
    """Whether the range has any document; False throughout a first backfill."""
    sql = (
        f"SELECT 1 FROM {TABLE} d WHERE {_DOCUMENTS_IN_RANGE} "
        "ORDER BY stream_position LIMIT 1"  # without the order PostgreSQL may scan the table
    )
    return bool(fetch(sql, _range_params(event_range)))


def delete_stale(event_range: EventRange) -> int:
    """Delete documents of the range that must no longer be found; return how many."""
    if not has_documents(event_range):
        return 0
    is_stale, params = _stale_sql(event_range)
    sql = f"DELETE FROM {TABLE} AS d WHERE {_DOCUMENTS_IN_RANGE} AND {is_stale}"
    return execute(sql, [*_range_params(event_range), *params])


def delete_orphans(tenant_id: UUID) -> int:
    """Delete documents of deleted events; return how many."""
    orphans, params = _orphans_sql(tenant_id)
    sql = f"DELETE FROM {TABLE} WHERE tenant_id = %s AND event_id IN ({orphans})"
    return execute(sql, [uuid_param(tenant_id), *params])


def delete_documents_of(tenant_id: UUID, events: QuerySet[Event]) -> int:
    """Delete the documents of these events; return how many."""
    of_events, params = _of_events_sql(tenant_id, events)
    return execute(f"DELETE {of_events}", params)


def get_documents_of(tenant_id: UUID, events: QuerySet[Event]) -> list[UUID]:
    """Return the IDs of these events that have a document."""
    of_events, params = _of_events_sql(tenant_id, events)
    return [to_uuid(row[0]) for row in fetch(f"SELECT d.event_id {of_events}", params)]


def _of_events_sql(tenant_id: UUID, events: QuerySet[Event]) -> tuple[str, list[Any]]:
    """Look documents up by their event, however many others the tenant has.

    PostgreSQL does so for an array whatever its statistics, and SQLite as the plus sign keeps it
    from using the index of the tenant.
    """
    ids, params = events.values_list("pk").query.sql_with_params()
    found = f"d.event_id IN ({ids}) AND +d.tenant_id = %s"
    if connection.vendor == "postgresql":
        found = f"d.event_id = ANY(ARRAY({ids})) AND d.tenant_id = %s"
    return f"FROM {TABLE} AS d WHERE {found}", [*params, uuid_param(tenant_id)]


def get_stale_events(event_range: EventRange, limit: int) -> list[UUID]:
    """Return event ids of documents that must no longer be found."""
    is_stale, params = _stale_sql(event_range)
    sql = f"SELECT d.event_id FROM {TABLE} d WHERE {_DOCUMENTS_IN_RANGE} AND {is_stale} LIMIT %s"
    return [to_uuid(row[0]) for row in fetch(sql, [*_range_params(event_range), *params, limit])]


def get_orphaned_events(tenant_id: UUID, limit: int) -> list[UUID]:
    """Return ids of deleted events that still have a document."""
    orphans, params = _orphans_sql(tenant_id)
    return [to_uuid(row[0]) for row in fetch(f"{orphans} LIMIT %s", [*params, limit])]


def join_writers() -> None:
    """Wait for those who block writers, and let none begin until the transaction ends."""
    lock_in_transaction(LOCK, is_shared=True)


def block_writers() -> None:
    """Wait for statements that write documents, and let none begin until the transaction ends."""
    lock_in_transaction(LOCK)


def wait_for_writers() -> None:
    """Wait for statements that write documents. Later ones see the rows committed by now."""
    with transaction.atomic():
        block_writers()


def delete_events(tenant_id: UUID, event_ids: list[UUID]) -> None:
    found = SearchDocument.objects.filter(tenant=tenant_id, event__in=event_ids)
    with transaction.atomic():
        # In stream order, as those who write and mark documents lock them.
        list(found.select_for_update().order_by("stream_position").values_list("pk"))
        found.delete()


def pending_documents(
    event_range: EventRange, *, after: int, limit: int, with_vectors: bool
) -> list[SearchDocument]:
    """Return documents and their events that the search server lacks, at positions over `after`.

    With `with_vectors`, also documents that it has without a vector.
    """
    max_state = RemoteState.TEXT if with_vectors else RemoteState.NOTHING
    documents = SearchDocument.objects.filter(
        tenant=event_range.tenant_id,
        event__tenant=event_range.tenant_id,
        stream_position__gt=max(event_range.after, after),
        stream_position__lte=event_range.through,
        remote__lte=max_state,
    )
    if event_range.scope.room_id is not None:
        documents = documents.filter(event__room=event_range.scope.room_id)
    return list(documents.select_related("event").order_by("stream_position")[:limit])


def mark_sent(tenant_id: UUID, documents: list[tuple[SearchDocument, RemoteState]]) -> list[UUID]:
    """Record the state of the search server, except for documents written again since.

    Returns the events whose documents were deleted since.
    """
    with transaction.atomic():
        for document, remote in documents:
            SearchDocument.objects.filter(
                pk=document.pk, tenant=tenant_id, edited_at=document.edited_at
            ).update(remote=remote)
        ids = [document.event_id for document, _ in documents]
        kept = SearchDocument.objects.filter(tenant=tenant_id, event__in=ids)
        return list(set(ids).difference(kept.values_list("event_id", flat=True)))


def pending_counts(scope: Scope, run_id: UUID | None = None) -> dict[UUID, int]:
    """Count up-to-date documents that the search server lacks, by tenant."""
    run_join, run_params = up_to_run_sql(run_id)
    condition, scope_params = scope.events_sql()
    rows = fetch(
        f"""
        SELECT e.tenant_id, count(*) FROM {EVENTS} {run_join}
        JOIN {TABLE} d ON d.event_id = e.id AND d.tenant_id = e.tenant_id
        WHERE {condition} AND d.remote = 0 AND {FINDABLE}
            AND NOT {changed_sql()}
        GROUP BY e.tenant_id
        """,
        [*run_params, *scope_params],
    )
    return {to_uuid(tenant_id): count for tenant_id, count in rows}


def up_to_run_sql(run_id: UUID | None) -> tuple[str, list[Any]]:
    """Return a join that leaves out events newer than the run's, and its parameters."""
    if run_id is None:
        return "", []
    ends, params = last_positions_sql(run_id)
    return (
        f"JOIN {ends} ON ends.tenant_id = e.tenant_id AND e.stream_position <= ends.last",
        params,
    )


def last_positions_sql(run_id: UUID) -> tuple[str, list[Any]]:
    """Return a subquery `ends` with the last position of the run in each tenant."""
    ends = "SELECT tenant_id, max(last) AS last FROM sw_search_ranges WHERE backfill_id = %s"
    return f"({ends} GROUP BY tenant_id) ends", [uuid_param(run_id)]


def _stale_sql(event_range: EventRange) -> tuple[str, list[Any]]:
    """Return the condition for documents whose event is in scope and must no longer be found."""
    condition, params = event_range.scope.events_sql()
    sql = f"""
        EXISTS (SELECT 1 FROM {EVENTS}
                WHERE e.id = d.event_id AND {_SAME_POSITION} AND {_EVENTS_IN_RANGE}
                    AND {condition} AND {removed_sql()})
        """
    return sql, [*_range_params(event_range), *params]


def _orphans_sql(tenant_id: UUID) -> tuple[str, list[Any]]:
    return (
        f"""
        SELECT d.event_id FROM {TABLE} d
        LEFT JOIN sw_events e ON e.id = d.event_id AND e.tenant_id = d.tenant_id
        WHERE d.tenant_id = %s AND e.id IS NULL
        """,
        [uuid_param(tenant_id)],
    )


def _range_params(event_range: EventRange) -> list[Any]:
    return [uuid_param(event_range.tenant_id), event_range.after, event_range.through]
