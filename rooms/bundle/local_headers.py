"""Where the bytes of each entry are, by the headers before them.

The entries have to cover the file without gaps and without sharing a byte, so that no two readers
find different things in it.
"""

from __future__ import annotations

from typing import BinaryIO

from rooms.bundle.archive.records import LOCAL, CentralDirectoryRecord, apply_zip64
from rooms.bundle.unpack import ZipEntry
from rooms.errors import BundleDamaged, DecompressionBomb

_DESCRIPTOR = 0x0008
_FULL_32 = 0xFFFFFFFF
# A data descriptor's length: with or without signature, with sizes of 32 or 64 bits.
_DESCRIPTORS = {12: (b"", 4), 16: (b"PK\7\b", 4), 20: (b"", 8), 24: (b"PK\7\b", 8)}


def locate_entries(
    file: BinaryIO, records: dict[str, CentralDirectoryRecord], end: int
) -> dict[str, ZipEntry]:
    """The entries in the order of their bytes; `end` is where the directory begins.

    Raises `BundleDamaged` and `DecompressionBomb`.
    """
    entries: dict[str, ZipEntry] = {}
    ordered = sorted(records.items(), key=lambda item: item[1].offset)
    ends = [*(record.offset for _, record in ordered[1:]), end]
    if ordered[0][1].offset:
        raise BundleDamaged("Bytes stand before the first entry of the archive.")
    for (name, record), next_at in zip(ordered, ends, strict=True):
        data_at = _data_at(file, name, record)
        _check_after(file, name, record, data_at + record.packed, next_at)
        entries[name] = ZipEntry(
            name, record.method, record.crc, record.packed, record.size, data_at
        )
    return entries


def _data_at(file: BinaryIO, name: str, record: CentralDirectoryRecord) -> int:
    """Where the data begin, behind a header that says what the directory says."""
    file.seek(record.offset)
    raw = file.read(LOCAL.size)
    if len(raw) < LOCAL.size or not raw.startswith(b"PK\3\4"):
        raise BundleDamaged(f"The entry {name} is not where the directory says.", entry=name)
    _, _, flags, method, _, _, crc, packed, size, name_length, extra_length = LOCAL.unpack(raw)
    raw_name, extra = file.read(name_length), file.read(extra_length)
    if (raw_name, flags, method) != (record.raw_name, record.flags, record.method):
        raise _disagrees(name)
    packed, size = apply_zip64(raw_name, extra, ((packed, _FULL_32), (size, _FULL_32)))
    said = ((crc, record.crc), (packed, record.packed), (size, record.size))
    # Nought where it stands behind the data.
    if any(a != b and not (flags & _DESCRIPTOR and a == 0) for a, b in said):
        raise _disagrees(name)
    return record.offset + LOCAL.size + len(raw_name) + len(extra)


def _disagrees(name: str) -> BundleDamaged:
    return BundleDamaged(
        f"What stands before the data of {name} disagrees with the archive's directory.",
        entry=name,
    )


def _check_after(
    file: BinaryIO, name: str, record: CentralDirectoryRecord, at: int, next_at: int
) -> None:
    """Between the end of the data and what comes next is a data descriptor, or nothing."""
    gap = next_at - at
    if gap < 0:
        raise DecompressionBomb(f"The entry {name} shares its bytes with another.", entry=name)
    if not record.flags & _DESCRIPTOR:
        if gap:
            raise BundleDamaged(f"Bytes that belong to nothing follow {name}.", entry=name)
        return
    if gap not in _DESCRIPTORS:
        raise BundleDamaged(f"The sizes behind the data of {name} are missing.", entry=name)
    signature, width = _DESCRIPTORS[gap]
    expected = signature + record.crc.to_bytes(4, "little")
    for value in (record.packed, record.size):
        expected += (value & (2 ** (8 * width) - 1)).to_bytes(width, "little")
    file.seek(at)
    if file.read(gap) != expected:
        raise _disagrees(name)
