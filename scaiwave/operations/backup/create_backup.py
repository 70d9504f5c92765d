"""Create a backup: the database, then the attachments, then the secrets.

Attachments never change, so a later copy has every file that the database refers to.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.files.storage import default_storage
from django.db import connection, transaction

from scaiwave import __version__
from scaiwave.config import Configuration
from scaiwave.config.secret_keys import find_encryption_keys, find_secret_key
from scaiwave.console.columns import ColumnType
from scaiwave.console.output import to_json
from scaiwave.console.progress import ProgressFactory
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.sql import fetch
from scaiwave.operations.backup import postgresql
from scaiwave.operations.backup.databases import back_up_sqlite, get_live_settings, open_database
from scaiwave.operations.backup.manifest import (
    VERSION,
    Attachments,
    BackupDraft,
    DatabaseDump,
    Manifest,
    check_files,
    create_directory,
    iter_chunks,
    write_manifest,
)
from scaiwave.operations.backup.tables import measure_postgresql, measure_sqlite
from scaiwave.storage.media import media_root
from scaiwave.storage.schema_version import OWN_APPS
from tenants.audit.record import AuditSubject, record_audit
from tenants.lookup.serializers import Row

SQLITE_FILE, POSTGRESQL_FILE = "database.sqlite3", "database.dump"
ATTACHMENTS, ATTACHMENT_LIST = "attachments", "attachments.jsonl"
SECRETS = "secrets"
_PENDING_REGISTRATION = ("scaikey-re*", ".scaikey-registration.json.*.response")
_MIGRATIONS = "SELECT app || '.' || name FROM django_migrations ORDER BY id"


@dataclass(frozen=True)
class BackupResult:
    directory: Path
    manifest: Manifest

    def facts(self) -> Row:
        database, attachments = self.manifest.database, self.manifest.attachments
        return {
            "name": self.directory.name,
            "directory": str(self.directory),
            "created_at": self.manifest.created_at,
            "database": database.kind,
            "database_version": database.server_version,
            "tables": len(database.tables),
            "rows": database.rows,
            "attachments": attachments.count,
            "attachment_bytes": attachments.bytes,
            "attachments_included": attachments.kind == "files",
            "secrets_included": self.manifest.has_secrets,
            "size_bytes": self.manifest.total_bytes,
        }

    @property
    def warning(self) -> str:
        """Return what this backup lacks, if anything."""
        if self.manifest.attachments.kind == "files":
            return ""
        return (
            f"The attachments are in a bucket, and {ATTACHMENT_LIST} only lists them. A list is "
            "not a copy: back up the bucket itself."
        )


def create_backup(
    *,
    operator: Operator,
    config: Configuration,
    parent: Path,
    with_secrets: bool,
    progress_factory: ProgressFactory,
    now: datetime,
) -> BackupResult:
    """Write a new backup into a directory, read it again, and record it in the audit log.

    Other processes may write to the server during this. Raises DatabaseToolUnusable,
    DatabaseToolFailed, DiskFull, FileUnwritable and the errors of the media store; then no backup
    was created.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    with create_directory(parent, now) as draft:
        is_sqlite = connection.vendor == "sqlite"
        database = _dump_sqlite(draft) if is_sqlite else _dump_postgresql(draft, progress_factory)
        attachments = _copy_attachments(draft, config, progress_factory)
        if with_secrets:
            _copy_secrets(draft, config)
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
        )
        check_files(draft.directory, manifest, progress_factory)
        write_manifest(draft, manifest)
    result = BackupResult(draft.directory, manifest)
    details = {name: result.facts()[name] for name in ("directory", "rows", "secrets_included")}
    with transaction.atomic():
        subject = AuditSubject("backup", draft.name, draft.name)
        record_audit(
            operator=operator,
            action="backup",
            subject=subject,
            now=now,
            details=details,
            is_change=False,
        )
    return result


