"""Create tenants with rooms and messages, index them, and search them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from rooms.models import Event, Room
from rooms.search.backfill import backfill_search
from rooms.search.queries import BackfillOptions, search_rooms
from scaiwave.core.report import Report
from tenants.models import Tenant
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, make_tenant

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
_positions = count(1)


def make_lobby(slug: str = "acme", **fields: Any) -> Room:
    """Create a room in the tenant of this slug, which is created if it does not exist."""
    tenant = Tenant.objects.filter(slug=slug).first() or make_tenant(slug)
    workspace = tenant.workspaces.first() or row_factories.make_workspace(tenant)
    owner = tenant.participants.first() or row_factories.make_participant(tenant)
    return row_factories.make_room(workspace, owner, **fields)


def make_message(room: Room, body: Any, **fields: Any) -> Event:
    values = {"content": {"msgtype": "swp.text", "body": body}, **fields}
    return row_factories.make_event(room, next(_positions), **values)


def edit_message(event: Event, body: str, after: int = 1) -> None:
    event.content = {**event.content, "body": body}
    event.edited_at = (event.edited_at or NOW) + timedelta(minutes=after)
    event.save()


def redact_message(event: Event) -> None:
    event.redacted_at = NOW
    event.save()


def backfill(**options: Any) -> Report:
    return backfill_search(
        operator=HOST_OPERATOR, options=BackfillOptions(**options), clock=lambda: datetime.now(UTC)
    )


def list_mismatched(report: Report) -> list[str]:
    rows = report.figures["tenants"]
    return [row["tenant"] for row in rows if row["missing"] or row["stale"]]


def find_event_ids(text: str, tenant: str | None = "acme", **options: Any) -> list[UUID]:
    arguments = {"operator": HOST_OPERATOR, "tenant": tenant, **options}
    return [row["id"] for row in search_rooms(text=text, **arguments)[0]]
