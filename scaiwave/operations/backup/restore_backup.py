"""Restore a backup into an empty database, which then waits for its activation.

The database has the mark of a restored server from the moment it has data: the mark is written in
the same transaction on PostgreSQL, and before the file gets its name with SQLite.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shlex import quote
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
from scaiwave.core.files import translate_write_errors
from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.backup import postgresql
from scaiwave.operations.backup.databases import (
    open_database,
    parse_target,
    require_empty,
    restore_sqlite,
    use_as_default,
)
from scaiwave.operations.backup.errors import BackupDamaged
from scaiwave.operations.backup.manifest import (
    ATTACHMENTS,
    Backup,
    Manifest,
    check_files,
    load_manifest,
)
from scaiwave.operations.backup.verify_backup import require_restore_tools
from scaiwave.operations.doctor.findings import Finding, failed, passed
from scaiwave.operations.doctor.runner import HealthReport, run_local_checks
from scaiwave.storage.media import AtomicFileSystemStorage
from scaiwave.storage.schema_version import require_known_migrations
from tenants.audit.queries.verify_audit import verify_audit
from tenants.audit.record import AuditSubject, record_audit
from tenants.models import Restoration

_MARK_MIGRATION = "tenants.0018_restoration"


@dataclass(frozen=True)
class RestoreBackupResult:
    """`health` is None in a dry run. `attachments` is how many were copied, None for no copy.

    `erased_since` are certificates in the home directory of tenants that the backup may contain.
    """

    backup: Backup
    database: str
    attachments: int | None
    health: HealthReport | None
    erased_since: Sequence[str] = ()

    @property
    def warnings(self) -> list[str]:
        return [
            "A tenant was erased after this backup. To erase it again, after the activation run "
            f"`scaiwave admin erase-tenant --again {quote(file)} --certificate <file>`."
            for file in self.erased_since
        ]

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
        if attachments.kind == "list" or not attachments.count:
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
            "erased_since": list(self.erased_since),
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
    _require_owner(config)
    manifest = load_manifest(directory)
    require_known_migrations(manifest.database.migrations, subject="The server of the backup")
    target, database = parse_target(config, into, "--into")
    _require_same_kind(manifest, database)
    require_empty(database)
    damaged = check_files(directory, manifest, progress_factory, tolerates=ATTACHMENTS)
    backup, name = Backup(directory, manifest), str(database["NAME"])
    erased_since = _find_erased_since(config.home / "erasures", manifest.created_at)
    if dry_run:
        return RestoreBackupResult(backup, name, None, None, erased_since)
    copied = None
    if attachments is not None:
        names = [name for name in manifest.files if name not in damaged]
        copied = _copy_attachments(directory, names, attachments, progress_factory)
    mark = Restoration(backup=manifest.name, backup_at=manifest.created_at, restored_at=now)
    _load(directory, manifest, database, mark)
    require_existing_file(database)
    use_as_default(database)
    # The suite's own command also creates secrets, which a backup must bring.
    call_command(migrate.Command(), verbosity=0, interactive=False, skip_checks=True)
    _record(operator, mark, now)
    seals = verify_audit(operator=operator, now=now, progress_factory=progress_factory)
    error, check = seals.error, "audit_seals"
    seal_finding = failed(check, error) if error else passed(check, seals.sentence)
    findings = [*_list_damaged(damaged), *run_local_checks(target, now), seal_finding]
    return RestoreBackupResult(backup, name, copied, HealthReport(findings), erased_since)


def _find_erased_since(directory: Path, backup_at: datetime) -> list[str]:
    """Return the certificates that this host has of tenants that were erased after the backup.

    A file that can't be read is listed too: someone should look at it.
    """
    found = []
    for file in sorted(directory.glob("*.json")):
        with suppress(OSError, ValueError, KeyError, TypeError):
            finished_at = json.loads(file.read_bytes())["finished_at"]
            if datetime.fromisoformat(finished_at) <= backup_at:
                continue
        found.append(str(file))
    return found


def _require_owner(config: Configuration) -> None:
    """Refuse root on a server of another user, who could not read what root writes."""
    owner = config.home.stat().st_uid if config.home.exists() else os.geteuid()
    if os.geteuid() == 0 and owner:
        raise UsageError(
            f"{config.home} belongs to {config.home.owner()}, who could not read what root "
            "restores.",
            fix=f"Run the command as {config.home.owner()}.",
        )


def _require_same_kind(manifest: Manifest, database: dict[str, Any]) -> None:
    kind = "sqlite" if database["ENGINE"] == SQLITE else "postgresql"
    if manifest.database.kind != kind:
        raise UsageError(
            f"The backup is of {manifest.database.kind}, and --into names a database of {kind}.",
            fix="Pass the URL of a database of the same kind.",
        )
    if kind == "postgresql":
        require_restore_tools(manifest)


def _copy_attachments(
    directory: Path, names: list[str], target: Path, progress_factory: ProgressFactory
) -> int:
    store = AtomicFileSystemStorage(location=str(target.absolute()))
    prefix = f"{ATTACHMENTS}/"
    names = [name for name in names if name.startswith(prefix)]
    with progress_factory("Copying attachments", ColumnType.COUNT) as advance:
        for number, name in enumerate(names, 1):
            path = target / name.removeprefix(prefix)
            with translate_write_errors(path), (directory / name).open("rb") as file:
                store.save(name.removeprefix(prefix), File(file))
            advance(number, len(names))
    return len(names)


def _load(directory: Path, manifest: Manifest, database: dict[str, Any], mark: Restoration) -> None:
    archive = directory / manifest.database.file
    # A backup of an earlier release has no such table; until the migration no command runs.
    script = _format_mark(mark) if _MARK_MIGRATION in manifest.database.migrations else ""
    if manifest.database.kind == "sqlite":
        restore_sqlite(archive, Path(database["NAME"]), script)
    else:
        with closing(open_database(database)) as target:
            # The archive has emptied the search path.
            postgresql.load(target, archive, last=f"RESET search_path; {script}")


def _format_mark(mark: Restoration) -> str:
    """Return SQL for both databases, with the columns that the table has always had.

    The form of a manifest lets its name contain no quotation marks.
    """
    table = Restoration._meta.db_table
    times = (mark.backup_at.isoformat(), mark.restored_at.isoformat())
    values = "', '".join((mark.id.hex, "1", mark.backup, *times))
    columns = "id, number, backup, backup_at, restored_at"
    return f"DELETE FROM {table}; INSERT INTO {table} ({columns}) VALUES ('{values}');"  # noqa: S608


def _list_damaged(damaged: Mapping[str, BackupDamaged]) -> Iterator[Finding]:
    """On the worst day, a server without some attachments is better than none."""
    if damaged:
        count, first = pluralize(len(damaged), "attachment"), next(iter(damaged.values()))
        yield failed("attachments", BackupDamaged(f"{count} not restored. {first.message}"))


def _record(operator: Operator, mark: Restoration, now: datetime) -> None:
    details = {"backup_at": mark.backup_at.isoformat()}
    with transaction.atomic():
        if not Restoration.objects.exists():
            mark.save(force_insert=True)
        subject = AuditSubject("backup", mark.backup, mark.backup)
        record_audit(operator=operator, action="restore", subject=subject, now=now, details=details)
