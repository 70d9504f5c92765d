"""The order of a list verb's rows, by the column that was typed after --sort."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scaiwave.errors import UsageError
from tenants.queries.serializers import Row

_EMPTY_VALUES = (None, "")


def parse_sort(sort: str, sortable: Mapping[str, str], *, example: str) -> tuple[str, bool]:
    """The key of the rows, and whether a minus turns the order round. Raises UsageError.

    `sortable` has the key by what may be typed; `example` is one of those, for the message.
    """
    column = sort.removeprefix("-")
    if column not in sortable:
        raise UsageError(
            f"There is no column {column!r} to sort by.",
            fix=f"Sort by one of {', '.join(sortable)}; with a minus before it, as in "
            f"--sort=-{example}, the order is turned round.",
        )
    return sortable[column], sort.startswith("-")


def sort_rows(rows: list[Row], key: str, *, reverse: bool) -> list[Row]:
    """Capital letters like small ones, what is empty last either way; rows that are equal stay
    in the order in which they come."""
    told = [row for row in rows if row[key] not in _EMPTY_VALUES]
    told.sort(key=lambda row: _fold_case(row[key]), reverse=reverse)
    return told + [row for row in rows if row[key] in _EMPTY_VALUES]


def _fold_case(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value
