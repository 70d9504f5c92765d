"""Create a backup: the database, then the attachments, then the secrets.

Attachments never change, so a later copy has every file that the database refers to. The backup
lists the names of files that were deleted during it.
"""

from __future__ import annotations

import errno
import os
import re
import sqlite3
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from django.apps import apps
from django.core.files.storage import default_storage
from django.db import connection, transaction

from rooms.models.media import get_storage_name
from scaiwave import __version__
from scaiwave.config import Configuration
from scaiwave.config.secret_keys import find_encryption_keys, find_secret_key
from scaiwave.console.columns import ColumnType
from scaiwave.console.output import to_json
from scaiwave.console.progress import ProgressFactory
from scaiwave.core.errors import UsageError
from scaiwave.core.files import open_regular
from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.backup import postgresql
from scaiwave.operations.backup.databases import back_up_sqlite, used_as_default
from scaiwave.operations.backup.manifest import (
    ATTACHMENT_LIST,
    ATTACHMENTS,
    VERSION,
    Attachments,
    Backup,
    BackupDraft,
    DatabaseDump,
    Manifest,
    create_directory,
    iter_chunks,
)
from scaiwave.operations.backup.tables import (
    NOT_COMPARED,
    Columns,
    list_postgresql,
    list_sqlite,
    measure_postgresql,
    measure_sqlite,
    read_sqlite,
)
from scaiwave.operations.backup.trust import find_signing_key
from scaiwave.storage.media import media_root
from scaiwave.storage.schema_version import is_migrated
from tenants.audit.record import AuditSubject, record_audit

_PENDING_REGISTRATION = ("scaikey-re*", ".scaikey-registration.json.*.response")
_AUDIT_MIGRATION = "tenants.0014_audit_seals"
"""Without it, as on a server of 0.1.0, this release can't write to the audit log."""
_STORAGE_NAME = re.compile(r"tenant/[0-9a-f-]{36}/[0-9a-f]{64}")
_LACKING = {errno.ENOENT, errno.EINVAL, errno.ELOOP}
"""The file has just been deleted, or there is a pipe or a link in its place."""
_MIGRATIONS = "SELECT app || '.' || name FROM django_migrations ORDER BY id"
_MEDIA = "SELECT tenant_id, sha256 FROM sw_media WHERE scan_status <> 'infected'"


