"""The form of a backup: a directory with manifest.json, which lists every other file.

    manifest.json
    database.dump or database.sqlite3
    attachments/tenant/<id>/<sha256>     or attachments.jsonl, the list of a bucket
    secrets/env, secrets/secret-keys.env, and a pending registration

It is written as `.<name>.<random>.draft` and renamed once everything in it is on disk and was read
again. The lock on a draft ends with its process, so that a later backup can remove it.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Final, Literal

import msgspec
from msgspec import Meta

from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressFactory
from scaiwave.console.text import join_examples, pluralize
from scaiwave.core.errors import FileUnwritable
from scaiwave.core.files import (
    atomic_directory,
    create_private_file,
    make_directories,
    open_regular,
    remove_drafts_in,
    translate_write_errors,
)
from scaiwave.core.signatures import KnownKey
from scaiwave.core.signed_files import (
    SignedFileError,
    encode_document,
    read_signed_file,
    sign_document,
)
from scaiwave.extensions import SERVER_SIGNER
from scaiwave.operations.backup.errors import BackupDamaged, BackupNotFound
from scaiwave.operations.backup.tables import Count, TableContents
from scaiwave.operations.backup.trust import Trust
from scaiwave.storage.schema_version import MARK_PREFIX, OWN_APPS, require_known_migrations
from tenants.lookup.serializers import Row

MANIFEST = "manifest.json"
ATTACHMENTS, ATTACHMENT_LIST = "attachments", "attachments.jsonl"
SECRETS = "secrets"
FORMAT: Final = "scaiwave-backup"
VERSION = 1
CHUNK_BYTES = 1024 * 1024
PREFIX = "scaiwave-"
_ATTACHMENT = re.compile(rf"{ATTACHMENTS}/tenant/[0-9a-f-]{{36}}/[0-9a-f]{{64}}")
_MAX_LISTED = 3
_MAX_MANIFEST_BYTES = 512 * 1024**2
"""Of about two million attachments."""

Release = Annotated[str, Meta(pattern=r"^\d{1,4}\b")]
Name = Annotated[str, Meta(pattern=rf"^{PREFIX}[0-9TZ-]{{1,40}}\Z")]


class FileContents(msgspec.Struct, frozen=True):
    bytes: Count
    sha256: str


class DatabaseDump(msgspec.Struct, frozen=True):
    """`tool_version` is the version of pg_dump, or SQLite's. `migrations` are app.name."""

    kind: Literal["postgresql", "sqlite"]
    file: str
    server_version: Release
    tool_version: Release
    migrations: list[str]
    tables: dict[str, TableContents]


class Attachments(msgspec.Struct, frozen=True):
    """`kind` is `list` if they are in a bucket: then the backup does not contain them. `missing`
    are in the database, and not in the media store."""

    kind: Literal["files", "list"]
    count: Count
    bytes: Count
    missing: list[str]


class Manifest(msgspec.Struct, frozen=True):
    """`format` and `key_id`, of the key that signed it, are missing in backups before 0.4."""

    version: int
    name: Name
    created_at: Annotated[datetime, Meta(tz=True)]
    scaiwave_version: str
    server_name: str
    database: DatabaseDump
    attachments: Attachments
    has_secrets: bool
    files: dict[str, FileContents]
    format: Literal["scaiwave-backup"] = FORMAT
    key_id: str | None = None

    @property
    def mark(self) -> str:
        """The name of an incomplete restore of this backup."""
        return MARK_PREFIX + hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:16]

    @property
    def total_bytes(self) -> int:
        return sum(file.bytes for file in self.files.values())


