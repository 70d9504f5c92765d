"""How keys are shown to people."""

from __future__ import annotations

from scaiwave.console.output import Column, ColumnType

KEYS = (
    Column("key_id", "Key id", whole=True),
    Column("state", "State"),
    Column("created_at", "Made", ColumnType.TIME, spare=True),
    Column("signs_from", "Signs from", ColumnType.TIME, spare=True),
    Column("verifies_until", "Verifies until", ColumnType.TIME, spare=True),
    Column("days_left", "Days left", ColumnType.COUNT),
)
