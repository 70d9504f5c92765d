"""Find the record whose name is nearest to one that was not found.

Only records that the operator may see are named. Names are compared with their neighbours in the
order of an index, so a million names cost no more than a hundred.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from shlex import quote
from typing import Any
from uuid import UUID

from django.db.models import QuerySet, Value
from django.db.models.functions import Lower

from scaiwave.core.operators import Operator, Permission
from tenants.models import Participant

MAX_NEIGHBOURS = 200
"""Names that are compared, on either side of the one that was typed."""

_MAX_CHARS = 100
_MIN_RATIO = 0.6


def find_nearest(
    operator: Operator, name: str, records: QuerySet[Any], field: str, *more: str
) -> str | None:
    """Return the nearest value of the field, or one of `more`.

    `records` are those within the operator's scope, of one tenant if the index begins with it. The
    result is None for callers of the HTTP API, who may not list names.
    """
    if not _is_comparable(operator, name):
        return None
    return _get_nearest(name, [*_list_neighbours(records, field, name, field), *more])


def find_nearest_participant(
    operator: Operator, name: str, visible: QuerySet[Participant]
) -> str | None:
    """Return the nearest e-mail address, `@local_id` or local id, in the form that was typed.

    The indexes of local ids and of addresses span all tenants. The neighbours in them are read
    first, and neighbours outside of `visible` are dropped.
    """
    if not _is_comparable(operator, name):
        return None
    records = Participant.objects.filter(server_name="").alias(folded=Lower("email"))
    if name.startswith("@"):
        sign, typed = "@", name[1:].partition(":")[0]
    else:
        sign, typed = "", name
    if "@" in typed:
        neighbours = _list_neighbours(records, "folded", Lower(Value(typed)), "pk", "email")
    else:
        neighbours = _list_neighbours(records, "local_id", typed, "pk", "local_id")
    names: dict[UUID, str] = dict(neighbours)
    shown = visible.filter(pk__in=names).values_list("pk", flat=True)
    nearest = _get_nearest(typed, [names[key] for key in shown])
    return f"{sign}{nearest}" if nearest else None


def suggest_nearest(nearest: str | None, more: str, otherwise: str) -> str:
    """Return the fix of an error: the nearest name and `more`, or `otherwise` without one."""
    return f"Did you mean `{quote(nearest)}`? {more}" if nearest else otherwise


def _is_comparable(operator: Operator, name: str) -> bool:
    is_text = name.isprintable() and 0 < len(name) <= _MAX_CHARS
    return is_text and operator.has_permission(Permission.VIEW)


def _list_neighbours(records: QuerySet[Any], field: str, typed: Any, *columns: str) -> list[Any]:
    """Return the columns of the records before and after the typed value, in two index scans."""
    if len(columns) == 1:
        values = records.values_list(*columns, flat=True)
    else:
        values = records.values_list(*columns)
    after = values.filter(**{f"{field}__gte": typed}).order_by(field)[:MAX_NEIGHBOURS]
    before = values.filter(**{f"{field}__lt": typed}).order_by(f"-{field}")[:MAX_NEIGHBOURS]
    return [*after, *before]


def _get_nearest(name: str, candidates: Iterable[str]) -> str | None:
    folded = {candidate.lower(): candidate for candidate in candidates}
    matches = get_close_matches(name.lower(), folded, n=1, cutoff=_MIN_RATIO)
    return folded[matches[0]] if matches else None