def create_backup(
    *,
    operator: Operator,
    config: Configuration,
    parent: Path,
    with_secrets: bool,
    progress_factory: ProgressFactory,
    now: datetime,
) -> Backup:
    """Write a new backup into a directory, read it again, and record it in the audit log.

    Other processes may write to the server during this. Raises DatabaseToolUnusable,
    DatabaseToolFailed, DiskFull, FileUnwritable and the errors of the media store; then no backup
    was created.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    if parent.resolve().is_relative_to(media_root(config).resolve()):
        raise UsageError(
            f"{parent} is in the media directory, {media_root(config)}, which is backed up.",
            fix="Name a directory elsewhere with --output.",
        )
    with create_directory(parent, now) as draft:
        dump = _dump_sqlite if connection.vendor == "sqlite" else _dump_postgresql
        database, expected = dump(draft, progress_factory)
        attachments = _copy_attachments(draft, config, expected, progress_factory)
        if with_secrets:
            _copy_secrets(draft, config)
        key = find_signing_key(now)
        manifest = Manifest(
            version=VERSION,
            name=draft.name,
            created_at=now,
            scaiwave_version=__version__,
            server_name=config.get_str("SCAIWAVE_SERVER_NAME"),
            database=database,
            attachments=attachments,
            has_secrets=with_secrets,
            files=dict(draft.files),
            key_id=key.key_id if key else None,
        )
        draft.finish(manifest, key, progress_factory)
        backup = Backup(parent / draft.name, manifest)
        facts = backup.facts()
        details = {key: facts[key] for key in ("directory", "rows", "secrets_included")}
        subject = AuditSubject("backup", draft.name, draft.name)
        if _AUDIT_MIGRATION in database.migrations:
            with transaction.atomic():
                record_audit(operator, "backup", subject, now, details, is_change=False)
    return backup


def _dump_sqlite(
    draft: BackupDraft, progress_factory: ProgressFactory
) -> tuple[DatabaseDump, set[str]]:
    path = draft.directory / "database.sqlite3"
    back_up_sqlite(path)
    draft.add(path.name)
    version = sqlite3.sqlite_version
    with read_sqlite(path) as copy:
        migrations, expected = _read_names(copy.cursor())
        tables = measure_sqlite(copy, _leave_out(list_sqlite(copy)))
    return DatabaseDump("sqlite", path.name, version, version, migrations, tables), expected


def _dump_postgresql(
    draft: BackupDraft, progress_factory: ProgressFactory
) -> tuple[DatabaseDump, set[str]]:
    file = "database.dump"
    with used_as_default(connection.settings_dict):
        server = postgresql.get_server_version()
        tool = postgresql.require_tool("pg_dump", at_least=server, needed_by="the server")
        with postgresql.open_snapshot(draft.directory.name) as snapshot:
            with progress_factory("Dumping the database", ColumnType.BYTES) as advance:
                draft.write(file, postgresql.dump(snapshot), advance)
            migrations, expected = _read_names(connection.cursor())
            tables = measure_postgresql(connection, _leave_out(list_postgresql(connection)))
    return DatabaseDump("postgresql", file, server, tool, migrations, tables), expected


def _read_names(cursor: Any) -> tuple[list[str], set[str]]:
    """Return the migrations, and the names of all attachments."""
    cursor.execute(_MIGRATIONS)
    migrations = [name for (name,) in cursor.fetchall()]
    cursor.execute(_MEDIA)
    rows = cursor.fetchall()
    return migrations, {get_storage_name(UUID(str(tenant)), sha256) for tenant, sha256 in rows}


def _leave_out(tables: Columns) -> Columns:
    """Leave out columns that no migration makes, unless this release has not migrated them."""
    models = apps.get_models(include_auto_created=True) if is_migrated(connection) else ()
    own = {each._meta.db_table: {f.column for f in each._meta.concrete_fields} for each in models}
    return {
        name: [column for column in columns if column in own.get(name, columns)]
        for name, columns in tables.items()
        if name not in NOT_COMPARED
    }


def _copy_attachments(
    draft: BackupDraft,
    config: Configuration,
    expected: set[str],
    progress_factory: ProgressFactory,
) -> Attachments:
    sizes: dict[str, int] = {}
    if config.get_str("SCAIWAVE_S3_BUCKET"):
        draft.write(ATTACHMENT_LIST, _list_bucket(sizes))
    else:
        with progress_factory("Copying attachments", ColumnType.COUNT) as advance:
            for name, chunks in _iter_files(media_root(config)):
                sizes[name] = draft.write(f"{ATTACHMENTS}/{name}", chunks)
                advance(len(sizes), None)
    return Attachments(
        kind="list" if ATTACHMENT_LIST in draft.files else "files",
        count=len(sizes),
        bytes=sum(sizes.values()),
        missing=sorted(expected - sizes.keys()),
    )


def _iter_files(root: Path) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Yield the name and the content of each attachment. If one can't be read, that is an error."""

    def fail(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            raise error

    for parent, directories, files in os.walk(root / "tenant", onerror=fail):
        directories.sort()
        for path in (Path(parent, name) for name in sorted(files)):
            if not _STORAGE_NAME.fullmatch(name := path.relative_to(root).as_posix()):
                continue
            try:
                file = open_regular(path, os.O_NOFOLLOW)
            except OSError as error:
                if error.errno not in _LACKING:
                    raise
            else:
                yield name, iter_chunks(file)


def _list_bucket(sizes: dict[str, int]) -> Iterator[bytes]:
    """Yield the lines of the list, and note the size of each object."""
    storage: Any = default_storage
    for item in storage.bucket.objects.filter(Prefix="tenant/"):
        sizes[item.key] = item.size
        line = {
            "name": item.key,
            "bytes": item.size,
            "etag": item.e_tag,
            "modified_at": item.last_modified,
        }
        yield to_json(line, indent=None).encode() + b"\n"


def _copy_secrets(draft: BackupDraft, config: Configuration) -> None:
    """Copy the configuration, the keys wherever they come from, and a pending registration."""
    values = {
        "SCAIWAVE_SECRET_KEY": find_secret_key(config),
        "SCAIWAVE_ENCRYPTION_KEYS": ",".join(find_encryption_keys(config)),
    }
    lines = [f"{name}={value}\n".encode() for name, value in values.items() if value]
    draft.write("secrets/secret-keys.env", lines)
    files = {"env": config.env_file} if config.env_file.exists() else {}
    for pattern in _PENDING_REGISTRATION:
        files |= {path.name: path for path in config.home.glob(pattern)}
    for name, path in files.items():
        draft.write(f"secrets/{name}", iter_chunks(path.open("rb")))
