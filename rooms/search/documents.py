"""The table of documents: made from the events, and what a search server beside it has of them.

Everything is done to whole sets, and each statement names the tenant, whatever ids it got.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import connection, transaction

from rooms.models import RemoteState, SearchDocument
from rooms.search.base import EventRange
from rooms.search.schema import TABLE
from rooms.search.scope import (
    CHANGED,
    EVENTS,
    FINDABLE,
    Scope,
    body_sql,
    eligible_sql,
    parse_uuid,
    uuid_param,
)

_PART = "e.tenant_id = %s AND e.stream_position > %s AND e.stream_position <= %s"


def removed_sql() -> str:
    """What is in the index and may not be found any more; what was edited, and still has a text,
    is written anew instead."""
    return f"(NOT ({FINDABLE}) OR {CHANGED} AND NOT {eligible_sql()})"


def upsert(part: EventRange) -> int:
    """What is missing or was edited. In the order of the stream, so that two who write the same
    wait for each other and can't be each in the other's way."""
    where, values = part.scope.events()
    known, needed = "", ""
    if not part.rewrite and has_documents(part):  # else there is none to look up for each event
        known = f"LEFT JOIN {TABLE} d ON d.event_id = e.id AND d.tenant_id = e.tenant_id"
        needed = f"AND (d.id IS NULL OR {CHANGED})"
    return execute(
        f"""
        INSERT INTO {TABLE} (tenant_id, event_id, stream_position, body, edited_at, remote)
        SELECT e.tenant_id, e.id, e.stream_position, {body_sql()}, e.edited_at, 0
        FROM {EVENTS} {known}
        WHERE {_PART} AND {where} {needed} AND {eligible_sql()}
        ORDER BY e.stream_position
        ON CONFLICT (event_id) DO UPDATE
        SET tenant_id = excluded.tenant_id, stream_position = excluded.stream_position,
            body = excluded.body, edited_at = excluded.edited_at, remote = 0
        """,  # noqa: S608
        [*_of(part), *values],
    )


def has_documents(part: EventRange) -> bool:
    """Whether there is a document at all: not in a first backfill, of which the most is asked."""
    sql = (
        f"SELECT 1 FROM {TABLE} "  # noqa: S608
        "WHERE tenant_id = %s AND stream_position > %s AND stream_position <= %s "
        "ORDER BY stream_position LIMIT 1"  # or PostgreSQL may read the table for it
    )
    return bool(fetch(sql, _of(part)))


def delete_stale(part: EventRange) -> int:
    """What may not be found any more."""
    if not has_documents(part):
        return 0
    which, values = _to_be_removed(part)
    sql = f"DELETE FROM {TABLE} WHERE tenant_id = %s AND event_id IN ({which})"  # noqa: S608
    return execute(sql, [uuid_param(part.tenant_id), *values])


def remove_orphans(tenant_id: UUID) -> int:
    """Documents of events that are not there any more."""
    which, values = _orphans(tenant_id)
    sql = f"DELETE FROM {TABLE} WHERE tenant_id = %s AND event_id IN ({which})"  # noqa: S608
    return execute(sql, [uuid_param(tenant_id), *values])


def to_be_removed(part: EventRange, most: int) -> list[UUID]:
    """The events of so many documents that may not be found any more."""
    which, values = _to_be_removed(part)
    return [parse_uuid(row[0]) for row in fetch(f"{which} LIMIT %s", [*values, most])]


def orphans(tenant_id: UUID, most: int) -> list[UUID]:
    which, values = _orphans(tenant_id)
    return [parse_uuid(row[0]) for row in fetch(f"{which} LIMIT %s", [*values, most])]


def delete_events(tenant_id: UUID, events: list[UUID]) -> None:
    SearchDocument.objects.filter(tenant=tenant_id, event__in=events).delete()


def pending_documents(
    part: EventRange, *, after: int, most: int, with_vectors: bool
) -> list[SearchDocument]:
    """Documents with their events that were not sent, or without the vector they could have."""
    lacking = RemoteState.TEXT if with_vectors else RemoteState.NOTHING
    documents = SearchDocument.objects.filter(
        tenant=part.tenant_id,
        event__tenant=part.tenant_id,
        stream_position__gt=part.after,
        stream_position__lte=part.through,
        remote__lte=lacking,
        pk__gt=after,
    )
    if part.scope.room_id is not None:
        documents = documents.filter(event__room=part.scope.room_id)
    return list(documents.select_related("event").order_by("pk")[:most])


def mark_sent(tenant_id: UUID, documents: list[tuple[SearchDocument, RemoteState]]) -> None:
    """Write down what the search server has now, unless it was written anew meanwhile."""
    with transaction.atomic():
        for document, remote in documents:
            SearchDocument.objects.filter(
                pk=document.pk, tenant=tenant_id, edited_at=document.edited_at
            ).update(remote=remote)


def pending_counts(scope: Scope, run_id: UUID | None = None) -> dict[UUID, int]:
    """How many documents, of those that are as they should be."""
    up_to, through = up_to_run_sql(run_id)
    where, values = scope.events()
    rows = fetch(
        f"""
        SELECT e.tenant_id, count(*) FROM {EVENTS} {up_to}
        JOIN {TABLE} d ON d.event_id = e.id AND d.tenant_id = e.tenant_id
        WHERE {where} AND d.remote = 0 AND {FINDABLE} AND NOT {CHANGED} GROUP BY e.tenant_id
        """,  # noqa: S608
        [*through, *values],
    )
    return {parse_uuid(of): count for of, count in rows}


def up_to_run_sql(run_id: UUID | None) -> tuple[str, list[Any]]:
    """A join that leaves out the events after those of a run."""
    if run_id is None:
        return "", []
    ends, values = last_positions_sql(run_id)
    return (
        f"JOIN {ends} ON ends.tenant_id = e.tenant_id AND e.stream_position <= ends.last",
        values,
    )


def last_positions_sql(run_id: UUID) -> tuple[str, list[Any]]:
    """The last position in each tenant that a run has ranges of."""
    ends = "SELECT tenant_id, max(last) AS last FROM sw_search_ranges WHERE backfill_id = %s"
    return f"({ends} GROUP BY tenant_id) ends", [uuid_param(run_id)]


def execute(sql: str, values: list[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)


def fetch(sql: str, values: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall())


def _to_be_removed(part: EventRange) -> tuple[str, list[Any]]:
    where, values = part.scope.events()
    return (
        f"""
        SELECT d.event_id
        FROM {EVENTS} JOIN {TABLE} d ON d.event_id = e.id AND d.tenant_id = e.tenant_id
        WHERE {_PART} AND {where} AND {removed_sql()}
        """,  # noqa: S608
        [*_of(part), *values],
    )


def _orphans(tenant_id: UUID) -> tuple[str, list[Any]]:
    return (
        f"""
        SELECT d.event_id FROM {TABLE} d
        LEFT JOIN sw_events e ON e.id = d.event_id AND e.tenant_id = d.tenant_id
        WHERE d.tenant_id = %s AND e.id IS NULL
        """,  # noqa: S608
        [uuid_param(tenant_id)],
    )


def _of(part: EventRange) -> list[Any]:
    return [uuid_param(part.tenant_id), part.after, part.through]
