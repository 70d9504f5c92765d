"""Parse the records of a ZIP file, more strictly than a library.

Names and numbers are taken from PKWARE's APPNOTE. Anything that two programs could understand
differently is an error: fields that disagree, bytes outside of any entry, records in the wrong
place.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from rooms.errors import BundleDamaged, BundleNotZip

END = struct.Struct("<4s4H2LH")
END_64 = struct.Struct("<4sQ2H2L4Q")
LOCATOR_64 = struct.Struct("<4sLQL")
CENTRAL = struct.Struct("<4s6H3L5H2L")
LOCAL = struct.Struct("<4s5H3L2H")
_INT_64 = struct.Struct("<Q")

FULL_16 = 0xFFFF
FULL_32 = 0xFFFFFFFF
"""Values that mean: see the ZIP64 record."""
_ZIP64_EXTRA = 1
_ZIP64_ORDER = (1, 0, 2)
"""Size, compressed size, offset, by their place in a record."""

_MAX_EXTRA_BYTES = 1024
"""Other programs keep times and owners there. Going through 64 KiB of empty fields in each of
100,000 entries would take hours."""

_UNICODE_PATH_EXTRA = 0x7075
"""Info-ZIP's Unicode path, which gives an entry a second name."""

_MAX_COMMENT_BYTES = 0xFFFF


@dataclass(frozen=True, slots=True)
class CentralDirectory:
    """Where the central directory is, and how many entries it has."""

    count: int
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class CentralDirectoryRecord:
    """One record of the central directory. Sizes and offsets are in bytes."""

    raw_name: bytes
    flags: int
    method: int
    crc: int
    compressed_size: int
    size: int
    attributes: int
    offset: int
    length: int
    """The length of the record itself."""


def read_central_directory(file: BinaryIO, file_size: int) -> CentralDirectory:
    """Raises `BundleNotZip` or `BundleDamaged`."""
    if not file_size:
        raise BundleNotZip("The bundle is empty: 0 bytes.")
    start = file_size - END.size
    file.seek(max(start, 0))
    raw = file.read(END.size)
    if start < 0 or not raw.startswith(b"PK\5\6") or raw[-2:] != b"\0\0":
        raise _build_missing_end_error(file, file_size)
    _, disk, first_disk, count_on_disk, count, size, offset, _ = END.unpack(raw)
    directory = CentralDirectory(count, size, offset)
    if disk or first_disk or count_on_disk != count:
        raise BundleDamaged("The archive is split into several parts.")
    zip64, end = _read_zip64_directory(file, start)
    if zip64:
        if (
            directory.count not in (zip64.count, FULL_16)
            or directory.size not in (zip64.size, FULL_32)
            or directory.offset not in (zip64.offset, FULL_32)
        ):
            raise BundleDamaged("The archive's two end records disagree about its directory.")
        directory = zip64
    if directory.offset + directory.size != end:
        raise BundleDamaged("The archive's directory is not where its end record says.")
    return directory


def _build_missing_end_error(file: BinaryIO, file_size: int) -> BundleNotZip | BundleDamaged:
    file.seek(max(file_size - END.size - _MAX_COMMENT_BYTES, 0))
    tail = file.read()
    offset = tail.rfind(b"PK\5\6")
    if offset >= 0 and len(tail) - offset >= END.size:
        return BundleDamaged("The archive has a comment, or bytes after its end.")
    file.seek(0)
    if file.read(4) == b"PK\3\4":
        return BundleNotZip("The archive is incomplete: its end is missing.")
    return BundleNotZip("The bundle is not a ZIP file.")


