"""Which events a statement covers, and which of them may be found, as SQL.

In every statement `e` is an event, `r` its room and `d` its document.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from rooms.models.rooms import INCOGNITO_SCOPE, RoomType
from scaiwave.core.sql import datetime_param, fetch_one, is_distinct, uuid_param

MAX_BODY_CHARS = 16_000
"""Characters of a message that are indexed; a content may hold 64 KiB."""

EVENTS = "sw_events e JOIN sw_rooms r ON r.id = e.room_id AND r.tenant_id = e.tenant_id"

# Never null, so that the negation selects exactly the other events.
FINDABLE = (
    "r.deleted_at IS NULL AND "
    "e.event_type = 'swp.room.message' AND e.redacted_at IS NULL AND NOT e.do_not_index "
    f"AND r.room_type <> '{RoomType.INCOGNITO.value}' "
    f"AND COALESCE(r.scope_kind, '') <> '{INCOGNITO_SCOPE}'"
)


def changed_sql() -> str:
    """Return the condition for events that were edited since their document was written."""
    return is_distinct("d.edited_at", "e.edited_at")


def body_sql() -> str:
    """Return the indexed part of an event's text; null if the content has no text."""
    return f"substr({_text_sql()}, 1, {MAX_BODY_CHARS})"


def eligible_sql() -> str:
    """Return the condition for events that belong in the index; true or false, never null."""
    body_type = (
        "jsonb_typeof(e.content -> 'body')"
        if _is_postgresql()
        else "json_type(e.content, '$.body')"
    )
    string_type = "string" if _is_postgresql() else "text"
    return f"({FINDABLE} AND COALESCE({body_type}, '') = '{string_type}' AND {_text_sql()} <> '')"


@dataclass(frozen=True)
class Scope:
    """Events of one tenant or of all, of one room or of all, that changed since a time or ever."""

    tenant_id: UUID | None = None
    room_id: UUID | None = None
    since: datetime | None = None

    @property
    def name(self) -> str:
        """Return a text that is equal for equal scopes; it is stored with a run."""
        since = self.since.isoformat() if self.since else ""
        return f"tenant={self.tenant_id or ''} room={self.room_id or ''} since={since}"

    @property
    def is_whole(self) -> bool:
        """Whether it covers every event of its tenants."""
        return self.room_id is None and self.since is None

    def events_sql(self) -> tuple[str, list[Any]]:
        """Return a condition on `e` and its parameters."""
        conditions, params = ["1 = 1"], list[Any]()
        if self.tenant_id is not None:
            conditions.append("e.tenant_id = %s")
            params.append(uuid_param(self.tenant_id))
        if self.room_id is not None:
            conditions.append("e.room_id = %s")
            params.append(uuid_param(self.room_id))
        if self.since is not None:
            conditions.append("(e.created_at >= %s OR e.edited_at >= %s OR e.redacted_at >= %s)")
            params += [datetime_param(self.since)] * 3
        return " AND ".join(conditions), params


def measure_range(scope: Scope, after: int, limit: int) -> tuple[int, int, int]:
    """Return first position, last position and number of the next events; the number may be 0."""
    condition, params = scope.events_sql()
    first, last, count = fetch_one(
        f"""
        SELECT COALESCE(min(position), 0), COALESCE(max(position), 0), count(*) FROM (
            SELECT e.stream_position AS position FROM sw_events e
            WHERE {condition} AND e.stream_position > %s ORDER BY e.stream_position LIMIT %s
        ) coming
        """,
        [*params, after, limit],
    )
    return first, last, count


def _text_sql() -> str:
    return "(e.content ->> 'body')" if _is_postgresql() else "json_extract(e.content, '$.body')"


def _is_postgresql() -> bool:
    return connection.vendor == "postgresql"
