from __future__ import annotations

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.cli.parsers import positive_int
from scaiwave.console.columns import Column, ColumnType, Part
from scaiwave.operations.prune import prune
from tenants.audit.queries.format import MIN_AUDIT_DAYS

COLUMNS = (
    Column("title", "Records", part=Part.NAME),
    Column("cutoff_at", "Older than", ColumnType.TIME),
    Column("count", "Number", ColumnType.COUNT),
)


class PruneArguments(Arguments):
    audit_older_than: int | None = option(
        "also audit entries of days that ended this many days ago "
        f"(at least {MIN_AUDIT_DAYS}; default: none)",
        metavar="DAYS",
        type=positive_int,
    )


class Command(OperatorCommand[PruneArguments]):
    service = staticmethod(prune)
    words = "admin prune"
    summary = "Delete old records"
    area, place = "server", 70
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin prune --dry-run",
        "scaiwave admin prune --quiet",
        "scaiwave admin prune --audit-older-than 3650",
    )
    help = (
        "Delete old records: runs of the sync with their changes, webhooks, finished backfills, "
        "expired sessions and failed sign-ins. Settings decide how old. Run it every night; try it "
        "with --dry-run first."
    )
    changes = True
    tables = (("pruned", COLUMNS),)

    def run(self, given: PruneArguments) -> None:
        self.print_report(self.call_service(given, audit_days=given.audit_older_than))
