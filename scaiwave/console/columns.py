"""Columns of tables, and the types of their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Row = Mapping[str, Any]


class ColumnType(Enum):
    """The type of a column's values, which decides how they are formatted."""

    TEXT = "text"
    COUNT = "count"
    BYTES = "bytes"
    TIME = "time"
    FLAG = "flag"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    `no_wrap` cells stay in one line, so that they can be copied. `optional` columns are left out,
    the last one first, at a terminal that is too narrow for all. `styles` are rich's, by cell.
    """

    key: str
    title: str
    kind: ColumnType = ColumnType.TEXT
    no_wrap: bool = False
    optional: bool = False
    styles: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_number(self) -> bool:
        return self.kind in (ColumnType.COUNT, ColumnType.BYTES)
