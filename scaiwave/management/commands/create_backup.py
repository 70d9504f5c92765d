from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.utils import timezone

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part
from scaiwave.operations.backup.create_backup import create_backup

COLUMNS = (
    Column("directory", "Backup", part=Part.KEY),
    Column("database", "Database"),
    Column("database_version", "Version"),
    Column("tables", "Tables", ColumnType.COUNT),
    Column("rows", "Rows", ColumnType.COUNT),
    Column("attachments", "Attachments", ColumnType.COUNT),
    Column("attachment_bytes", "Size of attachments", ColumnType.BYTES),
    Column("secrets_included", "Keys and configuration", ColumnType.FLAG),
    Column("size_bytes", "Size", ColumnType.BYTES),
)


class CreateBackupArguments(Arguments):
    output: Path = option("parent directory of the backup", metavar="DIR", required=True)
    no_secrets: bool = option("leave out the encryption keys and the configuration")


class Command(OperatorCommand[CreateBackupArguments]):
    words = "admin backup"
    summary = "Back up this server into a new directory"
    area, place = "server", 62
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin backup --output /backup",
        "scaiwave admin backup --output /backup --no-secrets --json",
    )
    help = (
        "Back up the database, the attachments, and the keys with the configuration into a new "
        "directory, which only this user can read. The server may be in use. Everything is read "
        "again before the backup gets its name."
    )

    def run(self, given: CreateBackupArguments) -> None:
        result = create_backup(
            operator=self.operator,
            config=settings.CONFIG,
            parent=given.output,
            with_secrets=not given.no_secrets,
            progress_factory=self.output.progress,
            now=timezone.now(),
        )
        for warning in result.iter_warnings():
            self.output.warn(warning)
        if self.output.as_json:
            self.output.print_json({"backup": result.facts()})
        else:
            self.output.print_record(COLUMNS, result.facts())
            self.output.print_line(f"Backup {result.directory.name} created.")
            if fingerprint := result.manifest.key_id:
                self.output.print_line(
                    "Another host needs the fingerprint. Note it outside of the backup: "
                    f"--fingerprint={fingerprint}"
                )
