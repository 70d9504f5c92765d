"""Restore a backup into an empty database, which then waits for its activation.

The database has the mark of a restored server from the moment it has data: the mark is written in
the same transaction on PostgreSQL, and before the file gets its name with SQLite.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.files.base import File
from django.core.management import call_command
from django.core.management.commands import migrate
from django.db import transaction

from scaiwave.config import Configuration
from scaiwave.config.database import SQLITE, require_existing_file
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressFactory
from scaiwave.console.text import pluralize
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.backup import postgresql
from scaiwave.operations.backup.create_backup import ATTACHMENTS, BackupResult
from scaiwave.operations.backup.databases import (
    open_database,
    parse_target,
    require_empty,
    restore_sqlite,
    use_as_default,
)
from scaiwave.operations.backup.manifest import Manifest, check_files, load_manifest
from scaiwave.operations.backup.verify_backup import check_restore_tools
from scaiwave.operations.doctor.findings import Finding, failed, passed
from scaiwave.operations.doctor.runner import HealthReport, run_local_checks
from scaiwave.storage.media import AtomicFileSystemStorage
from scaiwave.storage.schema_version import require_known_migrations
from tenants.audit.queries.verify_audit import verify_audit
from tenants.audit.record import AuditSubject, record_audit
from tenants.models import Restoration

_MARK_MIGRATION = "tenants.0018_restoration"
_MARK_FIELDS = ("id", "number", "backup", "backup_at", "restored_at")
"""Columns that the table has had from the beginning: a backup may be of an earlier release."""
_TABLE = Restoration._meta.db_table
_UNMARK = f"DELETE FROM {_TABLE}"  # noqa: S608 - constants
_MARK = f"INSERT INTO {_TABLE} ({', '.join(_MARK_FIELDS)}) VALUES"


@dataclass(frozen=True)
class RestoreBackupResult:
    """`health` is None in a dry run. `attachments` is how many were copied, None for no copy."""

    backup: BackupResult
    database: str
    attachments: int | None
    health: HealthReport | None

    @property
    def sentence(self) -> str:
        name = self.backup.directory.name
        if self.health is None:
            return f"Would restore {name} into {self.database}."
        return (
            f"Backup {name} restored into {self.database}. Syncs, webhooks and schedules are "
            "stopped there until `scaiwave admin activate-restore`."
        )

    @property
    def attachments_sentence(self) -> str:
        attachments = self.backup.manifest.attachments
        if attachments.kind == "list":
            return "The attachments are in a bucket, which the backup only lists."
        if not attachments.count:
            return "The backup contains no attachments."
        if self.attachments is None:
            count = pluralize(attachments.count, "attachment")
            return f"{count} not copied: pass --attachments with a directory to copy them."
        return f"{pluralize(self.attachments, 'attachment')} copied."

    def document(self) -> dict[str, Any]:
        return {
            "backup": self.backup.facts(),
            "database": self.database,
            "attachments_copied": self.attachments,
            "is_activated": False,
            "changed": True,
            **(self.health.document() if self.health else {"healthy": None, "checks": []}),
        }


def restore_backup(
    *,
    operator: Operator,
    config: Configuration,
    directory: Path,
    into: str,
    attachments: Path | None,
    progress_factory: ProgressFactory,
    now: datetime,
    dry_run: bool = False,
) -> RestoreBackupResult:
    """Restore, migrate, and check what needs no other server. From then on this process uses the
    restored database.

    `into` is the URL of the database, `attachments` the directory to copy attachments to.

    Raises BackupNotFound, BackupDamaged, DatabaseNotEmpty, DatabaseNewer, DatabaseToolUnusable,
    DatabaseToolFailed and UsageError; then the database is unchanged.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    manifest = load_manifest(directory)
    require_known_migrations(manifest.database.migrations, subject="The server of the backup")
    target, database = parse_target(config, into, "--into")
    _require_same_kind(manifest, database)
    require_empty(database)
    check_files(directory, manifest, progress_factory)
    backup = BackupResult(directory, manifest)
    name = str(database["NAME"])
    if dry_run:
        return RestoreBackupResult(backup, name, None, None)
    copied = None
    if attachments is not None:
        copied = _copy_attachments(directory, manifest, attachments, progress_factory)
    mark = Restoration(
        backup=manifest.name,
        backup_at=manifest.created_at,
        restored_at=now,
    )
    _load(directory, manifest, database, mark)
    require_existing_file(database)
    use_as_default(database)
    _migrate()
    _record(operator, mark, now)
    findings = [*run_local_checks(target, now), *_check_seals(operator, now, progress_factory)]
    return RestoreBackupResult(backup, name, copied, HealthReport(findings))


def _require_same_kind(manifest: Manifest, database: dict[str, Any]) -> None:
    kind = "sqlite" if database["ENGINE"] == SQLITE else "postgresql"
    if manifest.database.kind != kind:
        raise UsageError(
            f"The backup is of {manifest.database.kind}, and --into names a database of {kind}.",
            fix="Pass the URL of a database of the same kind.",
        )
    if kind == "postgresql":
        check_restore_tools(manifest)


def _copy_attachments(
    directory: Path, manifest: Manifest, target: Path, progress_factory: ProgressFactory
) -> int:
    store = AtomicFileSystemStorage(location=str(target.absolute()))
    prefix = f"{ATTACHMENTS}/"
    names = [name for name in manifest.files if name.startswith(prefix)]
    with progress_factory("Copying attachments", ColumnType.COUNT) as advance:
        for number, name in enumerate(names, 1):
            with (directory / name).open("rb") as file:
                store.save(name.removeprefix(prefix), File(file))
            advance(number, len(names))
    return len(names)


def _load(directory: Path, manifest: Manifest, database: dict[str, Any], mark: Restoration) -> None:
    archive = directory / manifest.database.file
    has_table = _MARK_MIGRATION in manifest.database.migrations
    target = open_database(database)
    parameters = [
        field.get_db_prep_save(getattr(mark, field.name), target)
        for field in mark._meta.concrete_fields
        if field.name in _MARK_FIELDS
    ]
    if manifest.database.kind == "sqlite":
        places = ", ".join("?" for _ in _MARK_FIELDS)
        statements = [(_UNMARK, []), (f"{_MARK} ({places})", parameters)] if has_table else []
        restore_sqlite(archive, Path(database["NAME"]), statements)
        return
    from psycopg import sql

    literals = sql.SQL(", ").join(map(sql.Literal, parameters)).as_string()
    # The archive has emptied the search path.
    last = f"RESET search_path; {_MARK} ({literals});" if has_table else ""
    with closing(target):
        postgresql.load(target, archive, last=last)


def _migrate() -> None:
    """Run Django's command: the suite's own also creates secrets, which a backup must bring."""
    call_command(migrate.Command(), verbosity=0, interactive=False, skip_checks=True)


def _record(operator: Operator, mark: Restoration, now: datetime) -> None:
    details = {"backup_at": mark.backup_at.isoformat()}
    with transaction.atomic():
        # A backup from before that table has no mark yet; until the migration no command ran.
        if not Restoration.objects.exists():
            mark.save(force_insert=True)
        subject = AuditSubject("backup", mark.backup, mark.backup)
        record_audit(operator=operator, action="restore", subject=subject, now=now, details=details)


def _check_seals(
    operator: Operator, now: datetime, progress_factory: ProgressFactory
) -> Iterator[Finding]:
    result = verify_audit(operator=operator, now=now, progress_factory=progress_factory)
    if result.error is not None:
        yield failed("audit_seals", result.error)
    else:
        yield passed("audit_seals", result.sentence)
