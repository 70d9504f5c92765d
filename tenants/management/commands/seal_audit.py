from __future__ import annotations

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part
from tenants.audit.seal_audit import seal_audit

COLUMNS = (
    Column("number", "Seal", ColumnType.COUNT),
    Column("day", "Day (UTC)"),
    Column("entries", "Entries", ColumnType.COUNT),
    Column("sha256", "SHA-256", part=Part.KEY),
)


class SealAuditArguments(Arguments):
    accept_restored: bool = option("accept that a restored database lacks seals")


class Command(OperatorCommand[SealAuditArguments]):
    service = staticmethod(seal_audit)
    words = "admin audit seal"
    summary = "Seal the days of the audit log that have ended"
    area, place = "server", 90
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin audit seal", "scaiwave admin audit seal --dry-run")
    help = (
        "Seal every day (UTC) of the audit log that has ended, signed with the key of this server. "
        "The schedule runs this every hour."
    )
    changes = True
    tables = (("seals", COLUMNS),)
