"""A bundle's archive: checked as a whole before the first byte of an entry is read."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from rooms.bundle.archive.records import (
    CentralDirectory,
    CentralDirectoryRecord,
    read_central_directory,
    read_record,
)
from rooms.bundle.entry_names import collision_key, entry_name
from rooms.bundle.format import (
    MANIFEST,
    MIB,
    MOST_MEDIA,
    MOST_RATIO,
    RATIO_COUNTS_FROM,
)
from rooms.bundle.local_headers import locate_entries
from rooms.bundle.unpack import SharedFile, iter_entry
from rooms.errors import (
    BundleBadName,
    BundleDamaged,
    BundleDuplicate,
    BundleEncrypted,
    BundleTooLarge,
    DecompressionBomb,
)

_MOST_ENTRIES = MOST_MEDIA + 2
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_UTF8 = 0x0800
# How it was deflated, whether sizes stand behind the data, and UTF-8.
_KNOWN_FLAGS = 0x0002 | 0x0004 | 0x0008 | _UTF8
_METHODS = (0, 8)
_ENCRYPTED_METHOD = 99
_DOS_FOLDER = 0x10


@dataclass(frozen=True)
class Limits:
    """`most_bytes` is of the archive, packed and unpacked."""

    most_bytes: int


class Archive:
    """The entries, by name, in the order of their bytes."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        """Raises what `BundleError` has for archives. The file must be seekable."""
        size = file.seek(0, 2)
        if size > limits.most_bytes:
            raise BundleTooLarge(f"The bundle is larger than {limits.most_bytes // MIB:,} MiB.")
        directory = read_central_directory(file, size)
        records = _checked(file, directory, limits)
        self.entries = locate_entries(file, records, directory.offset)
        self._file = SharedFile(file)

    def chunks(self, name: str) -> Iterator[bytes]:
        """What an entry holds, checked against size and checksum when it has ended.

        Raises `BundleDamaged` and `DecompressionBomb`.
        """
        return iter_entry(self._file, self.entries[name])


def _checked(
    file: BinaryIO, directory: CentralDirectory, limits: Limits
) -> dict[str, CentralDirectoryRecord]:
    if directory.count > _MOST_ENTRIES:
        raise BundleTooLarge(
            f"The archive has {directory.count:,} entries; {_MOST_ENTRIES:,} are the most.",
            fix="",
        )
    records: dict[str, CentralDirectoryRecord] = {}
    names: dict[str, str] = {}
    left = directory.size
    file.seek(directory.offset)
    for _ in range(directory.count):
        record = read_record(file)
        left -= record.length
        name = _checked_record(record)
        key = collision_key(name)
        if key in names:
            raise _duplicate(name, names[key])
        names[key] = name
        records[name] = record
    if left:
        raise BundleDamaged("The archive's directory has more entries than it says.")
    if MANIFEST not in records:
        raise BundleDamaged(f"The archive has no {MANIFEST}.", entry=MANIFEST)
    _check_sizes(records, limits)
    return records


def _checked_record(record: CentralDirectoryRecord) -> str:
    """Its name. Raises what is wrong with it by itself."""
    name = entry_name(record.raw_name, is_utf8=bool(record.flags & _UTF8))
    if record.flags & _ENCRYPTED or record.method == _ENCRYPTED_METHOD:
        raise BundleEncrypted(f"The entry {name} is encrypted.", entry=name)
    if record.method not in _METHODS or record.flags & ~_KNOWN_FLAGS:
        raise BundleDamaged(
            f"The entry {name} is packed in a way that no bundle is (method {record.method}).",
            entry=name,
        )
    kind = stat.S_IFMT(record.attributes >> 16)
    if kind not in (0, stat.S_IFREG) or record.attributes & _DOS_FOLDER:
        raise BundleBadName(f"The entry {name} is a link or another special file.", entry=name)
    return name


def _duplicate(name: str, other: str) -> BundleDuplicate:
    if name == other:
        return BundleDuplicate(f"The archive has the entry {name} twice.", entry=name)
    return BundleDuplicate(
        f"The entries {other} and {name} differ in case or in the form of a character alone.",
        entry=name,
    )


def _check_sizes(records: dict[str, CentralDirectoryRecord], limits: Limits) -> None:
    for name, record in records.items():
        if record.size > RATIO_COUNTS_FROM and record.size > MOST_RATIO * record.packed:
            raise DecompressionBomb(
                f"The entry {name} unpacks to {record.size:,} bytes from {record.packed:,}, which "
                f"is more than {MOST_RATIO} to 1.",
                entry=name,
            )
    if sum(record.size for record in records.values()) > limits.most_bytes:
        raise BundleTooLarge(
            f"Unpacked, the bundle is larger than {limits.most_bytes // MIB:,} MiB."
        )
