from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from scaiwave.management.commands.verify_backup import add_trust_arguments
from scaiwave.management.output import print_health_report
from scaiwave.operations.backup.restore_backup import restore_backup
from scaiwave.operations.backup.trust import Trust


class Command(OperatorCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", metavar="DIR", type=Path, help="the backup")
        parser.add_argument(
            "--into",
            metavar="URL",
            required=True,
            help="database, as in SCAIWAVE_DB_URL, but without a password",
        )
        parser.add_argument(
            "--attachments",
            metavar="DIR",
            type=Path,
            help="media directory of the restored server, to copy the attachments to "
            "(default: they are not copied)",
        )
        parser.add_argument(
            "--no-migrate",
            action="store_true",
            help="Keep the schema of the backup, for the release that made it",
        )
        add_trust_arguments(parser)

    def handle(self, directory: Path, into: str, attachments: Path | None, **options: Any) -> None:
        result = restore_backup(
            operator=self.operator,
            config=settings.CONFIG,
            directory=directory,
            into=into,
            attachments=attachments,
            trust=Trust(options["fingerprint"], options["accept_unsigned"]),
            is_migrated=not options["no_migrate"],
            progress_factory=self.output.progress,
            now=timezone.now(),
            dry_run=self.dry_run,
        )
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
