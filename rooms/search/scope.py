"""Which events are meant, and which of them may be found, as SQL.

`e`, `r` and `d` stand for an event, its room and its document in every statement here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from rooms.models.rooms import INCOGNITO_SCOPE, RoomType

LONGEST_TEXT = 16_000
"""Characters of a message that are indexed. What a content may hold is 64 KB."""

EVENTS = "sw_events e JOIN sw_rooms r ON r.id = e.room_id AND r.tenant_id = e.tenant_id"

# Never null, so that their opposite holds for all others.
FINDABLE = (
    "e.event_type = 'swp.room.message' AND e.redacted_at IS NULL AND NOT e.do_not_index "
    f"AND r.room_type <> '{RoomType.INCOGNITO.value}' "
    f"AND COALESCE(r.scope_kind, '') <> '{INCOGNITO_SCOPE}'"
)
CHANGED = "(d.edited_at IS DISTINCT FROM e.edited_at)"


def body_sql() -> str:
    """The text of an event, as much of it as is indexed; null where its content has none."""
    return f"substr({_text()}, 1, {LONGEST_TEXT})"


def eligible_sql() -> str:
    """What belongs into the index: true or false, never null."""
    kind = (
        "jsonb_typeof(e.content -> 'body')" if _postgresql() else "json_type(e.content, '$.body')"
    )
    text = "string" if _postgresql() else "text"
    return f"({FINDABLE} AND COALESCE({kind}, '') = '{text}' AND {_text()} <> '')"


@dataclass(frozen=True)
class Scope:
    """The events a statement is about: of one tenant, or of all; `since` they were changed."""

    tenant_id: UUID | None = None
    room_id: UUID | None = None
    since: datetime | None = None

    @property
    def name(self) -> str:
        """The same text for the same scope."""
        since = self.since.isoformat() if self.since else ""
        return f"tenant={self.tenant_id or ''} room={self.room_id or ''} since={since}"

    @property
    def whole(self) -> bool:
        """Whether it is every event of its tenants."""
        return self.room_id is None and self.since is None

    def events(self) -> tuple[str, list[Any]]:
        """A condition on `e`, and its parameters."""
        terms, values = ["1 = 1"], list[Any]()
        if self.tenant_id is not None:
            terms.append("e.tenant_id = %s")
            values.append(uuid_param(self.tenant_id))
        if self.room_id is not None:
            terms.append("e.room_id = %s")
            values.append(uuid_param(self.room_id))
        if self.since is not None:
            terms.append("(e.created_at >= %s OR e.edited_at >= %s OR e.redacted_at >= %s)")
            values += [connection.ops.adapt_datetimefield_value(self.since)] * 3
        return " AND ".join(terms), values


def uuid_param(value: UUID) -> Any:
    """An id as this database keeps it."""
    return value if connection.features.has_native_uuid_field else value.hex


def parse_uuid(value: Any) -> UUID:
    return value if isinstance(value, UUID) else UUID(value)


def _text() -> str:
    return "(e.content ->> 'body')" if _postgresql() else "json_extract(e.content, '$.body')"


def _postgresql() -> bool:
    return connection.vendor == "postgresql"
