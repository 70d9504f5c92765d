"""Tenants with a room each, what is said there, and what is found of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from rooms.models import Event, Room
from rooms.queries.search import search_rooms
from rooms.services.search.backfill import BackfillResult, backfill_search
from rooms.services.search.runs import BackfillOptions
from tenants.models import Tenant
from tests.scaiwave import rows
from tests.tenants.people import HOST, make_tenant

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
_positions = count(1)


def lobby(slug: str = "acme", **fields: Any) -> Room:
    """A room in a tenant of its own."""
    of = Tenant.objects.filter(slug=slug).first() or make_tenant(slug)
    workspace = of.workspaces.first() or rows.workspace(of)
    owner = of.participants.first() or rows.participant(of)
    return rows.room(workspace, owner, **fields)


def say(room: Room, body: Any, **fields: Any) -> Event:
    given = {"content": {"msgtype": "swp.text", "body": body}, **fields}
    return rows.event(room, next(_positions), **given)


def edit(event: Event, body: str, after: int = 1) -> None:
    event.content = {**event.content, "body": body}
    event.edited_at = (event.edited_at or NOW) + timedelta(minutes=after)
    event.save()


def redact(event: Event) -> None:
    event.redacted_at = NOW
    event.save()


def backfill(**wish: Any) -> BackfillResult:
    return backfill_search(
        operator=HOST, wish=BackfillOptions(**wish), now=lambda: datetime.now(UTC)
    )


def found(text: str, tenant: str = "acme", **options: Any) -> list[UUID]:
    given = {"operator": HOST, "tenant": tenant, **options}
    return [row["event_id"] for row in search_rooms(text=text, **given)]
