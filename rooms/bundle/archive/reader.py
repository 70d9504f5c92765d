"""Open a bundle's archive: validated as a whole before the first byte of an entry is read.

`_read_records` checks the records of the central directory; `_locate_entries` checks that the
entries cover the file without gaps and without sharing a byte, so that no two programs can find
different content in it; `iter_content` decompresses one entry, never to more than it declares.
"""

from __future__ import annotations

import io
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from threading import Lock
from typing import Any, BinaryIO, cast

from rooms.bundle.archive.records import (
    FULL_32,
    LOCAL,
    CentralDirectory,
    CentralDirectoryRecord,
    apply_zip64,
    read_central_directory,
    read_record,
)
from rooms.bundle.format import (
    MANIFEST,
    MAX_COMPRESSION_RATIO,
    MAX_MEDIA,
    MIB,
    MIN_RATIO_CHECKED_BYTES,
    collision_key,
    parse_entry_name,
)
from rooms.errors import (
    BundleBadName,
    BundleDamaged,
    BundleDuplicate,
    BundleEncrypted,
    BundleNotZip,
    BundleTooLarge,
    DecompressionBomb,
)

CHUNK_BYTES = 256 * 1024
"""Bytes read, and decompressed, at a time."""

_MAX_ENTRIES = MAX_MEDIA + 2
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_HAS_DESCRIPTOR = 0x0008
_UTF8 = 0x0800
# Compression level, sizes after the data, and UTF-8.
_KNOWN_FLAGS = 0x0002 | 0x0004 | _HAS_DESCRIPTOR | _UTF8
_DEFLATED = 8
_METHODS = (0, _DEFLATED)
_ENCRYPTED_METHOD = 99
_DOS_DIRECTORY = 0x10
# By length of a data descriptor: its signature, and the bytes of each size.
_DESCRIPTORS = {12: (b"", 4), 16: (b"PK\7\b", 4), 20: (b"", 8), 24: (b"PK\7\b", 8)}


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """Sizes are in bytes; `data_offset` is where the data begins in the file."""

    name: str
    method: int
    crc: int
    compressed_size: int
    size: int
    data_offset: int


class Archive:
    """The entries by name, in the order of their bytes."""

    def __init__(self, file: BinaryIO, max_bytes: int) -> None:
        """The file must be seekable.

        `max_bytes` limits the archive, and the sum of its decompressed entries. Raises
        `BundleError`.
        """
        try:
            size = file.seek(0, 2)
        except OSError as error:
            raise BundleNotZip(f"Can't read the bundle: {error.strerror}.") from None
        if size > max_bytes:
            raise BundleTooLarge(f"The bundle is larger than {max_bytes // MIB:,} MiB.")
        directory = read_central_directory(file, size)
        records = _read_records(file, directory, max_bytes)
        self.entries = _locate_entries(file, records, directory.offset)
        self._file = SharedFile(file)

    def iter_entry(self, name: str) -> Iterator[bytes]:
        """Yield the content of an entry; size and checksum are checked at its end.

        Raises `BundleDamaged` or `DecompressionBomb`.
        """
        return iter_content(self._file, self.entries[name])


# The central directory.


def _read_records(
    file: BinaryIO, directory: CentralDirectory, max_bytes: int
) -> dict[str, CentralDirectoryRecord]:
    if directory.count > _MAX_ENTRIES:
        raise BundleTooLarge(
            f"The archive has {directory.count:,} entries (maximum {_MAX_ENTRIES:,}).", fix=""
        )
    records: dict[str, CentralDirectoryRecord] = {}
    names: dict[str, str] = {}
    remaining = directory.size
    file.seek(directory.offset)
    for _ in range(directory.count):
        record = read_record(file)
        remaining -= record.length
        name = _check_record(record)
        key = collision_key(name)
        if (other := names.get(key)) is not None:
            problem = f"The archive has two entries named {name}."
            if name != other:
                problem = (
                    f"Entries {other} and {name} differ only in case or in the form of a character."
                )
            raise BundleDuplicate(problem, entry=name)
        names[key] = name
        records[name] = record
    if remaining:
        raise BundleDamaged("The archive's directory has more entries than its end record says.")
    if MANIFEST not in records:
        raise BundleDamaged(f"The archive has no {MANIFEST}.", entry=MANIFEST)
    _check_sizes(records, max_bytes)
    return records


