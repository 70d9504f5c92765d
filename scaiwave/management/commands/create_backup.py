from __future__ import annotations

from pathlib import Path

from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, Part, columns_of
from scaiwave.core.report import Report
from scaiwave.operations.backup.create_backup import create_backup

COLUMNS = (
    Column("directory", "Backup", part=Part.KEY),
    Column("database", "Database"),
    Column("database_version", "Version"),
    *columns_of("tables", "rows", "attachments", kind=ColumnType.COUNT),
    Column("attachment_bytes", "Size of attachments", ColumnType.BYTES),
    Column("secrets_included", "Keys and configuration", ColumnType.FLAG),
    Column("size_bytes", "Size", ColumnType.BYTES),
)


class CreateBackupArguments(Arguments):
    output: Path = option("parent directory of the backup", metavar="DIR", required=True)
    no_secrets: bool = option("leave out the encryption keys and the configuration")


class Command(OperatorCommand[CreateBackupArguments]):
    service = staticmethod(create_backup)
    tables = (("backup", COLUMNS),)
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
        with_secrets = not given.no_secrets
        backup = self.call_service(given, parent=given.output, with_secrets=with_secrets)
        notes = [f"Backup {backup.directory.name} created."]
        if fingerprint := backup.manifest.key_id:
            notes.append(
                "Another host needs the fingerprint. Note it outside of the backup: "
                f"--fingerprint={fingerprint}"
            )
        warnings = list(backup.iter_warnings())
        self.print_report(Report({"backup": backup.facts()}, warnings=warnings, notes=notes))
