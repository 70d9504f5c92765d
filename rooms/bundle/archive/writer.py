"""Write a ZIP file as a stream: nothing is read back, so it can go to a pipe.

Every entry is deflated and has its sizes after the data (APPNOTE 4.3.9), in 64 bits if 32 are too
few: programs that read from a pipe, such as Java's, choose between the two by the bytes they
decompressed. Incompressible bytes become deflate's stored blocks, because an entry of method
"stored" whose size comes later can't be read from a pipe. Memory holds one record per entry, of its
name and about a hundred bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from hashlib import sha256
from itertools import chain, islice
from struct import Struct, pack
from typing import Protocol, TypeVar

from isal import isal_zlib

from rooms.bundle.archive.records import CENTRAL, END, END_64, FULL_16, FULL_32, LOCAL, LOCATOR_64
from rooms.bundle.format import MAX_COMPRESSION_RATIO

Buffer = bytes | bytearray
Item = TypeVar("Item")
Result = TypeVar("Result")

_DESCRIPTOR = Struct("<4sIII")
_DESCRIPTOR_64 = Struct("<4sIQQ")
_EXTRA = Struct("<HH")

_VERSION = 20  # the first one with deflate
_VERSION_64 = 45  # the first one with 64-bit sizes
_MADE_BY_UNIX = 3 << 8 | _VERSION_64
_FLAGS = 0x0808  # names in UTF-8, sizes after the data
_DEFLATED = 8
_MODE = 0o100600 << 16  # a regular file, readable by its owner only
_SIZES_64 = 1  # ID of the extra field
_MIN_YEAR, _MAX_YEAR = 1980, 2107
_MIN_PIECE_BYTES = 256 * 1024
"""Smaller pieces are joined: a tenant may have many small rooms, a room many small files."""


class Compressor(Protocol):
    def compress(self, data: Buffer, /) -> bytes: ...
    def flush(self) -> bytes: ...


class StoredCompressor:
    """Deflate without compression (RFC 1951, 3.2.4), for media that is compressed already."""

    _MAX_BLOCK_BYTES = 0xFFFF
    _BLOCK = Struct("<BHH")

    def compress(self, data: Buffer, /) -> bytes:
        view = memoryview(data)
        pieces: list[bytes | memoryview] = []
        for start in range(0, len(view), self._MAX_BLOCK_BYTES):
            block = view[start : start + self._MAX_BLOCK_BYTES]
            inverted = len(block) ^ self._MAX_BLOCK_BYTES
            pieces += (self._BLOCK.pack(0, len(block), inverted), block)
        return b"".join(pieces)

    def flush(self) -> bytes:
        return self._BLOCK.pack(1, 0, self._MAX_BLOCK_BYTES)


class DeflateCompressor:
    """For text: four times as fast as zlib's lowest level, and smaller.

    A piece that would shrink to almost nothing is stored, because an import refuses an archive
    with an extreme compression ratio. The decoder sees the same bytes either way, so later pieces
    can refer to them.
    """

    def __init__(self) -> None:
        self._deflate = isal_zlib.compressobj(2, isal_zlib.DEFLATED, -15)
        self._stored = StoredCompressor()

    def compress(self, data: Buffer, /) -> bytes:
        # After a flush a piece ends at a byte boundary, so stored blocks can replace it.
        packed: bytes = self._deflate.compress(data) + self._deflate.flush(isal_zlib.Z_SYNC_FLUSH)
        if len(data) > MAX_COMPRESSION_RATIO // 2 * len(packed):
            return self._stored.compress(data)
        return packed

    def flush(self) -> bytes:
        last: bytes = self._deflate.flush()
        return last


class ZipStreamWriter:
    """Call `encode_entry` for each entry, then `encode_end`, and send the chunks on."""

    def __init__(self, modified_at: datetime) -> None:
        # ZIP's form: steps of two seconds, no time zone; first the time, then the date.
        time = modified_at.hour << 11 | modified_at.minute << 5 | modified_at.second // 2
        year = min(max(modified_at.year, _MIN_YEAR), _MAX_YEAR) - _MIN_YEAR
        self._date_and_time = time, year << 9 | modified_at.month << 5 | modified_at.day
        self._offset = 0
        self._directory: list[bytes] = []

    def encode_entry(
        self, name: str, chunks: Iterable[Buffer], compressor: Compressor
    ) -> Generator[bytes, None, tuple[str, int]]:
        """Return the SHA-256 and the size of the content."""
        entry_offset, encoded_name = self._offset, name.encode()
        # The checksum and the sizes are zero; they follow the data.
        fixed = (_VERSION, _FLAGS, _DEFLATED, *self._date_and_time, 0, 0, 0)
        header = LOCAL.pack(b"PK\x03\x04", *fixed, len(encoded_name), 0)
        pending = self._count(header + encoded_name)
        data_offset, digest, crc, size = self._offset, sha256(), 0, 0

        def compress(chunk: Buffer) -> bytes:
            nonlocal crc, size
            digest.update(chunk)
            crc = isal_zlib.crc32(chunk, crc)
            size += len(chunk)
            return compressor.compress(chunk)

        for packed in map_in_background(compress, join_small(chunks)):
            pending += self._count(packed)
            if len(pending) >= _MIN_PIECE_BYTES:
                yield pending
                pending = b""
        pending += self._count(compressor.flush())
        sizes = (size, self._offset - data_offset)
        descriptor = _DESCRIPTOR_64 if max(sizes) >= FULL_32 else _DESCRIPTOR
        yield pending + self._count(descriptor.pack(b"PK\x07\x08", crc, *reversed(sizes)))
        self._directory.append(
            _encode_central_header(
                encoded_name, self._date_and_time, crc, sizes=sizes, offset=entry_offset
            )
        )
        return digest.hexdigest(), size

    def encode_end(self) -> Iterator[bytes]:
        """Yield the central directory, without which no program can read the file."""
        start, count = self._offset, len(self._directory)
        for record in self._directory:
            yield self._count(record)
        yield _encode_end_records(count, start, self._offset - start)

    def _count(self, data: bytes) -> bytes:
        self._offset += len(data)
        return data


def join_small(chunks: Iterable[Buffer]) -> Iterator[Buffer]:
    """Yield small chunks as one, which needs no thread; keep large ones as they are."""
    pending = bytearray()
    for chunk in chunks:
        if pending and len(pending) + len(chunk) > _MIN_PIECE_BYTES:
            yield pending
            pending = bytearray()
        if len(chunk) >= _MIN_PIECE_BYTES:
            yield chunk
        else:
            pending += chunk
    if pending:
        yield pending


def map_in_background(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """Yield `work(item)` for each item in order, while the next item is being produced.

    The items are produced by the calling thread, which alone may use its database connection.
    `work` runs in another thread, which is faster if it is C code that releases the interpreter's
    lock. A single item needs no thread.
    """
    remaining = iter(items)
    yield from map(work, islice(remaining, 1))
    for item in remaining:
        yield from _map_in_thread(work, chain((item,), remaining))


def _map_in_thread(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    with ThreadPoolExecutor(1) as thread:
        pending: Future[Result] | None = None
        for item in items:
            following = thread.submit(work, item)
            if pending is not None:
                yield pending.result()
            pending = following
        if pending is not None:
            yield pending.result()


def _encode_central_header(
    name: bytes, date_and_time: tuple[int, int], crc: int, *, sizes: tuple[int, int], offset: int
) -> bytes:
    """`sizes` are the size and the compressed size."""
    size, compressed_size = (min(value, FULL_32) for value in sizes)
    wide = [value for value in (*sizes, offset) if value >= FULL_32]
    extra = _EXTRA.pack(_SIZES_64, 8 * len(wide)) + pack(f"<{len(wide)}Q", *wide) if wide else b""
    header = CENTRAL.pack(
        b"PK\x01\x02",
        _MADE_BY_UNIX,
        _VERSION_64 if wide else _VERSION,
        _FLAGS,
        _DEFLATED,
        *date_and_time,
        crc,
        compressed_size,
        size,
        len(name),
        len(extra),
        0,  # length of the comment
        0,  # number of the disk
        0,  # internal attributes
        _MODE,
        min(offset, FULL_32),
    )
    return header + name + extra


def _encode_end_records(count: int, start: int, length: int) -> bytes:
    """Values that fit into the old record are also written there, for old programs."""
    return (
        END_64.pack(
            b"PK\x06\x06", 44, _MADE_BY_UNIX, _VERSION_64, 0, 0, count, count, length, start
        )
        + LOCATOR_64.pack(b"PK\x06\x07", 0, start + length, 1)
        + END.pack(
            b"PK\x05\x06",
            0,
            0,
            min(count, FULL_16),
            min(count, FULL_16),
            min(length, FULL_32),
            min(start, FULL_32),
            0,
        )
    )
