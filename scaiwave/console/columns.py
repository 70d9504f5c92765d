"""Columns of tables, and the types of their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Row = Mapping[str, Any]
EMPTY_CELL = "-"


class ColumnType(Enum):
    """The type of a column's values, which decides how they are formatted."""

    TEXT = "text"
    COUNT = "count"
    BYTES = "bytes"
    TIME = "time"
    FLAG = "flag"


class Part(Enum):
    """What a column is to its row. A narrow terminal leaves out extras, then details, from the
    last one on."""

    KEY = "key"
    NAME = "name"
    STATUS = "status"
    ERROR = "error"
    DETAIL = "detail"
    EXTRA = "extra"


@dataclass(frozen=True)
class Column:
    """A column of a table. `sort` is the value of --sort for it. `styles` are rich's, by cell."""

    key: str
    title: str
    kind: ColumnType = ColumnType.TEXT
    part: Part = Part.DETAIL
    sort: str = ""
    styles: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_number(self) -> bool:
        return self.kind in (ColumnType.COUNT, ColumnType.BYTES)

    @property
    def is_whole(self) -> bool:
        """Whether cells stay in one line: a number that continues in the next looks like two."""
        return self.is_number or self.kind is ColumnType.TIME or self.part is Part.KEY


TENANT = Column("tenant", "Tenant", part=Part.KEY)

_CAPITALS = {"id": "ID", "fqid": "FQID", "email": "E-mail", "scaikey": "ScaiKey"}


def columns_of(
    *keys: str, kind: ColumnType = ColumnType.TEXT, part: Part = Part.DETAIL
) -> tuple[Column, ...]:
    """Return columns whose titles are their keys in words, without the unit: `size_bytes` is
    "Size", `last_seen_at` is "Last seen"."""
    return tuple(Column(key, _get_title(key), kind, part) for key in keys)


def _get_title(key: str) -> str:
    words = key.removesuffix("_at").removesuffix("_bytes").split("_")
    title = " ".join(_CAPITALS.get(word, word) for word in words)
    return title[0].upper() + title[1:]
