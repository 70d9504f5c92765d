"""What `room search-index` prints, except JSON."""

from __future__ import annotations

from rooms.search.backfill import BackfillResult, EnqueueResult
from rooms.search.queries import SearchPlan
from scaiwave.console.columns import Column, ColumnType
from scaiwave.console.output import Output
from scaiwave.console.text import pluralize
from tenants.lookup.serializers import Row

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


def print_plan(plan: SearchPlan, output: Output) -> None:
    if output.as_json:
        return
    output.print_table("tenants", PLAN_COLUMNS, plan.tenants)
    if plan.unfinished:
        output.log(format_unfinished_run(plan.unfinished))
    output.log("No changes were made. `scaiwave room search-index` fills the index.")


def print_backfill(result: BackfillResult, output: Output) -> None:
    if output.as_json:
        return
    output.print_table("tenants", RESULT_COLUMNS, result.tenants)
    output.log("Unfinished run resumed and completed." if result.resumed else "Done.")


def print_queued(queued: EnqueueResult, output: Output) -> None:
    if output.as_json:
        return
    ranges, jobs = pluralize(queued.ranges, "range"), pluralize(queued.jobs, "job")
    output.print_line(f"{ranges} to process; {jobs} in the queue.")
    output.log("`scaiwave room search-index --dry-run` shows the progress.")
