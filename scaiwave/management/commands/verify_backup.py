from __future__ import annotations

from pathlib import Path

from scaiwave.cli.arguments import Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.core.report import Report
from scaiwave.management.commands.create_backup import COLUMNS
from scaiwave.operations.backup.trust import Trust
from scaiwave.operations.backup.verify_backup import verify_backup

FINGERPRINT = (
    "fingerprint of the server that made the backup, which you noted outside of it "
    "(default: the keys of this server)"
)
ACCEPT_UNSIGNED = (
    "Accept a backup that is not signed, as before 0.4: anyone who could write to it may have "
    "changed any row"
)


class VerifyBackupArguments(Arguments):
    directory: Path = argument("the backup", metavar="DIR")
    server: str | None = option(
        "empty database of PostgreSQL to use instead of a temporary server, without a password",
        metavar="URL",
    )
    fingerprint: str | None = option(FINGERPRINT, metavar="KEY_ID", group="trust")
    accept_unsigned: bool = option(ACCEPT_UNSIGNED, group="trust")


class Command(OperatorCommand[VerifyBackupArguments]):
    service = staticmethod(verify_backup)
    tables = (("backup", COLUMNS),)
    words = "admin verify-backup"
    summary = "Restore a backup for a moment, and compare it"
    area, place = "server", 64
    permission = "MANAGE_PLATFORM"
    profile = "full"  # It migrates the tables of all applications.
    examples = (
        "scaiwave admin verify-backup /backup/scaiwave-20261129T020000Z",
        "scaiwave admin verify-backup /backup/scaiwave-20261129T020000Z "
        "--server postgres://scaiwave@db2.example.com/scaiwave_verify",
    )
    help = (
        "Check who signed a backup, compare every file with its manifest, and restore the rows "
        "into a temporary database, to compare them with the rows of the server. A backup of "
        "PostgreSQL is restored into a server of its own, which this command starts and ends."
    )

    def run(self, given: VerifyBackupArguments) -> None:
        trust = Trust(given.fingerprint, given.accept_unsigned)
        backup = self.call_service(given, trust=trust)
        sentence = (
            f"Backup {backup.directory.name} is intact: every table has the rows that the server "
            "had."
        )
        figures = {"backup": backup.facts(), "is_intact": True}
        self.print_report(Report(figures, sentence, warnings=backup.list_warnings()))
