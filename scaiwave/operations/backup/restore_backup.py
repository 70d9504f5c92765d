"""Restore a backup into an empty database, which then waits for its activation.

The database has the mark of a restored server from the moment it has data: both are written in one
transaction.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from shlex import quote
from types import SimpleNamespace
from typing import Any

from django.core.management import call_command
from django.core.management.commands import migrate
from django.db import connection, transaction

from rooms.search.schema import TABLE as SEARCH
from rooms.search.schema import complete_full_text
from scaiwave.config import Configuration
from scaiwave.config.database import require_existing_file
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressFactory
from scaiwave.console.text import pluralize
from scaiwave.core.errors import UsageError
from scaiwave.core.files import translate_write_errors
from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.backup.databases import (
    fill_database,
    parse_target,
    require_empty,
    used_as_default,
)
from scaiwave.operations.backup.errors import BackupDamaged
from scaiwave.operations.backup.load_rows import load_backup
from scaiwave.operations.backup.manifest import (
    ATTACHMENTS,
    Backup,
    FileContents,
    check_files,
    iter_checked,
    load_manifest,
)
from scaiwave.operations.backup.trust import Trust
from scaiwave.operations.backup.verify_backup import require_usable
from scaiwave.operations.doctor.findings import Finding, failed, passed
from scaiwave.operations.doctor.runner import HealthReport, run_local_checks
from scaiwave.storage.media import AtomicFileSystemStorage
from tenants.audit.queries.verify_audit import verify_audit
from tenants.audit.record import AuditSubject, record_audit
from tenants.models import Restoration

_OPTION = "--into"
_MARK_MIGRATION = "tenants.0018_restoration"
_STOPPED = (
    " Syncs, webhooks and schedules are stopped there until `scaiwave admin activate-restore`."
)
_NOT_STOPPED = " That release does not wait for an activation: what you start there runs at once."


@dataclass(frozen=True)
class RestoreBackupResult:
    """`health` is None without checks. `attachments` is how many were copied, None for no copy.

    `erased_since` are certificates in the home directory of tenants that the backup may contain.
    `is_migrated` is false if the schema is still the one of the backup, which nothing checks.
    """

    backup: Backup
    database: str
    attachments: int | None = None
    health: HealthReport | None = None
    erased_since: Sequence[str] = ()
    is_migrated: bool = True
    dry_run: bool = False

    @property
    def warnings(self) -> list[str]:
        return self.backup.list_warnings() + [
            "A tenant was erased after this backup. To erase it again, after the activation run "
            f"`scaiwave admin erase-tenant --again {quote(file)} --certificate <file>`."
            for file in self.erased_since
        ]

    @property
    def sentence(self) -> str:
        name = self.backup.directory.name
        if self.dry_run:
            return f"Would restore {name} into {self.database}."
        if self.is_migrated:
            return f"Backup {name} restored into {self.database}.{_STOPPED}"
        is_stopped = _MARK_MIGRATION in self.backup.manifest.database.migrations
        return (
            f"Backup {name} restored into {self.database}, with the schema that it had. Use it "
            "with the release of that schema, and run `scaiwave doctor` there."
            + (_STOPPED if is_stopped else _NOT_STOPPED)
        )

    @property
    def attachments_sentence(self) -> str:
        attachments = self.backup.manifest.attachments
        if attachments.kind == "list" or not attachments.count:
            return "The backup contains no attachments."
        if self.attachments is None:
            count = pluralize(attachments.count, "attachment")
            return f"{count} not copied: pass --attachments with a directory to copy them."
        count = pluralize(self.attachments, "attachment")
        return f"Would copy {count}." if self.dry_run else f"{count} copied."

    def document(self) -> dict[str, object]:
        return {
            "backup": self.backup.facts(),
            "database": self.database,
            "attachments_copied": None if self.dry_run else self.attachments,
            "is_activated": False,
            "is_migrated": self.is_migrated,
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
    trust: Trust,
    is_migrated: bool,
    progress_factory: ProgressFactory,
    now: datetime,
    dry_run: bool = False,
) -> RestoreBackupResult:
    """Restore, compare, and, if it is to be migrated, check what needs no other server.

    `into` is the URL of the database, `attachments` the directory to copy attachments to.

    Raises BackupNotFound, BackupUntrusted, BackupDamaged, DatabaseNotEmpty, DatabaseNewer,
    DatabaseToolUnusable, DatabaseToolFailed and UsageError; then the database is empty, as before.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    _require_owner(config)
    manifest = load_manifest(directory, trust)
    target, database = parse_target(config, into, _OPTION)
    require_usable(manifest, database, _OPTION)
    require_empty(database, _OPTION, manifest.mark)
    damaged = check_files(directory, manifest, progress_factory, tolerates=ATTACHMENTS)
    result = RestoreBackupResult(
        Backup(directory, manifest),
        database=str(database["NAME"]),
        erased_since=_find_erased_since(config.home / "erasures", manifest.created_at),
        is_migrated=is_migrated,
        dry_run=dry_run,
    )
    prefix, names = f"{ATTACHMENTS}/", manifest.files.keys() - damaged.keys()
    intact = {name: manifest.files[name] for name in names if name.startswith(prefix)}
    if attachments is not None:
        if not dry_run:
            _copy_attachments(directory, intact, attachments, progress_factory)
        result = replace(result, attachments=len(intact))
    if dry_run:
        return result
    mark = Restoration(backup=manifest.name, backup_at=manifest.created_at, restored_at=now)
    with fill_database(database, _OPTION, manifest.mark, is_kept=True):
        left_out = load_backup(directory, manifest, mark)
        if is_migrated:
            # The suite's own command also creates secrets, which a backup must bring.
            call_command(migrate.Command(), verbosity=0, interactive=False, skip_checks=True)
            _record(operator, mark, now)
        if SEARCH in connection.introspection.table_names():
            complete_full_text()
    result = replace(result, backup=Backup(directory, manifest, left_out))
    if not is_migrated:
        return result
    require_existing_file(database)
    with used_as_default(database):
        seals = verify_audit(operator=operator, now=now, progress_factory=progress_factory)
        error, check = seals.error, "audit_seals"
        seal_finding = failed(check, error) if error else passed(check, seals.sentence)
        findings = [*_list_damaged(damaged), *run_local_checks(target, now), seal_finding]
    return replace(result, health=HealthReport(findings))


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


def _copy_attachments(
    directory: Path, files: dict[str, FileContents], target: Path, progress_factory: ProgressFactory
) -> None:
    """Raises BackupDamaged for a file that was changed since it was checked."""
    store = AtomicFileSystemStorage(location=str(target.absolute()))
    with progress_factory("Copying attachments", ColumnType.COUNT) as advance:
        for number, name in enumerate(sorted(files), 1):
            chunks = partial(iter_checked, directory, name, files[name])
            content: Any = SimpleNamespace(chunks=chunks)
            path = name.removeprefix(f"{ATTACHMENTS}/")
            with translate_write_errors(target / path):
                store.save(path, content)
            advance(number, len(files))


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
