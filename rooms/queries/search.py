"""Search messages, and show what a backfill of the search index would do."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rooms.models import Event, SearchBackfill
from rooms.queries.resolve import resolve_room
from rooms.search.backend import open_index
from rooms.search.base import IndexCounts
from rooms.search.query import SearchQuery, make_snippet, parse_query
from rooms.services.search.runs import BackfillOptions, build_scope, pending_ranges
from scaiwave.auth.operators import Operator, Permission
from scaiwave.sql import batched
from tenants.models import Tenant
from tenants.queries.resolve import resolve_tenant
from tenants.queries.serializers import Row

BATCH_SIZE = 500


def search_rooms(
    *, operator: Operator, text: str, tenant: str, room: str | None = None, limit: int = 20
) -> Generator[Row, None, None]:
    """Return messages of one tenant that contain every word of the text, the best first.

    Yields one row at a time. Raises `SearchEmpty`, `SearchTooLong`, `TenantNotFound`,
    `RoomNotFound` or `AmbiguousName`, and what calling the search server raises if one is
    configured, at once.
    """
    operator.require(Permission.VIEW)
    query = parse_query(text)
    resolved = resolve_tenant(operator, tenant)
    room_id = resolve_room(operator, room, tenant=resolved).pk if room is not None else None
    with open_index(interactive=True) as index:
        event_ids = index.search(resolved.pk, query, room_id=room_id, limit=limit)
    return _iter_hits(resolved, event_ids, query)


def _iter_hits(
    tenant: Tenant, event_ids: list[UUID], query: SearchQuery
) -> Generator[Row, None, None]:
    for batch in batched(event_ids, BATCH_SIZE):
        events = Event.objects.filter(tenant=tenant).select_related("room", "sender")
        by_id = events.in_bulk(batch)
        for event_id in filter(by_id.__contains__, batch):
            yield _build_hit(by_id[event_id], query)


def _build_hit(event: Event, query: SearchQuery) -> Row:
    """Return one hit. Its text may have changed without a new `edited_at`, even to no text."""
    content = event.content
    body = content.get("body") if isinstance(content, dict) else None
    return {
        "id": event.pk,
        "room_id": event.room_id,
        "room": str(event.room),
        "sender_id": event.sender_id,
        "sender": event.sender.display_name,
        "sent_at": event.created_at,
        "stream_position": event.stream_position,
        "snippet": make_snippet(body if isinstance(body, str) else "", query),
    }


@dataclass(frozen=True)
class SearchPlan:
    """State of the index by tenant; `unfinished` is the run that a backfill would resume."""

    tenants: list[Row]
    unfinished: Row | None

    def document(self) -> dict[str, Any]:
        return {"tenants": self.tenants, "unfinished": self.unfinished}


def get_search_plan(*, operator: Operator, options: BackfillOptions) -> SearchPlan:
    """Raises `UsageError`, `TenantNotFound`, `RoomNotFound` or `AmbiguousName`."""
    operator.require(Permission.VIEW_PLATFORM)
    scope = build_scope(operator, options)
    with open_index() as index:
        counts = index.count(scope)
    tenants = Tenant.objects.order_by("slug")
    if scope.tenant_id is not None:
        tenants = tenants.filter(pk=scope.tenant_id)
    rows = [
        {"tenant": slug, "tenant_id": key, **counts.get(key, IndexCounts()).document()}
        for key, slug in tenants.values_list("pk", "slug")
    ]
    return SearchPlan(rows, _get_unfinished_run(scope.name))


def _get_unfinished_run(scope: str) -> Row | None:
    run = SearchBackfill.objects.filter(scope=scope, finished_at=None).first()
    if run is None:
        return None
    return {
        "run_id": run.pk,
        "started_at": run.started_at,
        "ranges": run.ranges.count(),
        "ranges_left": pending_ranges(run).count(),
    }
