"""How keys are shown to people."""

from __future__ import annotations

from scaiwave.output import Column, Kind

KEYS = (
    Column("key_id", "Key id"),
    Column("state", "State"),
    Column("created_at", "Made", Kind.TIME),
    Column("signs_from", "Signs from", Kind.TIME),
    Column("verifies_until", "Verifies until", Kind.TIME),
    Column("days_left", "Days left", Kind.COUNT),
)