@dataclass(frozen=True)
class Backup:
    """`left_out` are tables and columns that are not restored, since no migration makes them."""

    directory: Path
    manifest: Manifest
    left_out: list[str] = field(default_factory=list)

    def facts(self) -> Row:
        database, attachments = self.manifest.database, self.manifest.attachments
        return {
            "name": self.directory.name,
            "directory": str(self.directory),
            "created_at": self.manifest.created_at,
            "database": database.kind,
            "database_version": database.server_version,
            "tables": len(database.tables),
            "rows": sum(table.rows for table in database.tables.values()),
            "attachments": attachments.count,
            "attachment_bytes": attachments.bytes,
            "attachments_included": attachments.kind == "files",
            "attachments_missing": attachments.missing,
            "secrets_included": self.manifest.has_secrets,
            "size_bytes": self.manifest.total_bytes,
            "fingerprint": self.manifest.key_id,
        }

    def iter_warnings(self) -> Iterator[str]:
        """Yield what this backup lacks."""
        attachments = self.manifest.attachments
        if attachments.kind == "list":
            yield (
                f"The attachments are in a bucket, and {ATTACHMENT_LIST} only lists them. A list "
                "is not a copy: back up the bucket itself."
            )
        if missing := attachments.missing:
            count = pluralize(len(missing), "attachment")
            names = join_examples(missing[:_MAX_LISTED], len(missing))
            yield f"The media store lacked {count} of the database: {names}."
        if self.manifest.key_id is None:
            yield (
                "The backup is not signed, so nothing proves that no one has changed it. A server "
                "signs its backups once `scaiwave admin federation key generate` has made its key."
            )
        if self.left_out:
            names = join_examples(self.left_out[:_MAX_LISTED], len(self.left_out))
            yield f"Tables and columns that are not of this suite are left out: {names}."

    def list_warnings(self) -> list[str]:
        """Return what this copy lacks, which may have lost its secrets, or has more."""
        missing = (
            f"The backup has no {SECRETS}/. Unless this host has the keys and the configuration of "
            "the server, its private keys can't sign bundles, exports and seals, it must be "
            "registered with ScaiKey again, and everyone must sign in again."
        )
        warnings = [*self.iter_warnings(), *([] if has_secrets(self.directory) else [missing])]
        paths = (path for path in self.directory.rglob("*") if not path.is_dir())
        found = {path.relative_to(self.directory).as_posix() for path in paths}
        if more := sorted(found - self.manifest.files.keys() - {MANIFEST}):
            names = join_examples(more[:_MAX_LISTED], len(more))
            warnings.append(f"Files that {MANIFEST} does not list are not used: {names}.")
        return warnings


