from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings

from scaiwave.cli.command import OperatorCommand
from scaiwave.management.commands.create_backup import COLUMNS
from scaiwave.operations.backup.trust import Trust
from scaiwave.operations.backup.verify_backup import verify_backup


def add_trust_arguments(parser: ArgumentParser) -> None:
    trust = parser.add_mutually_exclusive_group()
    trust.add_argument(
        "--fingerprint",
        metavar="KEY_ID",
        help="fingerprint of the server that made the backup, which you noted outside of it "
        "(default: the keys of this server)",
    )
    trust.add_argument(
        "--accept-unsigned",
        action="store_true",
        help="Accept a backup that is not signed, as before 0.4: anyone who could write to it may "
        "have changed any row",
    )


class Command(OperatorCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", metavar="DIR", type=Path, help="the backup")
        parser.add_argument(
            "--server",
            metavar="URL",
            help="empty database of PostgreSQL to use instead of a temporary server, without a "
            "password",
        )
        add_trust_arguments(parser)

    def handle(self, directory: Path, server: str | None, **options: Any) -> None:
        result = verify_backup(
            operator=self.operator,
            config=settings.CONFIG,
            directory=directory,
            server=server,
            trust=Trust(options["fingerprint"], options["accept_unsigned"]),
            progress_factory=self.output.progress,
        )
        for warning in result.list_warnings():
            self.output.warn(warning)
        if self.output.as_json:
            self.output.print_json({"backup": result.facts(), "is_intact": True})
        else:
            self.output.print_record(COLUMNS, result.facts())
            self.output.print_line(
                f"Backup {result.directory.name} is intact: every table has the rows that the "
                "server had."
            )
