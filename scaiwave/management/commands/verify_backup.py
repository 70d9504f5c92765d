from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from scaiwave.management.commands.create_backup import COLUMNS
from scaiwave.operations.backup.verify_backup import verify_backup


class Command(OperatorCommand):
    words = "admin verify-backup"
    summary = "Restore a backup for a moment, and compare it"
    area, place = "server", 64
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin verify-backup /backup/scaiwave-20261129T020000Z",
        "scaiwave admin verify-backup /backup/scaiwave-20261129T020000Z "
        "--server postgres://scaiwave@db2.example.com/postgres",
    )
    help = (
        "Compare every file of a backup with its manifest, and the rows of every table with the "
        "rows of the server. On PostgreSQL they are restored into a temporary database."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", metavar="DIR", type=Path, help="the backup")
        parser.add_argument(
            "--server",
            metavar="URL",
            help="PostgreSQL server for the temporary database, without a password "
            "(default: the one of SCAIWAVE_DB_URL)",
        )

    def handle(self, directory: Path, server: str | None, **options: Any) -> None:
        result = verify_backup(
            operator=self.operator,
            config=settings.CONFIG,
            directory=directory,
            server=server,
            progress_factory=self.output.progress,
            now=timezone.now(),
        )
        for warning in result.iter_warnings():
            self.output.warn(warning)
        if self.output.as_json:
            self.output.print_json({"backup": result.facts(), "is_intact": True})
        else:
            self.output.print_record(COLUMNS, result.facts())
            self.output.print_line(
                f"Backup {result.directory.name} is intact: every table has the rows that the "
                "server had."
            )
