"""The form of a backup: a directory with manifest.json, which lists every other file.

    manifest.json
    database.dump or database.sqlite3
    attachments/tenant/<id>/<sha256>     or attachments.jsonl, the list of a bucket
    secrets/env, secrets/secret-keys.env, and a pending registration

It is written as `.<name>.<random>.draft` and renamed once everything in it is on disk and was read
again. The lock on a draft ends with its process, so that a later backup can remove it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

import msgspec

from scaiwave.console.columns import ColumnType
from scaiwave.console.output import to_json
from scaiwave.console.progress import ProgressFactory
from scaiwave.core.errors import FileUnwritable
from scaiwave.core.files import (
    DRAFT_SUFFIX,
    create_private_file,
    make_directories,
    sync_directory,
    translate_write_errors,
)
from scaiwave.operations.backup.errors import BackupDamaged, BackupNotFound
from scaiwave.operations.backup.tables import TableContents

MANIFEST = "manifest.json"
VERSION = 1
CHUNK_BYTES = 1024 * 1024
PREFIX = "scaiwave-"


class FileContents(msgspec.Struct, frozen=True):
    bytes: int
    sha256: str


class DatabaseDump(msgspec.Struct, frozen=True):
    """`tool_version` is the version of pg_dump; empty for SQLite. `migrations` are app.name."""

    kind: Literal["postgresql", "sqlite"]
    file: str
    server_version: str
    tool_version: str
    migrations: list[str]
    tables: dict[str, TableContents]

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())


class Attachments(msgspec.Struct, frozen=True):
    """`kind` is `list` if they are in a bucket: then the backup does not contain them."""

    kind: Literal["files", "list"]
    count: int
    bytes: int


class Manifest(msgspec.Struct, frozen=True):
    version: int
    name: str
    created_at: datetime
    scaiwave_version: str
    server_name: str
    database: DatabaseDump
    attachments: Attachments
    has_secrets: bool
    files: dict[str, FileContents]

    @property
    def total_bytes(self) -> int:
        return sum(file.bytes for file in self.files.values())


class BackupDraft:
    """A backup that is being written. `files` has the files that are complete and synced."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.name = name
        self.files: dict[str, FileContents] = {}

    def write(self, name: str, chunks: Iterable[bytes]) -> FileContents:
        """Write one file, readable by this user only. Raises DiskFull and FileUnwritable."""
        path = self.directory / name
        digest, size = sha256(), 0
        with translate_write_errors(path):
            make_directories(path.parent)
            descriptor = create_private_file(path)
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                with translate_write_errors(path):
                    _write_all(file.fileno(), chunk)
            with translate_write_errors(path):
                os.fsync(file.fileno())
        self.files[name] = contents = FileContents(size, digest.hexdigest())
        return contents

    def add(self, name: str) -> None:
        """List a file that another library has written."""
        path = self.directory / name
        with translate_write_errors(path), path.open("rb") as file:
            os.fsync(file.fileno())
        self.files[name] = _hash_file(path)


def _write_all(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]


@contextmanager
def create_directory(parent: Path, now: datetime) -> Iterator[BackupDraft]:
    """Yield a draft, which gets its name at the end, and is removed after an exception.

    Drafts of killed processes are removed first. The parent must exist: a disk that is not mounted
    must not fill the one below it.
    """
    if not parent.is_dir():
        raise FileUnwritable(
            f"{parent} is not a directory.", fix=f"Create {parent}, or name another directory."
        )
    name = f"{PREFIX}{now:%Y%m%dT%H%M%SZ}"
    path = parent / f".{name}.{secrets.token_hex(8)}{DRAFT_SUFFIX}"
    with translate_write_errors(path):
        _remove_abandoned(parent)
        path.mkdir(mode=0o700)
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        draft = BackupDraft(path, name)
        yield draft
        with translate_write_errors(path):
            for directory, _, _ in os.walk(path):
                sync_directory(Path(directory))
            draft.directory = _rename(path, parent / name)
            draft.name = draft.directory.name
            sync_directory(parent)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def _rename(path: Path, target: Path) -> Path:
    """Two backups may begin in the same second; a directory with files is never replaced."""
    number, free = 1, target
    while free.exists():
        number += 1
        free = target.with_name(f"{target.name}-{number}")
    return path.rename(free)


def _remove_abandoned(parent: Path) -> None:
    for draft in parent.glob(f".{PREFIX}*{DRAFT_SUFFIX}"):
        # Another user's draft is theirs to remove.
        with suppress(OSError):
            lock = os.open(draft, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(draft)
            finally:
                os.close(lock)


def write_manifest(draft: BackupDraft, manifest: Manifest) -> None:
    text = to_json(msgspec.to_builtins(manifest))
    draft.write(MANIFEST, [text.encode(), b"\n"])


def load_manifest(directory: Path) -> Manifest:
    """Raises BackupNotFound and BackupDamaged."""
    try:
        text = (directory / MANIFEST).read_bytes()
    except OSError as error:
        raise BackupNotFound(
            f"{directory} is not a backup: {MANIFEST} can't be read: {error.strerror}."
        ) from None
    try:
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BackupDamaged(f"{directory / MANIFEST} can't be read: {error}.") from None
    if manifest.version != VERSION:
        raise BackupNotFound(
            f"{directory} has the form {manifest.version} of backups, and this release reads only "
            f"{VERSION}.",
            fix="Use the release that has created it, or a later one.",
        )
    for name in (*manifest.files, manifest.database.file):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise BackupDamaged(f"{directory / MANIFEST} lists a file outside of it: {name!r}.")
    return manifest


def check_files(directory: Path, manifest: Manifest, progress_factory: ProgressFactory) -> None:
    """Compare size and SHA-256 of every file. Raises BackupDamaged, which names the first fault."""
    done = 0
    with progress_factory("Reading the backup", ColumnType.BYTES) as advance:
        for name, expected in manifest.files.items():
            path = directory / name
            try:
                found = _hash_file(path)
            except OSError as error:
                raise BackupDamaged(f"{path} can't be read: {error.strerror}.") from None
            if found != expected:
                raise BackupDamaged(
                    f"{path} was changed: it has {found.bytes:,} bytes and the SHA-256 "
                    f"{found.sha256} instead of {expected.bytes:,} bytes and {expected.sha256}."
                )
            done += found.bytes
            advance(done, manifest.total_bytes)


def iter_chunks(path: Path) -> Iterator[bytes]:
    """Open a file at once, and return an iterator of its bytes."""
    return _read(path.open("rb"))


def _read(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _hash_file(path: Path) -> FileContents:
    digest, size = sha256(), 0
    for chunk in iter_chunks(path):
        digest.update(chunk)
        size += len(chunk)
    return FileContents(size, digest.hexdigest())
