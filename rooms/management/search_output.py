"""Tables and sentences about the search index."""

from __future__ import annotations

from scaiwave.console.columns import Column, ColumnType
from tenants.queries.serializers import Row

PLAN_COLUMNS = (
    Column("tenant", "Tenant"),
    Column("eligible", "Messages", ColumnType.COUNT),
    Column("indexed", "Indexed", ColumnType.COUNT),
    Column("missing", "Missing", ColumnType.COUNT),
    Column("stale", "Stale", ColumnType.COUNT),
)
RESULT_COLUMNS = (
    *PLAN_COLUMNS,
    Column("written", "Written", ColumnType.COUNT),
    Column("removed", "Removed", ColumnType.COUNT),
)


def format_unfinished_run(run: Row) -> str:
    return (
        f"Unfinished run of {run['started_at']:%Y-%m-%d %H:%M} UTC: {run['ranges_left']:,} of "
        f"{run['ranges']:,} ranges left."
    )