def _dump_sqlite(draft: BackupDraft) -> DatabaseDump:
    path = draft.directory / SQLITE_FILE
    back_up_sqlite(path)
    draft.add(SQLITE_FILE)
    copy = open_database({"ENGINE": "django.db.backends.sqlite3", "NAME": str(path)})
    with closing(copy), copy.cursor() as cursor:
        migrations = _load_migrations(cursor)
    return DatabaseDump(
        kind="sqlite",
        file=SQLITE_FILE,
        server_version=fetch("SELECT sqlite_version()")[0][0],
        tool_version="",
        migrations=migrations,
        tables=measure_sqlite(path),
    )


def _dump_postgresql(draft: BackupDraft, progress_factory: ProgressFactory) -> DatabaseDump:
    database = open_database(get_live_settings())
    with closing(database):
        server = postgresql.get_server_version(database)
        tool = postgresql.get_tool("pg_dump", at_least=server, needed_by="the server")
        with postgresql.open_snapshot(database) as snapshot:
            with progress_factory("Dumping the database", ColumnType.BYTES) as advance:
                chunks = _report(postgresql.dump(database, snapshot), advance)
                draft.write(POSTGRESQL_FILE, chunks)
            with database.cursor() as cursor:
                migrations = _load_migrations(cursor)
            tables = measure_postgresql(database)
    return DatabaseDump(
        kind="postgresql",
        file=POSTGRESQL_FILE,
        server_version=server,
        tool_version=tool,
        migrations=migrations,
        tables=tables,
    )


def _report(chunks: Iterator[bytes], advance: Any) -> Iterator[bytes]:
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        advance(done, None)


def _load_migrations(cursor: Any) -> list[str]:
    cursor.execute(_MIGRATIONS)
    return [name for (name,) in cursor.fetchall() if name.startswith(OWN_APPS)]


def _copy_attachments(
    draft: BackupDraft, config: Configuration, progress_factory: ProgressFactory
) -> Attachments:
    if config.get_str("SCAIWAVE_S3_BUCKET"):
        return _list_bucket(draft)
    root = media_root(config)
    count = size = 0
    with progress_factory("Copying attachments", ColumnType.COUNT) as advance:
        for path in _iter_files(root / "tenant"):
            try:
                chunks = iter_chunks(path)
            except FileNotFoundError:
                continue  # It has just been deleted.
            name = f"{ATTACHMENTS}/{path.relative_to(root).as_posix()}"
            size += draft.write(name, chunks).bytes
            count += 1
            advance(count, None)
    return Attachments("files", count, size)


def _iter_files(directory: Path) -> Iterator[Path]:
    for parent, directories, files in os.walk(directory):
        directories.sort()
        yield from (Path(parent, name) for name in sorted(files))


def _list_bucket(draft: BackupDraft) -> Attachments:
    count = size = 0

    def iter_lines() -> Iterator[bytes]:
        nonlocal count, size
        storage: Any = default_storage
        for item in storage.bucket.objects.filter(Prefix="tenant/"):
            count, size = count + 1, size + item.size
            line = {
                "name": item.key,
                "bytes": item.size,
                "etag": item.e_tag,
                "modified_at": item.last_modified,
            }
            yield to_json(line, indent=None).encode() + b"\n"

    draft.write(ATTACHMENT_LIST, iter_lines())
    return Attachments("list", count, size)


def _copy_secrets(draft: BackupDraft, config: Configuration) -> None:
    """Copy the configuration, the keys wherever they come from, and a pending registration."""
    values = {
        "SCAIWAVE_SECRET_KEY": find_secret_key(config),
        "SCAIWAVE_ENCRYPTION_KEYS": ",".join(find_encryption_keys(config)),
    }
    lines = [f"{name}={value}\n".encode() for name, value in values.items() if value]
    draft.write(f"{SECRETS}/secret-keys.env", lines)
    if config.env_file.exists():
        draft.write(f"{SECRETS}/env", iter_chunks(config.env_file))
    for pattern in _PENDING_REGISTRATION:
        for path in sorted(config.home.glob(pattern)):
            draft.write(f"{SECRETS}/{path.name}", iter_chunks(path))