class BackupDraft:
    """A backup that is being written. `files` has the files that are complete and synced."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.name = name
        self.files: dict[str, FileContents] = {}

    def write(
        self, name: str, chunks: Iterable[bytes], advance: Callable[[int, None], None] | None = None
    ) -> int:
        """Write one file, readable by this user only, and return its size.

        `advance` gets the bytes so far. Raises DiskFull and FileUnwritable.
        """
        path = self.directory / name
        digest, size = hashlib.sha256(), 0
        with translate_write_errors(path):
            make_directories(path.parent)
            descriptor = create_private_file(path)
        # Without a buffer, which closing the file would try to write to a full disk again.
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                rest = memoryview(chunk)
                with translate_write_errors(path):
                    while rest:
                        rest = rest[file.write(rest) :]
                if advance:
                    advance(size, None)
            with translate_write_errors(path):
                os.fsync(descriptor)
        self.files[name] = FileContents(size, digest.hexdigest())
        return size

    def add(self, name: str) -> None:
        """List a file that another library has written."""
        path = self.directory / name
        with translate_write_errors(path), path.open("rb") as file:
            os.fsync(file.fileno())
            size, digest = os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256")
            self.files[name] = FileContents(size, digest.hexdigest())

    def finish(
        self, manifest: Manifest, key: KnownKey | None, progress_factory: ProgressFactory
    ) -> None:
        """Read everything again, and write the manifest, signed unless there is no key."""
        check_files(self.directory, manifest, progress_factory)
        content = msgspec.to_builtins(manifest)
        if key is None:
            document = encode_document(content)
        else:
            signer = SERVER_SIGNER.load()()
            document = sign_document(content, signer, key, manifest.created_at)
        self.write(MANIFEST, [document])


@contextmanager
def create_directory(parent: Path, now: datetime) -> Iterator[BackupDraft]:
    """Yield a draft, which gets its name at the end, and is removed after an exception.

    Drafts of killed processes are removed first. The parent must exist: a disk that is not mounted
    must not fill the one below it.
    """
    if not parent.is_dir():
        raise FileUnwritable(
            f"{parent} is not a directory.",
            fix=("Name" if parent.exists() else f"Create {parent}, or name")
            + " another directory.",
        )
    remove_drafts_in(parent)
    name = first = f"{PREFIX}{now:%Y%m%dT%H%M%SZ}"
    number = 1
    # Two backups may begin in the same second.
    while (parent / name).exists() or any(parent.glob(f".{name}.*")):
        number += 1
        name = f"{first}-{number}"
    with atomic_directory(parent / name) as directory:
        yield BackupDraft(directory, name)


def load_manifest(directory: Path, trust: Trust) -> Manifest:
    """Raises BackupNotFound, BackupUntrusted, BackupDamaged, and DatabaseNewer."""
    path = directory / MANIFEST
    try:
        with open_regular(path, os.O_NOFOLLOW) as file:
            if os.fstat(file.fileno()).st_size > _MAX_MANIFEST_BYTES:
                raise BackupDamaged(f"{path} has more than {_MAX_MANIFEST_BYTES:,} bytes.")
            text = file.read()
    except OSError as error:
        raise BackupNotFound(
            f"{directory} is not a backup: {MANIFEST} can't be read: {error.strerror}."
        ) from None
    try:
        manifest, document = read_signed_file(text, Manifest)
        manifest.created_at.astimezone(UTC)
    except (SignedFileError, OverflowError) as error:
        raise BackupDamaged(f"{path} {error}.") from None
    trust.require(document, FORMAT, path)
    manifest = msgspec.structs.replace(
        manifest,
        key_id=manifest.key_id if document.is_signed else None,
        has_secrets=manifest.has_secrets and has_secrets(directory),
    )
    if manifest.version != VERSION:
        raise BackupNotFound(
            f"{directory} has the form {manifest.version} of backups, and this release reads only "
            f"{VERSION}.",
            fix="Use the release that has created it, or a later one.",
        )
    for name in manifest.files:
        parts = PurePosixPath(name).parts
        if not parts or name.startswith("/") or ".." in parts or "\0" in name:
            raise BackupDamaged(f"{path} lists a file outside of the backup: {name!r}.")
        if parts[0] == ATTACHMENTS and not _ATTACHMENT.fullmatch(name):
            raise BackupDamaged(f"{path} lists a file that is not an attachment: {name!r}.")
    if manifest.database.file not in manifest.files:
        raise BackupDamaged(f"{path} does not list the database, {manifest.database.file!r}.")
    own = [name for name in manifest.database.migrations if name.startswith(OWN_APPS)]
    require_known_migrations(own, subject="The server of the backup")
    return manifest


def has_secrets(directory: Path) -> bool:
    return os.path.lexists(directory / SECRETS)


def check_files(
    directory: Path, manifest: Manifest, progress_factory: ProgressFactory, *, tolerates: str = ""
) -> dict[str, BackupDamaged]:
    """Compare size and SHA-256 of every file. Raises BackupDamaged, which names the first fault.

    Faults of files in the directory `tolerates` are returned by the name of the file. A copy may
    lack all secrets.
    """
    done, faults = 0, {}
    with progress_factory("Reading the backup", ColumnType.BYTES) as advance:
        for name, expected in manifest.files.items():
            if name.startswith(f"{SECRETS}/") and not has_secrets(directory):
                continue
            try:
                deque(iter_checked(directory, name, expected), 0)
            except BackupDamaged as fault:
                if not tolerates or not name.startswith(f"{tolerates}/"):
                    raise
                faults[name] = fault
            done += expected.bytes
            advance(done, manifest.total_bytes)
    return faults


def iter_checked(directory: Path, name: str, expected: FileContents) -> Iterator[bytes]:
    """Yield the bytes of a file. Raises BackupDamaged at its end if they are others."""
    path = directory / name
    digest, size = hashlib.sha256(), 0
    try:
        if path.resolve() != directory.resolve() / name:
            raise BackupDamaged(f"{path} is reached by a symbolic link.")
        for chunk in iter_chunks(open_regular(path, os.O_NOFOLLOW)):
            digest.update(chunk)
            size += len(chunk)
            yield chunk
    except OSError as error:
        raise BackupDamaged(f"{path} can't be read: {error.strerror}.") from None
    if (found := FileContents(size, digest.hexdigest())) != expected:
        raise BackupDamaged(
            f"{path} was changed: it has {found.bytes:,} bytes and the SHA-256 {found.sha256} "
            f"instead of {expected.bytes:,} bytes and {expected.sha256}."
        )


def iter_chunks(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the bytes of a file, and close it at the end."""
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
