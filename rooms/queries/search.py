from __future__ import annotations

from rooms.models import Event
from rooms.queries.resolve import resolve_room
from rooms.search.backend import open_index
from rooms.search.query import SearchQuery, parse_query, snippet
from scaiwave.auth.operators import Operator, Permission
from tenants.queries.resolve import resolve_tenant
from tenants.queries.serializers import Row


def search_rooms(
    *, operator: Operator, text: str, tenant: str, room: str | None = None, limit: int = 20
) -> list[Row]:
    """The messages of one tenant in which every word of the text is.

    Raises `SearchEmpty`, `SearchTooLong`, `TenantNotFound`, `RoomNotFound` or `AmbiguousName`,
    and where a search server is configured what calling it raises.
    """
    operator.require(Permission.VIEW)
    words = parse_query(text)
    within = resolve_tenant(operator, tenant)
    only = resolve_room(operator, room, tenant=within).pk if room is not None else None
    with open_index(somebody_waits=True) as index:
        found = index.search(within.pk, words, room_id=only, limit=limit)
    events = Event.objects.filter(tenant=within).select_related("room", "sender")
    by_id = events.in_bulk(found)  # in several questions if there are very many
    return [_row(by_id[key], words) for key in found if key in by_id]


def _said(event: Event) -> str:
    """Empty where somebody has changed the content and not said so in `edited_at`."""
    content = event.content
    body = content.get("body") if isinstance(content, dict) else None
    return body if isinstance(body, str) else ""


def _row(event: Event, words: SearchQuery) -> Row:
    return {
        "event_id": event.pk,
        "room_id": event.room_id,
        "room": str(event.room),
        "sender_id": event.sender_id,
        "sender": event.sender.display_name,
        "sent_at": event.created_at,
        "stream_position": event.stream_position,
        "snippet": snippet(_said(event), words),
    }
