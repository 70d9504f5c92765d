"""How keys are shown to people."""

from __future__ import annotations

from scaiwave.console.output import Column, Kind

KEYS = (
    Column("key_id", "Key id", whole=True),
    Column("state", "State"),
    Column("created_at", "Made", Kind.TIME, spare=True),
    Column("signs_from", "Signs from", Kind.TIME, spare=True),
    Column("verifies_until", "Verifies until", Kind.TIME, spare=True),
    Column("days_left", "Days left", Kind.COUNT),
)
