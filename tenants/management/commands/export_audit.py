from __future__ import annotations

from contextlib import closing
from datetime import datetime

from django.utils import timezone

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.core.times import TIME_FORMATS
from tenants.audit.export_audit import export_audit
from tenants.management.arguments import ensure_period, utc_since, utc_until


class ExportAuditArguments(Arguments):
    since: datetime | None = option(
        f"start of the period in UTC: {TIME_FORMATS} (default: the first seal)",
        metavar="TIME",
        type=utc_since,
    )
    until: datetime | None = option(
        "end of the period in UTC; a date includes the whole day (default: the last seal)",
        metavar="TIME",
        type=utc_until,
    )


class Command(OperatorCommand[ExportAuditArguments]):
    words = "admin audit export"
    summary = "Export sealed days of the audit log"
    area, place = "server", 110
    permission = "VIEW_PLATFORM"
    examples = (
        "scaiwave admin audit export --since 2026-11-01 --until 2026-11-30 > november.jsonl",
        "scaiwave admin audit export --since 7d > week.jsonl",
    )
    help = (
        "Write the sealed days (UTC) of a period to stdout, with their entries and seals, as JSON "
        "Lines. Days are whole, and a day that is not sealed yet is left out. Keep the file "
        "elsewhere: `scaiwave admin audit verify FILE` verifies it."
    )

    def run(self, given: ExportAuditArguments) -> None:
        ensure_period(given.since, given.until)
        lines = export_audit(
            operator=self.operator, now=timezone.now(), since=given.since, until=given.until
        )
        with closing(lines):
            self.output.print_json_lines(lines)
