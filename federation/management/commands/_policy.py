"""How the policy is shown to people."""

from __future__ import annotations

from scaiwave.console.output import Column, Kind

POLICY = (
    Column("default_mode", "Mode"),
    Column("allowed_peers", "Allowed peers"),
    Column("max_foreign_participants_per_room", "Foreign participants per room", Kind.COUNT),
    Column("updated_at", "Set", Kind.TIME),
)
