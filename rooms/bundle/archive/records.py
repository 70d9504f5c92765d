"""The records of a ZIP file, read by hand: what a library forgives is refused here.

Names and numbers are those of PKWARE's APPNOTE. Whatever two programs could understand in two ways
is damage: fields that disagree, bytes that belong to nothing, records where they should not be.
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
_WIDE = struct.Struct("<Q")

_FULL_16 = 0xFFFF
_FULL_32 = 0xFFFFFFFF
_ZIP64_EXTRA = 1
_ZIP64_ORDER = (1, 0, 2)
"""Size, packed, offset, by where they stand in a record."""

_LONGEST_EXTRA = 1024
"""Bytes. Other programs keep times and owners there; to go through 64 KiB of fields without data,
of each of 100,000 entries, takes hours."""

_OTHER_NAME_EXTRA = 0x7075
"""Info-ZIP's Unicode path, which gives an entry a second name."""

_LONGEST_COMMENT = 0xFFFF


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
    made_on: int
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    attributes: int
    offset: int
    length: int
    """Of the record itself."""


def read_central_directory(file: BinaryIO, file_size: int) -> CentralDirectory:
    """Raises `BundleNotZip` and `BundleDamaged`."""
    if not file_size:
        raise BundleNotZip("The bundle is empty: it has not one byte.")
    start = file_size - END.size
    file.seek(max(start, 0))
    raw = file.read(END.size)
    if start < 0 or not raw.startswith(b"PK\5\6") or raw[-2:] != b"\0\0":
        raise _no_end(file, file_size)
    _, disk, first_disk, here, count, size, offset, _ = END.unpack(raw)
    found = CentralDirectory(count, size, offset)
    if disk or first_disk or here != count:
        raise BundleDamaged("The archive is one part of several.")
    wide, end = _wide_directory(file, start)
    if wide:
        _require_same(found, wide)
        found = wide
    if found.offset + found.size != end:
        raise BundleDamaged("The archive's directory is not where its end says.")
    return found


def _no_end(file: BinaryIO, file_size: int) -> BundleNotZip | BundleDamaged:
    file.seek(max(file_size - END.size - _LONGEST_COMMENT, 0))
    tail = file.read()
    at = tail.rfind(b"PK\5\6")
    if at >= 0 and len(tail) - at >= END.size:
        return BundleDamaged("Bytes stand behind the end of the archive, or it has a comment.")
    file.seek(0)
    if file.read(4) == b"PK\3\4":
        return BundleNotZip("The archive ends too early: the end of it is missing.")
    return BundleNotZip("This is no ZIP file.")


def _wide_directory(file: BinaryIO, end_at: int) -> tuple[CentralDirectory | None, int]:
    """What the ZIP64 records say, if they are there; and where the directory has to end."""
    at = end_at - LOCATOR_64.size
    if at < 0:
        return None, end_at
    file.seek(at)
    signature, disk, offset, disks = LOCATOR_64.unpack(file.read(LOCATOR_64.size))
    if signature != b"PK\6\7":
        return None, end_at
    if disk or disks != 1 or offset + END_64.size != at:
        raise BundleDamaged("The archive's ZIP64 records are not where they should be.")
    file.seek(offset)
    signature, length, _, _, disk, first_disk, here, count, size, start = END_64.unpack(
        file.read(END_64.size)
    )
    if signature != b"PK\6\6" or length != END_64.size - 12 or disk or first_disk or here != count:
        raise BundleDamaged("The archive's ZIP64 records make no sense.")
    return CentralDirectory(count, size, start), offset


def _require_same(narrow: CentralDirectory, wide: CentralDirectory) -> None:
    if (
        narrow.count not in (wide.count, _FULL_16)
        or narrow.size not in (wide.size, _FULL_32)
        or narrow.offset not in (wide.offset, _FULL_32)
    ):
        raise BundleDamaged("The archive's two ends disagree about its directory.")


def read_record(file: BinaryIO) -> CentralDirectoryRecord:
    """The record at the file's position. Raises `BundleDamaged`."""
    raw = file.read(CENTRAL.size)
    if len(raw) < CENTRAL.size or not raw.startswith(b"PK\1\2"):
        raise BundleDamaged("The archive's directory has fewer entries than it says.")
    (_, made, _, flags, method, _, _, crc, packed, size, name_length, extra_length, comment,
     disk, _, attributes, offset) = CENTRAL.unpack(raw)  # fmt: skip
    raw_name, extra = file.read(name_length), file.read(extra_length)
    if comment or disk:
        raise BundleDamaged(f"The entry {raw_name!r} has a comment, or is on another disk.")
    packed, size, offset = apply_zip64(
        raw_name, extra, ((packed, _FULL_32), (size, _FULL_32), (offset, _FULL_32))
    )
    length = CENTRAL.size + name_length + extra_length
    return CentralDirectoryRecord(
        raw_name, made >> 8, flags, method, crc, packed, size, attributes, offset, length
    )


def apply_zip64(raw_name: bytes, extra: bytes, fields: tuple[tuple[int, int], ...]) -> list[int]:
    """The sizes and the offset, the ones that are full taken from the ZIP64 extra field.

    In a record of the directory it has the full ones alone, in the order size, packed, offset;
    before an entry it has both sizes. What it says besides would be what some readers go by.
    """
    values = [value for value, _ in fields]
    full = [index for index in _ZIP64_ORDER[: len(fields)] if values[index] == fields[index][1]]
    wide = _zip64(raw_name, extra)
    if wide is None and full:
        raise BundleDamaged(f"The entry {raw_name!r} lacks its ZIP64 sizes.")
    if wide is None:
        return values
    told = full if len(fields) == len(_ZIP64_ORDER) else list(_ZIP64_ORDER[: len(fields)])
    if len(wide) != 8 * len(told):
        raise _wrong_zip64(raw_name)
    for index, (value,) in zip(told, _WIDE.iter_unpack(wide), strict=True):
        if index not in full and value != values[index]:
            raise _wrong_zip64(raw_name)
        values[index] = value
    return values


def _wrong_zip64(raw_name: bytes) -> BundleDamaged:
    return BundleDamaged(f"The entry {raw_name!r} has ZIP64 sizes besides those that it lacks.")


def _zip64(raw_name: bytes, extra: bytes) -> bytes | None:
    """The data of the ZIP64 extra field, if there is one."""
    if len(extra) > _LONGEST_EXTRA:
        raise BundleDamaged(
            f"The entry {raw_name!r} has {len(extra):,} bytes of extra fields; "
            f"{_LONGEST_EXTRA:,} are the most."
        )
    wide: bytes | None = None
    while extra:
        kind = int.from_bytes(extra[:2], "little")
        length = int.from_bytes(extra[2:4], "little")
        if len(extra) < 4 + length or kind == _OTHER_NAME_EXTRA or (wide is not None and kind == 1):
            raise BundleDamaged(f"The entry {raw_name!r} has extra fields that make no sense.")
        if kind == _ZIP64_EXTRA:
            wide = extra[4 : 4 + length]
        extra = extra[4 + length :]
    return wide
