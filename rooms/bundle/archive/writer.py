"""A ZIP file as it goes out: nothing is read back, so it may be written to a pipe.

Every entry is deflated and has its sizes behind it (APPNOTE 4.3.9), in 64 bits where 32 don't hold
them: what reads from a pipe, such as Java's, knows by what it has unpacked which they are. Bytes
that won't get smaller go into deflate's stored blocks, since an entry of method "stored" whose size
comes later can't be read from a pipe. What is kept in memory is one record an entry, of its name
and some hundred bytes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from datetime import datetime
from hashlib import sha256
from struct import Struct, pack
from typing import Protocol

from isal import isal_zlib

from rooms.bundle.format import MOST_RATIO
from rooms.bundle.meanwhile import map_in_background

Buffer = bytes | bytearray

_LOCAL = Struct("<4sHHHHHIIIHH")
_DESCRIPTOR = Struct("<4sIII")
_DESCRIPTOR_64 = Struct("<4sIQQ")
_CENTRAL = Struct("<4sHHHHHHIIIHHHHHII")
_EXTRA = Struct("<HH")
_END_64 = Struct("<4sQHHIIQQQQ")
_LOCATOR = Struct("<4sIQI")
_END = Struct("<4sHHHHIIH")

_VERSION = 20  # the first one with deflate
_VERSION_64 = 45  # the first one with 64-bit sizes
_MADE_BY_UNIX = 3 << 8 | _VERSION_64
_FLAGS = 0x0808  # names in UTF-8, sizes behind the data
_DEFLATED = 8
_MODE = 0o100600 << 16  # a regular file, for its owner alone
_SIZES_64 = 1  # the number of the extra field
_SEE_64 = 0xFFFFFFFF
_EARLIEST_YEAR = 1980


class Compressor(Protocol):
    def compress(self, data: Buffer, /) -> bytes: ...
    def flush(self) -> bytes: ...


class StoredCompressor:
    """Deflate that does not compress (RFC 1951, 3.2.4): for media, which is compressed already."""

    _MOST = 0xFFFF
    _BLOCK = Struct("<BHH")

    def compress(self, data: Buffer, /) -> bytes:
        view = memoryview(data)
        pieces: list[bytes | memoryview] = []
        for start in range(0, len(view), self._MOST):
            block = view[start : start + self._MOST]
            pieces += (self._BLOCK.pack(0, len(block), len(block) ^ self._MOST), block)
        return b"".join(pieces)

    def flush(self) -> bytes:
        return self._BLOCK.pack(1, 0, self._MOST)


class DeflateCompressor:
    """For text: four times as fast as zlib's lowest level, and smaller.

    A piece that would shrink to almost nothing is stored, since whoever imports takes an archive
    that grows beyond measure for a bomb. The decoder sees the same bytes either way, so what comes
    later may refer to them.
    """

    def __init__(self) -> None:
        self._deflate = isal_zlib.compressobj(2, isal_zlib.DEFLATED, -15)
        self._stored = StoredCompressor()

    def compress(self, data: Buffer, /) -> bytes:
        # Flushed, a piece ends with a byte, so that blocks of another making can stand for it.
        packed: bytes = self._deflate.compress(data) + self._deflate.flush(isal_zlib.Z_SYNC_FLUSH)
        if len(data) > MOST_RATIO // 2 * len(packed):
            return self._stored.compress(data)
        return packed

    def flush(self) -> bytes:
        last: bytes = self._deflate.flush()
        return last


class _Packing:
    """Packs the chunks of an entry, and keeps what has to be said of them at its end."""

    def __init__(self, compressor: Compressor) -> None:
        self.digest = sha256()
        self.crc = self.size = 0
        self._compressor = compressor

    def pack(self, chunk: Buffer) -> bytes:
        self.digest.update(chunk)
        self.crc = isal_zlib.crc32(chunk, self.crc)
        self.size += len(chunk)
        return self._compressor.compress(chunk)


class ZipStreamWriter:
    """Call `entry` for one entry after the other, then `end`, and send on what they yield."""

    def __init__(self, modified_at: datetime) -> None:
        self._date_and_time = _dos_time(modified_at)
        self._offset = 0
        self._directory: list[bytes] = []

    def entry(
        self, name: str, chunks: Iterable[Buffer], compressor: Compressor
    ) -> Generator[bytes, None, tuple[str, int]]:
        """Returns the hash and the size of what it was."""
        began, encoded = self._offset, name.encode()
        yield self._counted(_local_header(encoded, self._date_and_time))
        data_began, packing = self._offset, _Packing(compressor)
        for packed in map_in_background(packing.pack, chunks):
            if packed:
                yield self._counted(packed)
        yield self._counted(compressor.flush())
        crc, sizes = packing.crc, (packing.size, self._offset - data_began)
        descriptor = _DESCRIPTOR_64 if max(sizes) >= _SEE_64 else _DESCRIPTOR
        yield self._counted(descriptor.pack(b"PK\x07\x08", crc, *reversed(sizes)))
        self._directory.append(
            _central_header(encoded, self._date_and_time, crc, sizes=sizes, offset=began)
        )
        return packing.digest.hexdigest(), packing.size

    def end(self) -> Iterator[bytes]:
        """The central directory, without which nothing reads the file."""
        began, count = self._offset, len(self._directory)
        for record in self._directory:
            yield self._counted(record)
        yield _end_records(count, began, self._offset - began)

    def _counted(self, data: bytes) -> bytes:
        self._offset += len(data)
        return data


def _local_header(name: bytes, date_and_time: tuple[int, int]) -> bytes:
    """The checksum and the sizes come later."""
    header = _LOCAL.pack(
        b"PK\x03\x04", _VERSION, _FLAGS, _DEFLATED, *date_and_time, 0, 0, 0, len(name), 0
    )
    return header + name


def _central_header(
    name: bytes, date_and_time: tuple[int, int], crc: int, *, sizes: tuple[int, int], offset: int
) -> bytes:
    """`sizes`: as it is and as it was packed."""
    size, packed = (min(value, _SEE_64) for value in sizes)
    wide = [value for value in (*sizes, offset) if value >= _SEE_64]
    extra = _EXTRA.pack(_SIZES_64, 8 * len(wide)) + pack(f"<{len(wide)}Q", *wide) if wide else b""
    header = _CENTRAL.pack(
        b"PK\x01\x02",
        _MADE_BY_UNIX,
        _VERSION_64 if wide else _VERSION,
        _FLAGS,
        _DEFLATED,
        *date_and_time,
        crc,
        packed,
        size,
        len(name),
        len(extra),
        0,  # bytes of a comment
        0,  # number of the disk
        0,  # internal attributes
        _MODE,
        min(offset, _SEE_64),
    )
    return header + name + extra


def _end_records(count: int, began: int, length: int) -> bytes:
    """What fits into the old record stands there too, for readers that know no other."""
    return (
        _END_64.pack(
            b"PK\x06\x06", 44, _MADE_BY_UNIX, _VERSION_64, 0, 0, count, count, length, began
        )
        + _LOCATOR.pack(b"PK\x06\x07", 0, began + length, 1)
        + _END.pack(
            b"PK\x05\x06",
            0,
            0,
            min(count, 0xFFFF),
            min(count, 0xFFFF),
            min(length, _SEE_64),
            min(began, _SEE_64),
            0,
        )
    )


def _dos_time(moment: datetime) -> tuple[int, int]:
    """(time, date) as ZIP keeps them, in steps of two seconds and without a zone."""
    year = max(moment.year - _EARLIEST_YEAR, 0)
    time = moment.hour << 11 | moment.minute << 5 | moment.second // 2
    return time, year << 9 | moment.month << 5 | moment.day
