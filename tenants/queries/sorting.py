"""Sort the rows of list commands by the column of --sort."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaiwave.errors import UsageError
from tenants.queries.serializers import Row

_EMPTY_VALUES = (None, "")


def parse_sort(sort: str, sortable: Mapping[str, str], *, example: str) -> tuple[str, bool]:
    """Return the row key to sort by, and whether a minus reverses the order. Raises UsageError.

    `sortable` maps values of --sort to row keys; `example` is one of them, for the message.
    """
    column = sort.removeprefix("-")
    if column not in sortable:
        raise UsageError(
            f"Unknown sort column: {column}.",
            fix=f"Sort by one of {', '.join(sortable)}. Put a minus before it to reverse the "
            f"order: --sort=-{example}.",
        )
    return sortable[column], sort.startswith("-")


def sort_rows(rows: list[Row], key: str, *, reverse: bool) -> list[Row]:
    """Sort without regard to case, with empty values last in both orders. The sort is stable."""
    sortable = [row for row in rows if row[key] not in _EMPTY_VALUES]
    sortable.sort(key=lambda row: _fold_case(row[key]), reverse=reverse)
    return sortable + [row for row in rows if row[key] in _EMPTY_VALUES]


def _fold_case(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