def _check_record(record: CentralDirectoryRecord) -> str:
    """Return the name of the entry. Raises `BundleError` for a problem of the record itself."""
    name = parse_entry_name(record.raw_name, is_utf8=bool(record.flags & _UTF8))
    if record.flags & _ENCRYPTED or record.method == _ENCRYPTED_METHOD:
        raise BundleEncrypted(f"Entry {name} is encrypted.", entry=name)
    if record.method not in _METHODS or record.flags & ~_KNOWN_FLAGS:
        raise BundleDamaged(
            f"Entry {name} uses an unsupported compression (method {record.method}).", entry=name
        )
    file_type = stat.S_IFMT(record.attributes >> 16)
    if file_type not in (0, stat.S_IFREG) or record.attributes & _DOS_DIRECTORY:
        raise BundleBadName(f"Entry {name} is a link or another special file.", entry=name)
    return name


def _check_sizes(records: dict[str, CentralDirectoryRecord], max_bytes: int) -> None:
    for name, record in records.items():
        if record.size > MIN_RATIO_CHECKED_BYTES and (
            record.size > MAX_COMPRESSION_RATIO * record.compressed_size
        ):
            raise DecompressionBomb(
                f"Entry {name} decompresses from {record.compressed_size:,} to {record.size:,} "
                f"bytes, which is more than {MAX_COMPRESSION_RATIO} to 1.",
                entry=name,
            )
    if sum(record.size for record in records.values()) > max_bytes:
        raise BundleTooLarge(f"The bundle decompresses to more than {max_bytes // MIB:,} MiB.")


# The local headers, which have the position of the data of each entry.


def _locate_entries(
    file: BinaryIO, records: dict[str, CentralDirectoryRecord], end: int
) -> dict[str, ZipEntry]:
    """Return the entries in the order of their bytes; `end` is where the directory begins."""
    entries: dict[str, ZipEntry] = {}
    ordered = sorted(records.items(), key=lambda item: item[1].offset)
    ends = [*(record.offset for _, record in ordered[1:]), end]
    if ordered[0][1].offset:
        raise BundleDamaged("The archive has bytes before its first entry.")
    for (name, record), next_offset in zip(ordered, ends, strict=True):
        data_offset = _check_local_header(file, name, record)
        _check_gap(file, name, record, data_offset + record.compressed_size, next_offset)
        entries[name] = ZipEntry(
            name, record.method, record.crc, record.compressed_size, record.size, data_offset
        )
    return entries


def _check_local_header(file: BinaryIO, name: str, record: CentralDirectoryRecord) -> int:
    """Return where the data begins, after a header that agrees with the directory."""
    file.seek(record.offset)
    raw = file.read(LOCAL.size)
    if len(raw) < LOCAL.size or not raw.startswith(b"PK\3\4"):
        raise BundleDamaged(f"Entry {name} is not where the directory says.", entry=name)
    (_, _, flags, method, _, _, crc, compressed_size, size, name_length,
     extra_length) = LOCAL.unpack(raw)  # fmt: skip
    raw_name, extra = file.read(name_length), file.read(extra_length)
    if (raw_name, flags, method) != (record.raw_name, record.flags, record.method):
        raise _build_mismatch_error(name)
    compressed_size, size = apply_zip64(
        raw_name, extra, ((compressed_size, FULL_32), (size, FULL_32))
    )
    pairs = (
        (crc, record.crc),
        (compressed_size, record.compressed_size),
        (size, record.size),
    )
    # Zero if a data descriptor follows the data.
    if any(a != b and not (flags & _HAS_DESCRIPTOR and a == 0) for a, b in pairs):
        raise _build_mismatch_error(name)
    return record.offset + LOCAL.size + len(raw_name) + len(extra)


