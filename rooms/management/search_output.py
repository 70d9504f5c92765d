"""The search index, for people to read."""

from __future__ import annotations

from scaiwave.console.output import Column, Kind
from tenants.queries.serializers import Row

PLAN = (
    Column("tenant", "Tenant"),
    Column("eligible", "Messages", Kind.COUNT),
    Column("indexed", "Indexed", Kind.COUNT),
    Column("missing", "Missing", Kind.COUNT),
    Column("stale", "Stale", Kind.COUNT),
)
DONE = (
    *PLAN,
    Column("written", "Written", Kind.COUNT),
    Column("removed", "Removed", Kind.COUNT),
)


def unfinished(run: Row) -> str:
    return (
        f"A run of {run['started_at']:%Y-%m-%d %H:%M} UTC is not finished: {run['ranges_left']:,} "
        f"of {run['ranges']:,} ranges are left."
    )
