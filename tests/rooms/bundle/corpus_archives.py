"""Archives that no bundle is."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from dataclasses import replace

from tests.rooms.bundle.archive_factories import Zip, add_descriptor, deflate, make_zip
from tests.rooms.bundle.factories import MAX_BYTES, make_part
from tests.rooms.bundle.malformed_bundles import GOOD, MIB, Builder, make_media_part

ZEROS = b"\0" * 2 * MIB


def make_nested_bomb() -> bytes:
    """Ten levels of ZIP files in a ZIP file, the innermost one of zeros."""
    data = b"\0" * 8 * MIB
    for _ in range(10):
        data = make_zip(make_part("bomb.zip", data))
    return make_zip(GOOD, make_part("bomb.zip", data))


def make_overlapping_entries() -> bytes:
    """Two entries of the directory that share one header and its data."""
    return make_zip(
        GOOD, make_media_part("a.png"), replace(make_media_part("b.png"), offset=len(GOOD.local()))
    )


def make_quoting_entries() -> bytes:
    """An entry whose data are the header of the next one, and go on into its data."""
    inner = make_media_part("inner.png", random.Random(1).randbytes(1000))
    outer = replace(
        make_media_part("outer.png"),
        method=0,
        data=inner.local(),
        packed=b"",
        packed_size=len(inner.local()),
    )
    return make_zip(GOOD, outer, inner)


def add_zip64_records(raw: bytes, **changes: int) -> bytes:
    """The archive with ZIP64 records before its end; the changes are what they lie about."""
    end = raw[-22:]
    _, _, _, _, count, size, offset, _ = struct.unpack("<4s4H2LH", end)
    fields = {"count": count, "size": size, "offset": offset, **changes}
    record = struct.pack(
        "<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, fields["count"], fields["count"], fields["size"],
        fields["offset"],
    )  # fmt: skip
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, len(raw) - 22, 1)
    return raw[:-22] + record + locator + end


def make_zip64_extra(*values: int) -> bytes:
    """The extra field of ZIP64: size, packed size, and so on."""
    return struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values)


def make_with_zipfile(*, encrypted: bool = False) -> bytes:
    """An archive of Python's zipfile in which the encryption flag was set afterwards."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", GOOD.data)
    raw = bytearray(file.getvalue())
    if encrypted:
        raw[6] |= 1
        raw[raw.rindex(b"PK\1\2") + 8] |= 1
    return bytes(raw)


ARCHIVES: dict[str, Builder] = {
    "empty file": lambda: b"",
    "text": lambda: b"hello\n" * 100,
    "gzip": lambda: b"\x1f\x8b\x08" + b"\0" * 99,
    "no entries": make_zip,
    "no manifest": lambda: make_zip(make_media_part("a.png")),
    "without its end": lambda: make_zip(GOOD)[:-1],
    "comment": lambda: Zip([GOOD], comment=b"hi").to_bytes(),
    "bytes behind": lambda: make_zip(GOOD) + b"more",
    "bytes before, offsets as without": lambda: b"#!/bin/sh\n" + make_zip(GOOD),
    "bytes before, offsets right": lambda: Zip([GOOD], before=b"#!/bin/sh\n").to_bytes(),
    "bytes between": lambda: Zip([GOOD], between=b"hidden").to_bytes(),
    "directory has more": lambda: Zip([GOOD, make_media_part("a.png")], count=1).to_bytes(),
    "directory has fewer": lambda: Zip([GOOD], count=2).to_bytes(),
    "too many entries": lambda: add_zip64_records(
        Zip([GOOD], count=0xFFFF).to_bytes(), count=10**9
    ),
    "two ends that disagree": lambda: add_zip64_records(make_zip(GOOD), count=2),
    "one part of several": lambda: make_zip(GOOD)[:-18] + b"\1" + make_zip(GOOD)[-17:],
    "entry with a comment": lambda: make_zip(replace(GOOD, comment=b"hi")),
    "encrypted": lambda: make_with_zipfile(encrypted=True),
    "encrypted by method": lambda: make_zip(replace(GOOD, method=99)),
    "other method": lambda: make_zip(replace(GOOD, method=12)),
    "unknown flag": lambda: make_zip(replace(GOOD, flags=0x20)),
    "directory disagrees about the name": lambda: make_zip(
        replace(GOOD, local_name=b"MANIFEST.json")
    ),
    "directory disagrees about the method": lambda: make_zip(replace(GOOD, local_method=0)),
    "directory disagrees about flags": lambda: make_zip(replace(GOOD, local_flags=1)),
    "directory disagrees about sizes": lambda: make_zip(replace(GOOD, local_sizes=(0, 1, 1))),
    "directory disagrees with what is behind the data": lambda: make_zip(
        replace(add_descriptor(GOOD), after=b"PK\7\b" + b"\0" * 12)
    ),
    "nothing behind the data": lambda: make_zip(replace(add_descriptor(GOOD), after=b"")),
    "entry that is not there": lambda: make_zip(GOOD).replace(b"PK\3\4", b"PK\3\5"),
    "ZIP64 without its sizes": lambda: make_zip(replace(GOOD, size=0xFFFFFFFF)),
    "ZIP64 sizes besides the others": lambda: make_zip(replace(GOOD, extra=make_zip64_extra(1, 1))),
    "ZIP64 sizes that disagree before the data": lambda: make_zip(
        replace(GOOD, local_extra=make_zip64_extra(1, 1))
    ),
    "ZIP64 field with more than sizes": lambda: make_zip(
        replace(GOOD, local_extra=make_zip64_extra(*reversed(GOOD.sizes[1:]), 7))
    ),
    "many extra fields": lambda: make_zip(replace(GOOD, extra=b"\x55\x55\0\0" * 16_383)),
    "wrong checksum": lambda: make_zip(replace(GOOD, crc=1)),
    "invalid deflate": lambda: make_zip(replace(GOOD, packed=b"\xff" * 50)),
    "deflate that ends early": lambda: make_zip(replace(GOOD, packed=deflate(GOOD.data)[:-9])),
    "bytes behind the deflate": lambda: make_zip(
        replace(GOOD, packed=deflate(GOOD.data) + b"hidden")
    ),
    "less than declared": lambda: make_zip(replace(GOOD, size=len(GOOD.data) + 1)),
    "more than declared": lambda: make_zip(
        GOOD, replace(make_media_part("a.png", b"\0" * 8 * MIB), size=100)
    ),
    "ratio": lambda: make_zip(GOOD, make_media_part("a.png", ZEROS)),
    "entries that share bytes": make_overlapping_entries,
    "entries that quote each other": make_quoting_entries,
    "ZIP files in each other": make_nested_bomb,
    "too large unpacked": lambda: make_zip(
        GOOD,
        replace(make_media_part("a.png", b"x"), size=MAX_BYTES, packed_size=400_000),
    ),
}
