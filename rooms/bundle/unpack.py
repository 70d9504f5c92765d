"""The bytes of one entry, never more than it declares."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Any, BinaryIO, cast

from rooms.errors import BundleDamaged, DecompressionBomb

CHUNK = 256 * 1024
"""Bytes that are read, and unpacked, at once."""

_DEFLATED = 8


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """`packed` and `size` are in bytes; `data_at` is where its data begin in the file."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    data_at: int


class SharedFile:
    """One file that several readers read, each at its own place, in whatever thread."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = Lock()

    def read(self, at: int, count: int) -> bytes:
        with self._lock:
            self._file.seek(at)
            return self._file.read(count)


def iter_entry(file: SharedFile, entry: ZipEntry) -> Iterator[bytes]:
    """Raises `BundleDamaged` and `DecompressionBomb`; the checksum is known at the end only."""
    from isal.isal_zlib import crc32

    found_crc, found_size = 0, 0
    for chunk in _inflated(file, entry) if entry.method == _DEFLATED else _packed(file, entry):
        found_size += len(chunk)
        if found_size > entry.size:
            raise DecompressionBomb(
                f"The entry {entry.name} unpacks to more than the {entry.size:,} bytes that it "
                "declares.",
                entry=entry.name,
            )
        found_crc = crc32(chunk, found_crc)
        yield chunk
    if (found_crc, found_size) != (entry.crc, entry.size):
        raise _damaged(entry)


def _damaged(entry: ZipEntry) -> BundleDamaged:
    return BundleDamaged(
        f"The entry {entry.name} is damaged: its checksum is not what the archive says.",
        entry=entry.name,
    )


def _packed(file: SharedFile, entry: ZipEntry) -> Iterator[bytes]:
    done = 0
    while done < entry.packed:
        chunk = file.read(entry.data_at + done, min(CHUNK, entry.packed - done))
        if not chunk:
            raise _damaged(entry)
        done += len(chunk)
        yield chunk


def _inflated(file: SharedFile, entry: ZipEntry) -> Iterator[bytes]:
    from isal import isal_zlib

    inflater: Any = isal_zlib.decompressobj(wbits=-15)
    try:
        for chunk in _packed(file, entry):
            left = chunk
            while left and not inflater.eof:
                if data := inflater.decompress(left, CHUNK):
                    yield data
                left = inflater.unconsumed_tail
            if left:
                raise _damaged(entry)
        while not inflater.eof and (data := inflater.decompress(b"", CHUNK)):
            yield data
    except cast(type[Exception], isal_zlib.IsalError):  # its stub calls it an instance
        raise _damaged(entry) from None
    if not inflater.eof or inflater.unused_data:
        raise _damaged(entry)


class ZipEntryReader(io.RawIOBase):
    """An entry as a file to read from its beginning to its end."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            if (chunk := next(self._chunks, None)) is None:
                return 0
            self._left = memoryview(chunk)
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count
