from __future__ import annotations

from pathlib import Path

from scaiwave.cli.arguments import Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.management.commands.verify_backup import ACCEPT_UNSIGNED, FINGERPRINT
from scaiwave.management.output import print_health_report
from scaiwave.operations.backup.restore_backup import restore_backup
from scaiwave.operations.backup.trust import Trust


class RestoreBackupArguments(Arguments):
    directory: Path = argument("the backup", metavar="DIR")
    into: str = option(
        "database, as in SCAIWAVE_DB_URL, but without a password", metavar="URL", required=True
    )
    attachments: Path | None = option(
        "media directory of the restored server, to copy the attachments to (default: they are "
        "not copied)",
        metavar="DIR",
    )
    no_migrate: bool = option("Keep the schema of the backup, for the release that made it")
    fingerprint: str | None = option(FINGERPRINT, metavar="KEY_ID", group="trust")
    accept_unsigned: bool = option(ACCEPT_UNSIGNED, group="trust")


class Command(OperatorCommand[RestoreBackupArguments]):
    service = staticmethod(restore_backup)
    words = "admin restore"
    summary = "Restore a backup into an empty database"
    area, place = "server", 66
    permission = "MANAGE_PLATFORM"
    profile = "full"  # It migrates the tables of all applications.
    examples = (
        "scaiwave admin restore /backup/scaiwave-20261129T020000Z "
        "--into postgres://scaiwave@db.example.com/scaiwave",
        "scaiwave admin restore /backup/scaiwave-20261129T020000Z "
        "--into sqlite:////srv/copy/scaiwave.sqlite3 --attachments /srv/copy/media",
    )
    help = (
        "Restore a backup into a new, empty database, migrate it to this release, and check what "
        "needs no other server. The restored server sends nothing to ScaiKey and runs no jobs "
        "until `scaiwave admin activate-restore`. Exits like `scaiwave doctor`."
    )
    changes = True

    def run(self, given: RestoreBackupArguments) -> None:
        trust = Trust(given.fingerprint, given.accept_unsigned)
        result = self.call_service(given, trust=trust, is_migrated=not given.no_migrate)
        for warning in result.warnings:
            self.output.warn(warning)
        self.print_result(result.document())
        if not self.output.as_json:
            if result.health is not None:
                print_health_report(self.output, result.health)
                self.output.print_line()
            self.output.print_line(result.attachments_sentence)
            self.output.print_line(result.sentence)
        if result.health is not None and result.health.exit_code:
            raise SystemExit(result.health.exit_code)
