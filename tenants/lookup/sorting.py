"""Sort lists by the column of --sort, and find what comes after a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import F, Model, Q, QuerySet
from django.db.models.expressions import Combinable

from scaiwave.core.errors import UsageError
from scaiwave.core.paging import UNKNOWN_ROW_FIX

M = TypeVar("M", bound=Model)
T = TypeVar("T")

_EMPTY_VALUES = (None, "")


def parse_sort(sort: str, sortable: Mapping[str, T], *, example: str) -> tuple[T, bool]:
    """Return what to sort by, and whether a minus reverses the order. Raises UsageError.

    `sortable` maps values of --sort to columns; `example` is one, for the message.
    """
    column = sort.removeprefix("-")
    if column not in sortable:
        raise UsageError(
            f"Unknown sort column: {column}.",
            fix=f"Sort by one of {', '.join(sortable)}. Put a minus before it to reverse the "
            f"order: --sort=-{example}.",
        )
    return sortable[column], sort.startswith("-")


def sort_ids(values: Mapping[UUID, Any], *, reverse: bool) -> list[UUID]:
    """Return the IDs in the order of their values, so that rows can be read one batch at a time.

    Ignores case, and puts empty values last in both orders. The sort is stable.
    """
    ids = [key for key, value in values.items() if value not in _EMPTY_VALUES]
    folded = {key: text.casefold() for key, text in values.items() if isinstance(text, str)}
    ids.sort(key=lambda key: folded.get(key, values[key]), reverse=reverse)
    return ids + [key for key, value in values.items() if value in _EMPTY_VALUES]


@dataclass(frozen=True)
class SortKey:
    """An expression to sort by. NULL comes last in both directions."""

    expression: Combinable
    is_descending: bool = False

    def order_by(self, name: str) -> Any:
        column = F(name)
        return column.desc(nulls_last=True) if self.is_descending else column.asc(nulls_last=True)

    def after_q(self, name: str, value: Any) -> Q:
        """Match rows that come after those with this value."""
        if value is None:
            return Q(pk__in=[])
        comparison = "lt" if self.is_descending else "gt"
        return Q(**{f"{name}__{comparison}": value}) | Q(**{f"{name}__isnull": True})


def sort_rows(
    rows: QuerySet[M], keys: Sequence[SortKey], *, after: UUID | None = None
) -> QuerySet[M]:
    """Sort by the keys and then by the primary key, in SQL.

    Leaves out everything up to the row with the primary key `after`. Rows that are added between
    two calls do not shift the pages. Raises `UsageError` if that row is not among the rows.
    """
    names = [f"sort_key_{number}" for number in range(len(keys))]
    sorted_by = {name: key.expression for name, key in zip(names, keys, strict=True)}
    annotated = rows.alias(**sorted_by)
    if after is not None:
        values = rows.annotate(**sorted_by).filter(pk=after).values_list(*names).first()
        if values is None:
            raise UsageError(f"Not in this list: {after}.", fix=UNKNOWN_ROW_FIX)
        following, same = Q(), Q()
        for key, name, value in zip(keys, names, values, strict=True):
            following |= same & key.after_q(name, value)
            same &= Q(**{f"{name}__isnull": True} if value is None else {name: value})
        annotated = annotated.filter(following | (same & Q(pk__gt=after)))
    ordered: QuerySet[M] = annotated.order_by(
        *(key.order_by(name) for name, key in zip(names, keys, strict=True)), "pk"
    )
    return ordered
