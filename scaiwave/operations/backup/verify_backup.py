"""Verify a backup: restore it into a temporary database, and compare that."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scaiwave.config import Configuration
from scaiwave.config.database import SQLITE, DatabaseSettings
from scaiwave.console.progress import ProgressFactory
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.backup import postgresql
from scaiwave.operations.backup.databases import fill_database, parse_target
from scaiwave.operations.backup.load_rows import load_backup
from scaiwave.operations.backup.manifest import Backup, Manifest, check_files, load_manifest
from scaiwave.operations.backup.temporary_server import explain_full_disk, run_temporary_server
from scaiwave.operations.backup.trust import Trust

_OPTION = "--server"
_EMPTY_SERVER_BYTES, _GROWTH = 64 * 1024**2, 15
"""PostgreSQL's files, with its log, are so much larger than a compressed dump."""


def verify_backup(
    *,
    operator: Operator,
    config: Configuration,
    directory: Path,
    server: str | None,
    trust: Trust,
    progress_factory: ProgressFactory,
) -> Backup:
    """Compare every file with the manifest, and every table of the restored database.

    A backup of PostgreSQL is restored into a server of its own, or into the empty database
    `server`, a URL, which is empty again afterwards. Raises BackupNotFound, BackupUntrusted,
    BackupDamaged, DatabaseNotEmpty, DatabaseToolUnusable and DatabaseToolFailed.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    manifest = load_manifest(directory, trust)
    check_files(directory, manifest, progress_factory)
    with _open_temporary(config, manifest, server):
        left_out = load_backup(directory, manifest)
    return Backup(directory, manifest, left_out)


def require_usable(manifest: Manifest, database: DatabaseSettings, option: str) -> None:
    """Raises UsageError and DatabaseToolUnusable before anything is changed."""
    given = "sqlite" if database["ENGINE"] == SQLITE else "postgresql"
    if manifest.database.kind != given:
        raise UsageError(
            f"The backup is of {manifest.database.kind}, and {option} names a database of {given}.",
            fix="Pass the URL of a database of the same kind.",
        )
    if given == "postgresql":
        _require_tool(manifest)


def _require_tool(manifest: Manifest) -> None:
    version = manifest.database.tool_version
    postgresql.require_tool("pg_restore", at_least=version, needed_by="the pg_dump of the backup")


@contextmanager
def _open_temporary(
    config: Configuration, manifest: Manifest, server: str | None
) -> Iterator[None]:
    """Use an empty database in place of the live one."""
    size = manifest.files[manifest.database.file].bytes
    with ExitStack() as stack:
        if manifest.database.kind == "sqlite":
            stack.enter_context(explain_full_disk(2 * size))
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="scaiwave-verify-"))
            server = f"sqlite:///{directory}/database.sqlite3"
        else:
            _require_tool(manifest)
            needed = _EMPTY_SERVER_BYTES + _GROWTH * size
            server = server or stack.enter_context(run_temporary_server(needed))
        settings = parse_target(config, server, _OPTION)[1]
        require_usable(manifest, settings, _OPTION)
        stack.enter_context(fill_database(settings, _OPTION, manifest.mark, is_kept=False))
        yield
