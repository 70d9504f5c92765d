"""Archives that no bundle is, each with the refusal it gets."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from dataclasses import replace

from rooms.errors import (
    BundleBadName,
    BundleDamaged,
    BundleEncrypted,
    BundleNotZip,
    BundleTooLarge,
    DecompressionBomb,
)
from tests.rooms.bundle.archive_factories import Zip, add_descriptor, deflate, make_zip
from tests.rooms.bundle.factories import MAX_BYTES, make_part
from tests.rooms.bundle.malformed_bundles import GOOD, HASH, MIB, MalformedBundle, make_media_part

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


ARCHIVES: dict[str, MalformedBundle] = {
    "empty file": MalformedBundle(lambda: b"", BundleNotZip, "The bundle is empty: 0 bytes."),
    "text": MalformedBundle(
        lambda: b"hello\n" * 100, BundleNotZip, "The bundle is not a ZIP file."
    ),
    "gzip": MalformedBundle(
        lambda: b"\x1f\x8b\x08" + b"\0" * 99, BundleNotZip, "The bundle is not a ZIP file."
    ),
    "no entries": MalformedBundle(make_zip, BundleDamaged, "The archive has no manifest.json."),
    "no manifest": MalformedBundle(
        lambda: make_zip(make_media_part("a.png")),
        BundleDamaged,
        "The archive has no manifest.json.",
    ),
    "without its end": MalformedBundle(
        lambda: make_zip(GOOD)[:-1],
        BundleNotZip,
        "The archive is incomplete: its end is missing.",
    ),
    "comment": MalformedBundle(
        lambda: Zip([GOOD], comment=b"hi").to_bytes(),
        BundleDamaged,
        "The archive has a comment, or bytes after its end.",
    ),
    "bytes behind": MalformedBundle(
        lambda: make_zip(GOOD) + b"more",
        BundleDamaged,
        "The archive has a comment, or bytes after its end.",
    ),
    "bytes before, offsets as without": MalformedBundle(
        lambda: b"#!/bin/sh\n" + make_zip(GOOD),
        BundleDamaged,
        "The archive's directory is not where its end record says.",
    ),
    "bytes before, offsets right": MalformedBundle(
        lambda: Zip([GOOD], before=b"#!/bin/sh\n").to_bytes(),
        BundleDamaged,
        "The archive has bytes before its first entry.",
    ),
    "bytes between": MalformedBundle(
        lambda: Zip([GOOD], between=b"hidden").to_bytes(),
        BundleDamaged,
        "Bytes after entry manifest.json do not belong to any entry.",
    ),
    "directory has more": MalformedBundle(
        lambda: Zip([GOOD, make_media_part("a.png")], count=1).to_bytes(),
        BundleDamaged,
        "The archive's directory has more entries than its end record says.",
    ),
    "directory has fewer": MalformedBundle(
        lambda: Zip([GOOD], count=2).to_bytes(),
        BundleDamaged,
        "The archive's directory has fewer entries than its end record says.",
    ),
    "too many entries": MalformedBundle(
        lambda: add_zip64_records(Zip([GOOD], count=0xFFFF).to_bytes(), count=10**9),
        BundleTooLarge,
        "The archive has 1,000,000,000 entries (maximum 100,002).",
    ),
    "two ends that disagree": MalformedBundle(
        lambda: add_zip64_records(make_zip(GOOD), count=2),
        BundleDamaged,
        "The archive's two end records disagree about its directory.",
    ),
    "one part of several": MalformedBundle(
        lambda: make_zip(GOOD)[:-18] + b"\1" + make_zip(GOOD)[-17:],
        BundleDamaged,
        "The archive is split into several parts.",
    ),
    "entry with a comment": MalformedBundle(
        lambda: make_zip(replace(GOOD, comment=b"hi")),
        BundleDamaged,
        "Entry b'manifest.json' has a comment, or is on another disk.",
    ),
    "encrypted": MalformedBundle(
        lambda: make_with_zipfile(encrypted=True),
        BundleEncrypted,
        "Entry manifest.json is encrypted.",
    ),
    "encrypted by method": MalformedBundle(
        lambda: make_zip(replace(GOOD, method=99)),
        BundleEncrypted,
        "Entry manifest.json is encrypted.",
    ),
    "other method": MalformedBundle(
        lambda: make_zip(replace(GOOD, method=12)),
        BundleDamaged,
        "Entry manifest.json uses an unsupported compression (method 12).",
    ),
    "unknown flag": MalformedBundle(
        lambda: make_zip(replace(GOOD, flags=0x20)),
        BundleDamaged,
        "Entry manifest.json uses an unsupported compression (method 8).",
    ),
    "directory disagrees about the name": MalformedBundle(
        lambda: make_zip(replace(GOOD, local_name=b"MANIFEST.json")),
        BundleDamaged,
        "The local header of entry manifest.json does not match the archive's directory.",
    ),
    "directory disagrees about the method": MalformedBundle(
        lambda: make_zip(replace(GOOD, local_method=0)),
        BundleDamaged,
        "The local header of entry manifest.json does not match the archive's directory.",
    ),
    "directory disagrees about flags": MalformedBundle(
        lambda: make_zip(replace(GOOD, local_flags=1)),
        BundleDamaged,
        "The local header of entry manifest.json does not match the archive's directory.",
    ),
    "directory disagrees about sizes": MalformedBundle(
        lambda: make_zip(replace(GOOD, local_sizes=(0, 1, 1))),
        BundleDamaged,
        "The local header of entry manifest.json does not match the archive's directory.",
    ),
    "directory disagrees with what is behind the data": MalformedBundle(
        lambda: make_zip(replace(add_descriptor(GOOD), after=b"PK\7\b" + b"\0" * 12)),
        BundleDamaged,
        "The local header of entry manifest.json does not match the archive's directory.",
    ),
    "nothing behind the data": MalformedBundle(
        lambda: make_zip(replace(add_descriptor(GOOD), after=b"")),
        BundleDamaged,
        "The sizes after the data of entry manifest.json are missing.",
    ),
    "entry that is not there": MalformedBundle(
        lambda: make_zip(GOOD).replace(b"PK\3\4", b"PK\3\5"),
        BundleDamaged,
        "Entry manifest.json is not where the directory says.",
    ),
    "ZIP64 without its sizes": MalformedBundle(
        lambda: make_zip(replace(GOOD, size=0xFFFFFFFF)),
        BundleDamaged,
        "Entry b'manifest.json' has no ZIP64 sizes.",
    ),
    "ZIP64 sizes besides the others": MalformedBundle(
        lambda: make_zip(replace(GOOD, extra=make_zip64_extra(1, 1))),
        BundleDamaged,
        "Entry b'manifest.json' has unexpected ZIP64 sizes.",
    ),
    "ZIP64 sizes that disagree before the data": MalformedBundle(
        lambda: make_zip(replace(GOOD, local_extra=make_zip64_extra(1, 1))),
        BundleDamaged,
        "Entry b'manifest.json' has unexpected ZIP64 sizes.",
    ),
    "ZIP64 field with more than sizes": MalformedBundle(
        lambda: make_zip(replace(GOOD, local_extra=make_zip64_extra(*reversed(GOOD.sizes[1:]), 7))),
        BundleDamaged,
        "Entry b'manifest.json' has unexpected ZIP64 sizes.",
    ),
    "many extra fields": MalformedBundle(
        lambda: make_zip(replace(GOOD, extra=b"\x55\x55\0\0" * 16_383)),
        BundleDamaged,
        "Entry b'manifest.json' has 65,532 bytes of extra fields (maximum 1,024).",
    ),
    "wrong checksum": MalformedBundle(
        lambda: make_zip(replace(GOOD, crc=1)),
        BundleDamaged,
        "Entry manifest.json is damaged: its checksum does not match.",
    ),
    "invalid deflate": MalformedBundle(
        lambda: make_zip(replace(GOOD, packed=b"\xff" * 50)),
        BundleDamaged,
        "Entry manifest.json is damaged: its checksum does not match.",
    ),
    "deflate that ends early": MalformedBundle(
        lambda: make_zip(replace(GOOD, packed=deflate(GOOD.data)[:-9])),
        BundleDamaged,
        "Entry manifest.json is damaged: its checksum does not match.",
    ),
    "bytes behind the deflate": MalformedBundle(
        lambda: make_zip(replace(GOOD, packed=deflate(GOOD.data) + b"hidden")),
        BundleDamaged,
        "Entry manifest.json is damaged: its checksum does not match.",
    ),
    "less than declared": MalformedBundle(
        lambda: make_zip(replace(GOOD, size=len(GOOD.data) + 1)),
        BundleDamaged,
        "Entry manifest.json is damaged: its checksum does not match.",
    ),
    "more than declared": MalformedBundle(
        lambda: make_zip(GOOD, replace(make_media_part("a.png", b"\0" * 8 * MIB), size=100)),
        DecompressionBomb,
        f"Entry media/{HASH}/a.png decompresses to more than the 100 bytes that it declares.",
    ),
    "ratio": MalformedBundle(
        lambda: make_zip(GOOD, make_media_part("a.png", ZEROS)),
        DecompressionBomb,
        f"Entry media/{HASH}/a.png decompresses from {len(deflate(ZEROS)):,} to "
        "2,097,152 bytes, which is more than 200 to 1.",
    ),
    "entries that share bytes": MalformedBundle(
        make_overlapping_entries,
        DecompressionBomb,
        f"Entry media/{HASH}/a.png overlaps another entry.",
    ),
    "entries that quote each other": MalformedBundle(
        make_quoting_entries,
        DecompressionBomb,
        f"Entry media/{HASH}/outer.png overlaps another entry.",
    ),
    "ZIP files in each other": MalformedBundle(
        make_nested_bomb,
        BundleBadName,
        "Invalid entry name: 'bomb.zip' is not part of the bundle format.",
    ),
    "too large unpacked": MalformedBundle(
        lambda: make_zip(
            GOOD,
            replace(make_media_part("a.png", b"x"), size=MAX_BYTES, packed_size=400_000),
        ),
        BundleTooLarge,
        "The bundle decompresses to more than 64 MiB.",
    ),
}
