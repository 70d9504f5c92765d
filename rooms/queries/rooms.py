from __future__ import annotations

import re

from django.db.models import Q

from rooms.queries.resolve import resolve_workspace
from rooms.queries.rows import annotate_stats, room_row
from rooms.queries.visibility import visible_rooms
from scaiwave.auth.operators import Operator, Permission
from tenants.queries.resolve import is_storable_text, resolve_tenant
from tenants.queries.serializers import Row
from tenants.queries.sorting import parse_sort, sort_rows

# What may be typed after --sort, and the key it means.
SORTABLE = {
    "name": "name",
    "alias": "alias",
    "type": "type",
    "state": "state",
    "workspace": "workspace",
    "members": "members",
    "events": "events",
    "media": "media_bytes",
    "last-event": "last_event_at",
    "created": "created_at",
}


def list_rooms(
    *,
    operator: Operator,
    tenant: str,
    kind: str | None = None,
    state: str | None = None,
    workspace: str | None = None,
    search: str | None = None,
    sort: str = "name",
    reverse: bool = False,
    limit: int | None = None,
) -> list[Row]:
    """The rooms of one tenant with their figures, in as many queries for 3 as for 3,000.

    `search` is a part of a name or an alias, in small or capital letters. A minus before the
    column to sort by turns the order round, as `reverse` does; what is empty comes last either
    way. Raises `TenantNotFound`, `WorkspaceNotFound`, `AmbiguousName` or `UsageError`.
    """
    operator.require(Permission.VIEW)
    key, backwards = parse_sort(sort, SORTABLE, example="events")
    within = resolve_tenant(operator, tenant)
    rooms = visible_rooms(operator).filter(_having(kind, state, search), tenant=within)
    if workspace is not None:
        rooms = rooms.filter(workspace=resolve_workspace(operator, workspace, tenant=within))
    rows = sorted((room_row(room) for room in annotate_stats(rooms)), key=_by_name)
    return sort_rows(rows, key, reverse=backwards != reverse)[:limit]


def _having(kind: str | None, state: str | None, search: str | None) -> Q:
    query = Q()
    if kind is not None:
        query &= Q(room_type=kind)
    if state is not None:
        query &= Q(state=state)
    if search:
        query &= _containing(search)
    return query


def _containing(search: str) -> Q:
    """A regular expression, since LIKE of SQLite folds the case of ASCII letters alone."""
    if not is_storable_text(search):
        return Q(pk__in=[])
    pattern = re.escape(search)
    return Q(name__iregex=pattern) | Q(room_alias__iregex=pattern)


def _by_name(row: Row) -> tuple[bool, str, str]:
    return not row["name"], str(row["name"]).casefold(), str(row["id"])
