"""How the policy is shown to people."""

from __future__ import annotations

from scaiwave.console.output import Column, ColumnType

POLICY = (
    Column("default_mode", "Mode"),
    Column("allowed_peers", "Allowed peers"),
    Column("max_foreign_participants_per_room", "Foreign participants per room", ColumnType.COUNT),
    Column("updated_at", "Set", ColumnType.TIME),
)
