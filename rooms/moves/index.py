"""The index of a tenant's export: every file with its hash, signed by the server that wrote it.

    index.json
    rows/<sequence>/<table>.jsonl, rows/<sequence>/audit.jsonl
    rooms/<room-id>/0000.zip, 0001.zip and so on

No name of a file is taken from the index as it is: it names tables, rooms and the numbers of
increments, so that nothing leads out of the directory.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import rfc8785
from msgspec import Meta, Struct

from federation.errors import SignatureRefused
from federation.keys.signing import VerifyingKey, verify_file
from rooms.bundle.manifest.schema import Count, Id, Name, Sha256, Timestamp
from rooms.bundle.signature import Signer
from rooms.errors import TenantExportDamaged, TenantExportUntrusted
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressFactory
from scaiwave.core.errors import UsageError
from scaiwave.core.files import replace_file
from scaiwave.core.msgspec_decoders import register_structs
from scaiwave.core.signed_files import SignedFile, SignedFileError, add_signature, read_signed_file

INDEX = "index.json"
AUDIT = "audit"
_MAX_INDEX_BYTES = 512 * 1024 * 1024


class FileInfo(Struct, frozen=True):
    sha256: Sha256
    size: Count
    rows: Count = 0


class BundleInfo(Struct, frozen=True):
    """One bundle of a room, with the SHA-256 of its manifest."""

    name: Annotated[str, Meta(pattern=r"^[0-9]{4,6}\.zip\Z")]
    sha256: Sha256
    size: Count
    manifest_sha256: Sha256


class RoomEntry(Struct, frozen=True):
    """A room; without bundles, `reason` is why it is not exported."""

    id: Id
    name: str
    room_type: str
    events: Count
    media: Count = 0
    links: list[BundleInfo] = []
    reason: str | None = None


class TenantInfo(Struct, frozen=True):
    id: Id
    slug: Annotated[str, Meta(max_length=200)]
    name: Annotated[str, Meta(max_length=1000)]
    scaikey_tenant_id: str | None


class TenantIndex(Struct, frozen=True):
    """`sequence` counts the exports into this directory. `files` are by the name of their table.

    `frozen` means that no one could write in the tenant while it was exported. `elsewhere` says of
    each table without a file where its rows are, or why they are not exported.
    """

    format: Literal["scaiwave-tenant-export"]
    version: Literal[1]
    generator: Name
    server_name: Name
    sequence: Count
    begun_at: Timestamp
    snapshot_at: Timestamp
    frozen: bool
    tenant: TenantInfo
    files: dict[str, FileInfo]
    rooms: list[RoomEntry]
    elsewhere: dict[str, str]
    key_id: str
    algorithm: str
    signature: str = ""

    @property
    def exported(self) -> list[RoomEntry]:
        return [room for room in self.rooms if room.reason is None]

    @property
    def not_exported(self) -> list[RoomEntry]:
        return [room for room in self.rooms if room.reason is not None]

    def iter_files(self) -> Iterator[tuple[str, FileInfo | BundleInfo]]:
        """Yield every file by its name in the directory."""
        for name, info in self.files.items():
            yield name_rows(self.sequence, name), info
        for room in self.exported:
            for item in room.links:
                yield f"rooms/{room.id}/{item.name}", item

    def bundle_paths(self, directory: Path, room: RoomEntry) -> list[Path]:
        return [directory / "rooms" / room.id / item.name for item in room.links]


register_structs(TenantIndex)


def name_rows(sequence: int, table: str) -> str:
    return f"rows/{sequence:04}/{table}.jsonl"


def write_index(directory: Path, index: TenantIndex, signer: Signer) -> None:
    """Sign the index, and replace the file."""
    signed = add_signature(msgspec.to_builtins(index), signer.sign)
    replace_file(directory / INDEX, rfc8785.dumps(signed) + b"\n")


def find_index(directory: Path) -> TenantIndex | None:
    """Return the index of an earlier export into this directory; its signature is not verified."""
    return read_index(directory)[0] if (directory / INDEX).exists() else None


def read_index(directory: Path) -> tuple[TenantIndex, SignedFile]:
    """Return the index, whose signature is not verified. Raises `TenantExportDamaged`."""
    try:
        with _open(directory, INDEX) as file:
            raw = file.read(_MAX_INDEX_BYTES)
    except FileNotFoundError:
        raise UsageError(
            f"{directory} is not the export of a tenant: it has no {INDEX}.",
            fix="Name the --output-dir of `scaiwave admin export-tenant`.",
        ) from None
    try:
        index, document = read_signed_file(raw, TenantIndex, "begun_at", "snapshot_at")
    except SignedFileError as error:
        raise TenantExportDamaged(f"{INDEX} {error}.") from None
    if len({room.id for room in index.rooms}) < len(index.rooms):
        raise TenantExportDamaged(f"{INDEX} lists a room twice.")
    for room in index.exported:
        if not room.links or len({item.name for item in room.links}) < len(room.links):
            raise TenantExportDamaged(f"{INDEX} lists room {room.id} without a chain of bundles.")
    return index, document


def open_export(
    directory: Path,
    keys: Mapping[str, VerifyingKey],
    tables: Collection[str],
    progress_factory: ProgressFactory,
) -> tuple[TenantIndex, str]:
    """Verify the signature of the index, and the hash of every file that it lists.

    Returns the index, and who has signed it.
    Raises `TenantExportUntrusted`, `TenantExportDamaged` or `UsageError`.
    """
    index, document = read_index(directory)
    try:
        signer = verify_file(document, keys, index.snapshot_at)
    except SignatureRefused as error:
        raise TenantExportUntrusted(
            f"The signature of the export is not accepted. {error.message}", fix=error.fix
        ) from None
    if set(index.files) != {*tables, AUDIT}:
        raise TenantExportDamaged(
            f"{INDEX} does not list the tables of this release: it was written by "
            f"{index.generator}.",
            fix="Export and import with the same release.",
        )
    total, done = sum(info.size for _, info in index.iter_files()), 0
    with progress_factory("Checking files", ColumnType.BYTES) as progress:
        for name, info in index.iter_files():
            with _open(directory, name) as file:
                found = hash_file(file)
            if found != (info.sha256, info.size):
                raise TenantExportDamaged(
                    f"{name} is not the file that was exported: it has {found[1]:,} bytes and the "
                    f"SHA-256 {found[0]}."
                )
            done += info.size
            progress(done, total)
    return index, signer


def hash_file(file: BufferedReader) -> tuple[str, int]:
    return hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size


def _open(directory: Path, name: str) -> BufferedReader:
    """Open a regular file of the directory that no symbolic link leads to."""
    path = directory / name
    try:
        if path.resolve() != directory.resolve() / name or not path.is_file():
            path.stat()
            raise TenantExportDamaged(f"{name} is not a regular file of {directory}.")
        return path.open("rb")
    except FileNotFoundError:
        if name == INDEX:
            raise
        raise TenantExportDamaged(f"{name} is missing in {directory}.") from None
    except OSError as error:
        raise UsageError(f"{path} can't be read: {error.strerror}.") from None
