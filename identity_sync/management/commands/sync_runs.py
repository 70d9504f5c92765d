from __future__ import annotations

from datetime import datetime

from identity_sync.management.output import format_change_count, format_duration, format_outcome
from identity_sync.models import Outcome, Trigger
from identity_sync.reports.runs import SHORT_ID_CHARS, list_runs
from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, Part, Row, columns_of
from scaiwave.core.times import TIME_FORMATS
from tenants.management.arguments import since


class SyncRunsArguments(Arguments):
    outcome: str | None = option("only this outcome (default all)", choices=Outcome.values)
    trigger: str | None = option("only this trigger (default all)", choices=Trigger.values)
    tenant: str | None = option("only runs that concern this tenant (slug, ID or ScaiKey ID)")
    since: datetime | None = option(
        f"start of the period: {TIME_FORMATS}", metavar="TIME", type=since
    )


class Command(ListCommand[SyncRunsArguments]):
    service = staticmethod(list_runs)
    words = "sync runs"
    summary = "List runs of the sync"
    area, place = "sync", 40
    permission = "VIEW"
    examples = (
        "scaiwave sync runs",
        "scaiwave sync runs --tenant acme --since 7d",
        "scaiwave sync runs --outcome refused --json",
    )
    plural = "runs"
    columns = (
        Column("short_id", "ID", part=Part.KEY),
        Column("started_at", "Started"),  # Without a type it may take two lines.
        Column("outcome", "Outcome", part=Part.STATUS),
        *columns_of("changes", "tenant"),
        *columns_of("trigger", "duration", part=Part.EXTRA),
        Column("error_code", "Error", part=Part.ERROR),
    )
    keys = (
        *("run_id", "started_at", "ended_at", "age_seconds", "trigger", "tenant", "operator"),
        *("outcome", "change_count", "planned_count", "kinds", "requests", "duration_seconds"),
        *("error", "id", "tenant_id", "dry_run"),
    )
    default_limit = 20
    help = (
        "List runs of the sync, newest first. `scaiwave sync show-run <id>` shows one; an ID may "
        "be shortened."
    )

    def format_row(self, row: Row) -> Row:
        return {
            **row,
            "short_id": str(row["run_id"])[:SHORT_ID_CHARS],
            "outcome": format_outcome(row),
            "changes": format_change_count(row),
            "duration": format_duration(row["duration_seconds"]),
            "error_code": row["error"] and row["error"]["code"],
        }