def _build_mismatch_error(name: str) -> BundleDamaged:
    return BundleDamaged(
        f"The local header of entry {name} does not match the archive's directory.", entry=name
    )


def _check_gap(
    file: BinaryIO, name: str, record: CentralDirectoryRecord, data_end: int, next_offset: int
) -> None:
    """Only a data descriptor may stand between the end of the data and the next entry."""
    gap = next_offset - data_end
    if gap < 0:
        raise DecompressionBomb(f"Entry {name} overlaps another entry.", entry=name)
    if not record.flags & _HAS_DESCRIPTOR:
        if gap:
            raise BundleDamaged(f"Bytes after entry {name} do not belong to any entry.", entry=name)
        return
    if gap not in _DESCRIPTORS:
        raise BundleDamaged(f"The sizes after the data of entry {name} are missing.", entry=name)
    signature, width = _DESCRIPTORS[gap]
    expected = signature + record.crc.to_bytes(4, "little")
    for value in (record.compressed_size, record.size):
        expected += (value & (2 ** (8 * width) - 1)).to_bytes(width, "little")
    file.seek(data_end)
    if file.read(gap) != expected:
        raise _build_mismatch_error(name)


# The content of an entry.


class SharedFile:
    """A file that several readers read, each at its own position and in its own thread."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = Lock()

    def read(self, offset: int, count: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            return self._file.read(count)


def hash_chunks(chunks: Iterable[bytes]) -> tuple[str, int]:
    """Return the SHA-256 and the number of the bytes."""
    digest, size = sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def iter_content(file: SharedFile, entry: ZipEntry) -> Iterator[bytes]:
    """Raises `BundleDamaged` or `DecompressionBomb`."""
    from isal.isal_zlib import crc32

    crc, size = 0, 0
    chunks = _decompress(file, entry) if entry.method == _DEFLATED else _read_raw(file, entry)
    for chunk in chunks:
        size += len(chunk)
        if size > entry.size:
            raise DecompressionBomb(
                f"Entry {entry.name} decompresses to more than the {entry.size:,} bytes that it "
                "declares.",
                entry=entry.name,
            )
        crc = crc32(chunk, crc)
        yield chunk
    if (crc, size) != (entry.crc, entry.size):
        raise _build_damaged_error(entry)


def _build_damaged_error(entry: ZipEntry) -> BundleDamaged:
    return BundleDamaged(
        f"Entry {entry.name} is damaged: its checksum does not match.", entry=entry.name
    )


def _read_raw(file: SharedFile, entry: ZipEntry) -> Iterator[bytes]:
    done = 0
    while done < entry.compressed_size:
        count = min(CHUNK_BYTES, entry.compressed_size - done)
        chunk = file.read(entry.data_offset + done, count)
        if not chunk:
            raise _build_damaged_error(entry)
        done += len(chunk)
        yield chunk


def _decompress(file: SharedFile, entry: ZipEntry) -> Iterator[bytes]:
    from isal import isal_zlib

    decompressor: Any = isal_zlib.decompressobj(wbits=-15)
    try:
        for chunk in _read_raw(file, entry):
            remaining = chunk
            while remaining and not decompressor.eof:
                if data := decompressor.decompress(remaining, CHUNK_BYTES):
                    yield data
                remaining = decompressor.unconsumed_tail
            if remaining:
                raise _build_damaged_error(entry)
        while not decompressor.eof and (data := decompressor.decompress(b"", CHUNK_BYTES)):
            yield data
    except cast(type[Exception], isal_zlib.IsalError):  # its stub calls it an instance
        raise _build_damaged_error(entry) from None
    if not decompressor.eof or decompressor.unused_data:
        raise _build_damaged_error(entry)


class ZipEntryReader(io.RawIOBase):
    """An entry as a file, to read once from beginning to end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._pending = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._pending:
            if (chunk := next(self._chunks, None)) is None:
                return 0
            self._pending = memoryview(chunk)
        count = min(len(buffer), len(self._pending))
        buffer[:count] = self._pending[:count]
        self._pending = self._pending[count:]
        return count
