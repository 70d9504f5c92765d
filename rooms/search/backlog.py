"""Count the messages that a search can't find yet, without reading every event.

Finished backfills record up to which position they have read each tenant. Only later events are
read, and a limited number of them; edits of earlier ones are not counted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.db.models import OuterRef, Q, QuerySet, Subquery

from rooms.models import Event, RemoteState, SearchBackfill, SearchDocument
from rooms.search.schema import TABLE
from rooms.search.scope import EVENTS, Scope, eligible_sql, measure_range
from scaiwave.console.text import pluralize
from scaiwave.core.sql import fetch, to_uuid, uuid_param
from tenants.models import Tenant

MAX_EVENTS = 10_000
"""Events that are read: without an index, all of a large tenant would take seconds."""


@dataclass(frozen=True)
class Backlog:
    """The numbers of messages by tenant; some are left out if it `is_minimum`.

    `read_at` has the start of the last backfill of each of these tenants, or of all; or None.
    `has_imported` is true if nothing was found in an imported room: no backfill indexes its import.
    """

    tenants: Mapping[str, int]
    read_at: Sequence[datetime | None]
    is_minimum: bool
    command: str
    has_imported: bool = False

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
    positions, full_at = _get_positions(scope, state)
    within = {"room": scope.room_id} if scope.room_id else {"tenant": OuterRef("pk")}
    events = Event.objects.filter(**within).order_by("stream_position").values("stream_position")
    ends = {"first": Subquery(events[:1]), "last": Subquery(events.reverse()[:1])}
    rows = tenants.annotate(**ends).order_by("slug")
    ranges, places = list[dict[str, Any]](), dict[UUID, tuple[str, datetime | None]]()
    late, left, is_minimum = list[datetime | None](), max_events, False
    for key, slug, first, last in rows.values_list("pk", "slug", *ends).iterator():
        after, read_at = positions.get(str(key), (0, full_at))
        if last is None or last <= after:
            continue
        through, span = last, last - max(after, first - 1)
        if span > left:
            # Fewer events if deletions left gaps. Measured once: then nothing is left for others.
            # A room has an index of its own.
            measured = Scope(None, scope.room_id) if scope.room_id else Scope(key)
            through = measure_range(measured, after, left)[1]
        left = max(left - span, 0)
        ranges.append({"tenant_id": uuid_param(key), "after": after, "through": through})
        places[key] = slug, read_at
        if is_minimum := through < last:
            late.append(read_at)
            break
    counts = _count_messages(ranges, scope, state) if ranges else {}
    found = {slug: counts[key] for key, (slug, _) in places.items() if counts[key]}
    late += [at for slug, at in places.values() if slug in found]
    tenant = f" --tenant {quote(tenants.get().slug)}" if scope.tenant_id else ""
    # Documents of a lost search server are only sent again by a new start.
    restart = " --restart" if state > max(RemoteState) else ""
    inline = "" if settings.REDIS_URL else " --inline"
    command = f"scaiwave room search-index{tenant}{restart}{inline}"
    return Backlog(found, late, is_minimum, command)


def has_documents(scope: Scope, tenants: QuerySet[Tenant], state: int) -> bool:
    place = {"event__room": scope.room_id} if scope.room_id else {"tenant__in": tenants}
    return SearchDocument.objects.filter(remote__gte=state, **place).exists()


def _get_positions(
    scope: Scope, state: int
) -> tuple[dict[str, tuple[int, datetime]], datetime | None]:
    """Return up to which position each tenant was read and when, and when all of them were.

    A backfill that left out messages, or was for another state, has read nothing.
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
            return positions, run.started_at
    return positions, None


def _count_messages(ranges: list[dict[str, Any]], scope: Scope, state: int) -> dict[UUID, int]:
    """Count by tenant in one statement, which takes any number of ranges as one parameter."""
    if connection.vendor == "postgresql":
        table = "json_to_recordset(%s::json) AS u (tenant_id uuid, after bigint, through bigint)"
    else:
        columns = ", ".join(f"json_extract(value, '$.{name}') AS {name}" for name in ranges[0])
        table = f"(SELECT {columns} FROM json_each(%s)) AS u"
    condition, params = Scope(None, scope.room_id).events_sql()
    rows = fetch(
        f"""
        SELECT u.tenant_id, (
            SELECT count(*) FROM {EVENTS}
            WHERE e.tenant_id = u.tenant_id AND {condition} AND {eligible_sql()}
                AND e.stream_position > u.after AND e.stream_position <= u.through AND NOT EXISTS (
                    SELECT 1 FROM {TABLE} d
                    WHERE d.event_id = e.id AND d.tenant_id = e.tenant_id AND d.remote >= %s))
        FROM {table}
        """,
        [*params, state, json.dumps(ranges)],
    )
    return {to_uuid(tenant_id): count for tenant_id, count in rows}
