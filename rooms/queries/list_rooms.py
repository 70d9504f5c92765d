from __future__ import annotations

import re
from typing import Any

from django.db.models import Q

from rooms.queries.resolve import resolve_workspace
from rooms.queries.rooms import visible_rooms
from rooms.queries.rows import room_row, with_figures
from scaiwave.errors import UsageError
from scaiwave.operators import Operator, Permission
from tenants.queries.resolve import can_be_stored, resolve_tenant
from tenants.queries.rows import Row

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
    key, backwards = _order(sort)
    within = resolve_tenant(operator, tenant)
    rooms = visible_rooms(operator).filter(_having(kind, state, search), tenant=within)
    if workspace is not None:
        rooms = rooms.filter(workspace=resolve_workspace(operator, workspace, tenant=within))
    rows = [room_row(room) for room in with_figures(rooms)]
    return _sorted(rows, key, reverse=backwards != reverse)[:limit]


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
    if not can_be_stored(search):
        return Q(pk__in=[])
    pattern = re.escape(search)
    return Q(name__iregex=pattern) | Q(room_alias__iregex=pattern)


def _order(sort: str) -> tuple[str, bool]:
    column = sort.removeprefix("-")
    if column not in SORTABLE:
        raise UsageError(
            f"There is no column {column!r} to sort by.",
            fix=f"Sort by one of {', '.join(SORTABLE)}; with a minus before it, as in "
            "--sort=-events, the order is turned round.",
        )
    return SORTABLE[column], sort.startswith("-")


def _sorted(rows: list[Row], key: str, *, reverse: bool) -> list[Row]:
    rows.sort(key=lambda row: (not row["name"], str(row["name"]).casefold(), str(row["id"])))
    told = [row for row in rows if row[key] not in {None, ""}]
    told.sort(key=lambda row: _foldable(row[key]), reverse=reverse)
    return told + [row for row in rows if row[key] in {None, ""}]


def _foldable(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
