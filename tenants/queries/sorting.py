"""Sort lists by the column of --sort."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from scaiwave.errors import UsageError

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


def sort_ids(values: Mapping[UUID, Any], *, reverse: bool) -> list[UUID]:
    """Return the IDs in the order of their values, so that rows can be read one batch at a time.

    Ignores case, and puts empty values last in both orders. The sort is stable.
    """
    ids = [key for key, value in values.items() if value not in _EMPTY_VALUES]
    ids.sort(key=lambda key: _fold_case(values[key]), reverse=reverse)
    return ids + [key for key, value in values.items() if value in _EMPTY_VALUES]


def _fold_case(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
