from __future__ import annotations

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row
from scaiwave.operations.jobs.queries import list_jobs
from scaiwave.queue.definitions import STATES


class ListJobsArguments(Arguments):
    state: str | None = option("only jobs in this state", choices=STATES)


class Command(ListCommand[ListJobsArguments]):
    service = staticmethod(list_jobs)
    words = "jobs list"
    summary = "List the jobs in Redis"
    area, place = "server", 160
    permission = "VIEW_PLATFORM"
    examples = ("scaiwave jobs list", "scaiwave jobs list --state failed --json")
    plural = "jobs"
    columns = (
        Column("id", "ID", part=Part.KEY),
        Column("name", "Job", part=Part.NAME),
        Column("state", "State", part=Part.STATUS),
        Column("enqueued_at", "Enqueued", ColumnType.TIME),
        Column("started_at", "Started", ColumnType.TIME, part=Part.EXTRA),
        Column("error", "Error", part=Part.ERROR),
    )
    default_limit = 50
    parse_id = str
    keys = (
        *("id", "name", "queue", "state", "enqueued_at", "started_at", "ended_at", "worker"),
        *("attempts", "error", "problem"),
    )
    help = (
        "List the jobs in Redis: running, waiting for a worker, and failed in the last seven "
        "days. Completed jobs are not kept."
    )

    def format_row(self, row: Row) -> Row:
        error = row["error"]["code"] if row["error"] else row["problem"]
        return {**row, "error": error}
