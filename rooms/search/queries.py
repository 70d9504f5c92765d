"""Search messages, and preview a backfill of the search index."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from django.db.models import F, QuerySet

from rooms.errors import SearchNotIndexed
from rooms.lookup.resolve import resolve_room
from rooms.models import Event, RoomImport, SearchBackfill, SearchRange
from rooms.search.backend import open_index
from rooms.search.backlog import Backlog, count_backlog, has_documents
from rooms.search.base import IndexCounts
from rooms.search.database import SearchIndex
from rooms.search.query import SearchQuery, make_snippet, parse_query
from rooms.search.scope import Scope
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from scaiwave.core.sql import batched
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row
from tenants.lookup.visibility import visible_tenants
from tenants.models import Tenant

BATCH_SIZE = 500


def search_rooms(
    *,
    operator: Operator,
    text: str,
    tenant: str | None = None,
    room: str | None = None,
    limit: int = 20,
) -> tuple[Generator[Row, None, None], Backlog]:
    """Return messages of one tenant that contain every word of the text, the best first.

    Without a tenant, search all tenants in the operator's scope; the last indexed come first.
    Also returns the messages that the search can't find.
    Raises `UsageError`, `SearchEmpty`, `SearchTooLong`, `SearchNotIndexed`, `TenantNotFound`,
    `RoomNotFound` or `AmbiguousName`, and what calling the search server raises if one is
    configured, at once.
    """
    operator.require(Permission.VIEW)
    query = parse_query(text)
    scope = build_scope(operator, BackfillOptions(tenant, room))
    tenants = visible_tenants(operator)
    with open_index(interactive=True) as index:
        if scope.tenant_id is None:
            event_ids = index.search_tenants(tenants, query, limit=limit)
            state: int = SearchIndex.state
        else:
            tenants = Tenant.objects.filter(pk=scope.tenant_id)
            event_ids = index.search(scope.tenant_id, query, room_id=scope.room_id, limit=limit)
            state = index.get_state(scope.tenant_id)
    backlog = count_backlog(scope, tenants, state)
    if not event_ids and backlog.messages and not has_documents(scope, tenants, state):
        may_index = operator.has_permission(Permission.MANAGE_PLATFORM)
        raise SearchNotIndexed(
            f"Nothing was searched. {backlog}.",
            fix=f"{'Run' if may_index else 'Ask the host operator to run'} `{backlog.command}`.",
        )
    if not event_ids and RoomImport.objects.filter(room=scope.room_id).exists():
        backlog = replace(backlog, has_imported=True)
    return _iter_hits(tenants, event_ids, query), backlog


def _iter_hits(
    tenants: QuerySet[Tenant], event_ids: list[UUID], query: SearchQuery
) -> Generator[Row, None, None]:
    for batch in batched(event_ids, BATCH_SIZE):
        events = Event.objects.filter(tenant__in=tenants).select_related("room", "sender", "tenant")
        by_id = events.in_bulk(batch)
        for event_id in filter(by_id.__contains__, batch):
            event = by_id[event_id]
            # The text may have changed without a new `edited_at`, even to no text.
            body = event.content.get("body") if isinstance(event.content, dict) else None
            yield {
                "id": event.pk,
                "room_id": event.room_id,
                "room": str(event.room),
                "sender_id": event.sender_id,
                "sender": event.sender.display_name,
                "sent_at": event.created_at,
                "stream_position": event.stream_position,
                "tenant_id": event.tenant_id,
                "tenant": event.tenant.slug,
                "snippet": make_snippet(body if isinstance(body, str) else "", query),
            }


def get_search_plan(*, operator: Operator, options: BackfillOptions) -> Report:
    """Return the state of the index by tenant, and the run that a backfill would resume.

    Raises `UsageError`, `TenantNotFound`, `RoomNotFound` or `AmbiguousName`.
    """
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
    run = SearchBackfill.objects.filter(scope=scope.name, finished_at=None).first()
    if run is None:
        return Report({"tenants": rows, "unfinished": None})
    unfinished = {
        "run_id": run.pk,
        "started_at": run.started_at,
        "ranges": run.ranges.count(),
        "ranges_left": pending_ranges(run).count(),
    }
    return Report({"tenants": rows, "unfinished": unfinished})


@dataclass(frozen=True)
class BackfillOptions:
    """What an operator asks for.

    `restart` discards the progress of an unfinished run and also writes documents that are up to
    date.
    """

    tenant: str | None = None
    room: str | None = None
    since: datetime | None = None
    restart: bool = False


def build_scope(operator: Operator, options: BackfillOptions) -> Scope:
    """Raises `UsageError`, `TenantNotFound`, `RoomNotFound` or `AmbiguousName`."""
    if options.tenant is None:
        if options.room is not None:
            raise UsageError("--room needs --tenant.", fix="Add --tenant <slug>.")
        return Scope(since=options.since)
    tenant = resolve_tenant(operator, options.tenant)
    if options.room is None:
        return Scope(tenant.pk, None, options.since)
    return Scope(tenant.pk, resolve_room(operator, options.room, tenant=tenant).pk, options.since)


def scope_of_run(run: SearchBackfill) -> Scope:
    return Scope(run.tenant_id, run.room_id, run.since)


def pending_ranges(run: SearchBackfill) -> QuerySet[SearchRange]:
    return run.ranges.filter(done_through__lt=F("last")).order_by("pk")
