"""The search index, for people to read."""

from __future__ import annotations

from scaiwave.console.output import Column, ColumnType
from tenants.queries.serializers import Row

PLAN = (
    Column("tenant", "Tenant"),
    Column("eligible", "Messages", ColumnType.COUNT),
    Column("indexed", "Indexed", ColumnType.COUNT),
    Column("missing", "Missing", ColumnType.COUNT),
    Column("stale", "Stale", ColumnType.COUNT),
)
DONE = (
    *PLAN,
    Column("written", "Written", ColumnType.COUNT),
    Column("removed", "Removed", ColumnType.COUNT),
)


def format_unfinished_run(run: Row) -> str:
    return (
        f"A run of {run['started_at']:%Y-%m-%d %H:%M} UTC is not finished: {run['ranges_left']:,} "
        f"of {run['ranges']:,} ranges are left."
    )
