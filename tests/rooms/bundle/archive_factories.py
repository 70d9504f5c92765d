"""Writes ZIP files field by field, so that any of them can lie."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace

REGULAR = 0o100600 << 16
LINK = 0o120777 << 16
UNIX = 3 << 8


@dataclass(frozen=True)
class Part:
    """One entry; what is None is what it should be. `after` stands behind its data."""

    name: bytes
    data: bytes = b""
    method: int = 8
    flags: int = 0
    attributes: int = REGULAR
    packed: bytes | None = None
    crc: int | None = None
    size: int | None = None
    packed_size: int | None = None
    offset: int | None = None
    local_name: bytes | None = None
    local_method: int | None = None
    local_flags: int | None = None
    local_sizes: tuple[int, int, int] | None = None
    extra: bytes = b""
    local_extra: bytes = b""
    comment: bytes = b""
    after: bytes = b""

    @property
    def body(self) -> bytes:
        if self.packed is not None:
            return self.packed
        return deflate(self.data) if self.method == 8 else self.data

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Checksum, packed size, size."""
        return (
            zlib.crc32(self.data) if self.crc is None else self.crc,
            len(self.body) if self.packed_size is None else self.packed_size,
            len(self.data) if self.size is None else self.size,
        )

    def local(self) -> bytes:
        name = self.name if self.local_name is None else self.local_name
        flags = self.flags if self.local_flags is None else self.local_flags
        method = self.method if self.local_method is None else self.local_method
        sizes = self.sizes if self.local_sizes is None else self.local_sizes
        header = struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, flags, method, 0, 33, *sizes, len(name),
            len(self.local_extra),
        )  # fmt: skip
        return header + name + self.local_extra + self.body + self.after

    def central(self, offset: int) -> bytes:
        header = struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", UNIX | 20, 20, self.flags, self.method, 0, 33, *self.sizes,
            len(self.name), len(self.extra), len(self.comment), 0, 0, self.attributes,
            offset if self.offset is None else self.offset,
        )  # fmt: skip
        return header + self.name + self.extra + self.comment


@dataclass(frozen=True)
class Zip:
    """Make an archive. `count`, `before` and `comment` are fields of its end record."""

    parts: list[Part] = field(default_factory=list)
    count: int | None = None
    before: bytes = b""
    comment: bytes = b""
    between: bytes = b""

    def to_bytes(self) -> bytes:
        locals_, centrals = self.before, b""
        for part in self.parts:
            centrals += part.central(len(locals_))
            locals_ += part.local()
        locals_ += self.between
        count = len(self.parts) if self.count is None else self.count
        end = struct.pack(
            "<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(centrals), len(locals_),
            len(self.comment),
        )  # fmt: skip
        return locals_ + centrals + end + self.comment


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def add_descriptor(part: Part, *, wide: bool = False, signed: bool = True) -> Part:
    """The part with its sizes behind its data, as archives have that are written to pipes."""
    crc, packed, size = part.sizes
    after = (b"PK\7\b" if signed else b"") + struct.pack(
        "<L2Q" if wide else "<3L", crc, packed, size
    )
    return replace(part, flags=part.flags | 8, local_sizes=(0, 0, 0), after=after)


def make_zip(*parts: Part) -> bytes:
    return Zip(list(parts)).to_bytes()
