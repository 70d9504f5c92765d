from __future__ import annotations

from django.utils import timezone

from identity_sync.management.output import format_age, format_span
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, Part, Row
from scaiwave.operations.jobs.overview import load_schedule


class Command(ListCommand):
    service = staticmethod(load_schedule)
    words = "jobs schedule"
    summary = "List scheduled jobs with their next and last runs"
    area, place = "server", 165
    permission = "VIEW_PLATFORM"
    plural = "jobs"
    columns = (
        Column("name", "Job", part=Part.KEY),
        Column("schedule", "Runs"),
        Column("started_by", "Started by"),
        Column("next", "Next run", part=Part.STATUS),
        Column("last", "Last run", part=Part.STATUS),
        Column("outcome", "Outcome", part=Part.STATUS),
        Column("error", "Note", part=Part.ERROR),
        Column("command", "Command"),
    )
    keys = (
        *("name", "schedule", "cron", "next_at", "last_at", "outcome", "error_code", "problem"),
        *("started_by", "command"),
    )
    parse_id = str
    help = (
        "List the jobs that the scheduler starts, when each runs next, and how it ended the last "
        "time. Without Redis nothing is known about their runs, and cron must start their "
        "commands: see `scaiwave admin show-deploy-file crontab`."
    )

    def format_row(self, row: Row) -> Row:
        now, next_at, last_at = timezone.now(), row["next_at"], row["last_at"]
        return {
            **row,
            "next": next_at and f"in {format_span(int((next_at - now).total_seconds()))}",
            "last": last_at and format_age(int((now - last_at).total_seconds())),
            "error": row["error_code"] or row["problem"],
        }

    def get_id(self, row: Row) -> object:
        return row["name"]
