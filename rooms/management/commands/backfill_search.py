from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from django.utils import timezone

from rooms.search.backfill import backfill_search, enqueue_backfill
from rooms.search.queries import BackfillOptions, get_search_plan
from scaiwave.cli.arguments import ONLY_ROOM, ONLY_TENANT, Arguments, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part, columns_of
from scaiwave.core.report import Report
from scaiwave.core.times import TIME_FORMATS
from tenants.management.arguments import since

PLAN_COLUMNS = (
    Column("tenant", "Tenant", part=Part.KEY),
    Column("eligible", "Messages", ColumnType.COUNT),
    Column("indexed", "Indexed", ColumnType.COUNT),
    *columns_of("missing", "stale", kind=ColumnType.COUNT, part=Part.STATUS),
)
RESULT_COLUMNS = (
    *PLAN_COLUMNS,
    *columns_of("written", "removed", kind=ColumnType.COUNT),
)


class BackfillSearchArguments(Arguments):
    inline: bool = option("index in this process, without the queue")
    tenant: str | None = option(ONLY_TENANT)
    room: str | None = option(ONLY_ROOM)
    since: datetime | None = option(
        f"only messages sent or changed since then: {TIME_FORMATS}", metavar="TIME", type=since
    )
    restart: bool = option("index from the beginning, and ignore an unfinished run")


class Command(OperatorCommand[BackfillSearchArguments]):
    words = "room search-index"
    summary = "Fill the index of room search"
    area, place = "rooms", 60
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave room search-index --dry-run",
        "scaiwave room search-index --inline",
        "scaiwave room search-index --tenant acme --since 7d --inline",
    )
    help = (
        "Fill the index of `scaiwave room search`, and correct it after messages changed.\n\n"
        "Workers of the job queue do it, or with --inline this process. You can stop it at any "
        "time; the same command resumes it. With --dry-run it prints what there is to do."
    )
    changes = True

    def run(self, given: BackfillSearchArguments) -> None:
        wanted = BackfillOptions(given.tenant, given.room, given.since, given.restart)
        if self.dry_run:
            self._print_plan(get_search_plan(operator=self.operator, options=wanted))
        elif given.inline:
            with self.output.progress("Events read") as progress:
                report = backfill_search(
                    operator=self.operator,
                    options=wanted,
                    clock=lambda: datetime.now(UTC),
                    progress=progress,
                )
            self._print_tenants(report, RESULT_COLUMNS)
            is_resumed = report.figures["resumed"]
            self.output.log("Unfinished run resumed and completed." if is_resumed else "Done.")
            if report.error is not None:
                raise report.error
        else:
            self.print_report(
                enqueue_backfill(operator=self.operator, options=wanted, now=timezone.now())
            )
            self.output.log("`scaiwave room search-index --dry-run` shows the progress.")

    def _print_plan(self, plan: Report) -> None:
        self._print_tenants(plan, PLAN_COLUMNS)
        if run := plan.figures["unfinished"]:
            self.output.log(
                f"Unfinished run of {run['started_at']:%Y-%m-%d %H:%M} UTC: "
                f"{run['ranges_left']:,} of {run['ranges']:,} ranges left."
            )
        self.output.log("This was a dry run; no changes were made.")

    def _print_tenants(self, report: Report, columns: Sequence[Column]) -> None:
        self.print_result(report.document())
        if not self.output.as_json:
            self.output.print_table("tenants", columns, report.figures["tenants"])
