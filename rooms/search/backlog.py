"""Count the messages that a search can't find yet, without reading every event.

Finished backfills record up to which position they have read each tenant. Only later events are
read, and a limited number of them; edits of earlier ones are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from typing import Any

from django.conf import settings
from django.db.models import OuterRef, Q, QuerySet, Subquery

from rooms.models import Event, RemoteState, SearchBackfill, SearchDocument
from rooms.search.schema import TABLE
from rooms.search.scope import EVENTS, Scope, eligible_sql, measure_range
from scaiwave.console.text import pluralize
from scaiwave.core.sql import fetch_number
from tenants.models import Tenant

MAX_EVENTS = 10_000
"""Events that are read: without an index, all of a large tenant would take seconds."""
EVENTS_PER_TENANT = 50
"""A tenant takes at least this part of them, as each needs queries of its own."""


@dataclass(frozen=True)
class Backlog:
    """The numbers of messages by tenant; some are left out if it `is_minimum`.

    `read_at` has the start of the last backfill of each of these tenants, or None.
    """

    tenants: Mapping[str, int]
    read_at: Sequence[datetime | None]
    is_minimum: bool
    command: str

    def __bool__(self) -> bool:
        return self.is_minimum or bool(self.tenants)

    def __str__(self) -> str:
        if not self.messages:
            return "Some messages may not be in the search index"
        count = pluralize(self.messages, "message is", "messages are")
        least = "At least " if self.is_minimum else ""
        return f"{least}{count} not in the search index"

    @property
    def messages(self) -> int:
        return sum(self.tenants.values())

    def document(self) -> dict[str, Any]:
        command = self.command if self else None
        return {"messages": self.messages, "is_minimum": self.is_minimum, "command": command}


def count_backlog(
    scope: Scope, tenants: QuerySet[Tenant], state: int, max_events: int = MAX_EVENTS
) -> Backlog:
    """Count messages of the tenants, or of the room of the scope, without a document.

    `state` is the least `RemoteState` of a document that counts.
    """
    positions = _get_positions(scope, state)
    place = {"room": scope.room_id} if scope.room_id else {"tenant": OuterRef("pk")}
    last = Event.objects.filter(**place).order_by("-stream_position").values("stream_position")
    rows = tenants.annotate(last=Subquery(last[:1])).order_by("slug")
    found, read_at = dict[str, int](), list[datetime | None]()
    left, is_minimum = max_events, False
    for key, slug, end in rows.values_list("pk", "slug", "last").iterator():
        after, at = positions.get(str(key), (0, None))
        if (end or 0) > after:
            # A room has an index of its own.
            events = Scope(None, scope.room_id) if scope.room_id else Scope(key)
            _, through, read = measure_range(events, after, left)
            if messages := _count_messages(events, after, through, state):
                found[slug] = messages
            if messages or through < end:
                read_at.append(at)
            left = max(left - max(read, EVENTS_PER_TENANT), 0)
            if is_minimum := through < end:
                break
    tenant = f" --tenant {quote(tenants.get().slug)}" if scope.tenant_id else ""
    # Documents of a lost search server are only sent again by a new start.
    restart = " --restart" if state > max(RemoteState) else ""
    inline = "" if settings.REDIS_URL else " --inline"
    command = f"scaiwave room search-index{tenant}{restart}{inline}"
    return Backlog(found, read_at, is_minimum, command)


def has_documents(scope: Scope, tenants: QuerySet[Tenant], state: int) -> bool:
    place = {"event__room": scope.room_id} if scope.room_id else {"tenant__in": tenants}
    return SearchDocument.objects.filter(remote__gte=state, **place).exists()


def _get_positions(scope: Scope, state: int) -> dict[str, tuple[int, datetime]]:
    """Return up to which position each tenant was read, and when the last backfill began.

    One that left out messages, or was for another state, has read nothing.
    """
    runs = SearchBackfill.objects.filter(Q(room=None) | Q(room=scope.room_id), since=None)
    runs = runs.exclude(finished_at=None).order_by("-started_at")
    if scope.tenant_id is not None:
        runs = runs.filter(Q(tenant=None) | Q(tenant=scope.tenant_id))
    positions: dict[str, tuple[int, datetime]] = {}
    for run in runs.iterator(chunk_size=1):  # A result of everything is large.
        is_other = (outcome := run.outcome or {}).get("state", state) < state
        for row in outcome["tenants"]:
            through = 0 if row["missing"] or is_other else row["through"]
            positions.setdefault(row["tenant_id"], (through, run.started_at))
        if run.tenant_id is None:
            break
    return positions


def _count_messages(events: Scope, after: int, through: int, state: int) -> int:
    condition, params = events.events_sql()
    return fetch_number(
        f"""
        SELECT count(*) FROM {EVENTS} WHERE {condition} AND {eligible_sql()}
            AND e.stream_position > %s AND e.stream_position <= %s AND NOT EXISTS (
                SELECT 1 FROM {TABLE} d
                WHERE d.event_id = e.id AND d.tenant_id = e.tenant_id AND d.remote >= %s)
        """,
        [*params, after, through, state],
    )