def _read_zip64_directory(file: BinaryIO, end_offset: int) -> tuple[CentralDirectory | None, int]:
    """Return the values of the ZIP64 records, if they exist, and where the directory must end."""
    locator_offset = end_offset - LOCATOR_64.size
    if locator_offset < 0:
        return None, end_offset
    file.seek(locator_offset)
    signature, disk, offset, disks = LOCATOR_64.unpack(file.read(LOCATOR_64.size))
    if signature != b"PK\6\7":
        return None, end_offset
    if disk or disks != 1 or offset + END_64.size != locator_offset:
        raise BundleDamaged("The archive's ZIP64 records are not where they should be.")
    file.seek(offset)
    signature, length, _, _, disk, first_disk, count_on_disk, count, size, start = END_64.unpack(
        file.read(END_64.size)
    )
    if (
        signature != b"PK\6\6"
        or length != END_64.size - 12
        or disk
        or first_disk
        or count_on_disk != count
    ):
        raise BundleDamaged("The archive's ZIP64 records are invalid.")
    return CentralDirectory(count, size, start), offset


def read_record(file: BinaryIO) -> CentralDirectoryRecord:
    """Read the record at the file's position. Raises `BundleDamaged`."""
    raw = file.read(CENTRAL.size)
    if len(raw) < CENTRAL.size or not raw.startswith(b"PK\1\2"):
        raise BundleDamaged("The archive's directory has fewer entries than its end record says.")
    (_, _, _, flags, method, _, _, crc, compressed_size, size, name_length, extra_length,
     comment, disk, _, attributes, offset) = CENTRAL.unpack(raw)  # fmt: skip
    raw_name, extra = file.read(name_length), file.read(extra_length)
    if comment or disk:
        raise BundleDamaged(f"Entry {raw_name!r} has a comment, or is on another disk.")
    compressed_size, size, offset = apply_zip64(
        raw_name, extra, ((compressed_size, FULL_32), (size, FULL_32), (offset, FULL_32))
    )
    length = CENTRAL.size + name_length + extra_length
    return CentralDirectoryRecord(
        raw_name, flags, method, crc, compressed_size, size, attributes, offset, length
    )


def apply_zip64(raw_name: bytes, extra: bytes, fields: tuple[tuple[int, int], ...]) -> list[int]:
    """Return the sizes and the offset, with full ones replaced from the ZIP64 extra field.

    `fields` are pairs of a value and its full value. In the directory the extra field has only the
    full ones, in the order size, compressed size, offset; in a local header it has both sizes.
    Further values are refused, because some programs might use them.
    """
    values = [value for value, _ in fields]
    full = [index for index in _ZIP64_ORDER[: len(fields)] if values[index] == fields[index][1]]
    zip64 = _find_zip64(raw_name, extra)
    if zip64 is None and full:
        raise BundleDamaged(f"Entry {raw_name!r} has no ZIP64 sizes.")
    if zip64 is None:
        return values
    expected = full if len(fields) == len(_ZIP64_ORDER) else list(_ZIP64_ORDER[: len(fields)])
    if len(zip64) != 8 * len(expected):
        raise _build_zip64_error(raw_name)
    for index, (value,) in zip(expected, _INT_64.iter_unpack(zip64), strict=True):
        if index not in full and value != values[index]:
            raise _build_zip64_error(raw_name)
        values[index] = value
    return values


def _build_zip64_error(raw_name: bytes) -> BundleDamaged:
    return BundleDamaged(f"Entry {raw_name!r} has unexpected ZIP64 sizes.")


def _find_zip64(raw_name: bytes, extra: bytes) -> bytes | None:
    """Return the data of the ZIP64 extra field, if there is one."""
    if len(extra) > _MAX_EXTRA_BYTES:
        raise BundleDamaged(
            f"Entry {raw_name!r} has {len(extra):,} bytes of extra fields (maximum "
            f"{_MAX_EXTRA_BYTES:,})."
        )
    zip64: bytes | None = None
    while extra:
        field_id = int.from_bytes(extra[:2], "little")
        length = int.from_bytes(extra[2:4], "little")
        is_repeated = zip64 is not None and field_id == _ZIP64_EXTRA
        if len(extra) < 4 + length or field_id == _UNICODE_PATH_EXTRA or is_repeated:
            raise BundleDamaged(f"Entry {raw_name!r} has invalid extra fields.")
        if field_id == _ZIP64_EXTRA:
            zip64 = extra[4 : 4 + length]
        extra = extra[4 + length :]
    return zip64
