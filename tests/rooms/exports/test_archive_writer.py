"""The archive, as other programs see it."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from io import SEEK_END, BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.bundle.archive.writer import DeflateCompressor, StoredCompressor, ZipStreamWriter

NOW = datetime(2026, 11, 24, 19, 5, 43, tzinfo=UTC)
ENTRIES = {
    "manifest.json": b'{"body": "text"}\n' * 10_000,
    "media/00/Grüße aus 東京.png": bytes(range(256)) * 1_000,
    "media/01/empty": b"",
}


def write_zip(
    entries: dict[str, list[bytes]], *, stored: bool = False, modified_at: datetime = NOW
) -> bytes:
    archive, out = ZipStreamWriter(modified_at), bytearray()
    for name, chunks in entries.items():
        for part in archive.encode_entry(
            name, chunks, StoredCompressor() if stored else DeflateCompressor()
        ):
            out += part
    return bytes(out + b"".join(archive.encode_end()))


def read(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("stored", [True, False])
def test_success_entries_are_read_back(stored: bool) -> None:
    data = write_zip({name: [content] for name, content in ENTRIES.items()}, stored=stored)
    assert read(data) == ENTRIES


@pytest.mark.parametrize("stored", [True, False])
def test_success_entries_are_read_back_from_a_pipe(stored: bool) -> None:
    data = write_zip({name: [content] for name, content in ENTRIES.items()}, stored=stored)
    assert dict(as_it_comes(BytesIO(data))) == ENTRIES


@pytest.mark.parametrize(("year", "written"), [(1, 1980), (2107, 2107), (2108, 2107), (9999, 2107)])
def test_success_year_that_a_zip_file_can_not_have(year: int, written: int) -> None:
    """A message of another system may have any time, and the bundle has the last one."""
    data = write_zip({"a": [b"x"]}, modified_at=datetime(year, 12, 31, tzinfo=UTC))
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert archive.getinfo("a").date_time == (written, 12, 31, 0, 0, 0)


def as_it_comes(file: BytesIO) -> Iterator[tuple[str, bytes]]:
    """Read an archive like Java's ZipInputStream and others that don't wait for the directory.

    They expect 32-bit sizes behind the data, unless the unpacked data is larger.
    """
    while (header := file.read(30)).startswith(b"PK\3\4"):
        *header_fields, length, extra = struct.unpack("<6x2H8x2L2H", header)
        assert (header_fields, extra) == ([0x0808, 8, 0, 0], 0)
        name, rest = file.read(length).decode(), file.read()
        inflater = zlib.decompressobj(-15)
        content, behind = inflater.decompress(rest), inflater.unused_data
        file.seek(-len(behind), SEEK_END)
        sizes = zlib.crc32(content), len(rest) - len(behind), len(content)
        assert struct.unpack("<4s3L", file.read(16)) == (b"PK\7\b", *sizes)
        yield name, content


def test_success_without_entries() -> None:
    assert read(write_zip({})) == {}


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\0/\\", exclude_categories=["Cs"]), min_size=1),
        st.lists(st.binary(max_size=70_000), max_size=4),
        max_size=4,
    ),
    st.booleans(),
)
def test_success_any_chunks(entries: dict[str, list[bytes]], stored: bool) -> None:
    expected = {name: b"".join(chunks) for name, chunks in entries.items()}
    assert read(write_zip(entries, stored=stored)) == expected


@pytest.mark.parametrize("size", [0, 1, 65_534, 65_535, 65_536, 131_070, 131_071])
def test_success_stored_blocks_of_any_size(size: int) -> None:
    assert read(write_zip({"a": [b"x" * size]}, stored=True)) == {"a": b"x" * size}


def test_success_compression_ratio_stays_below_the_limit_of_readers() -> None:
    """Text that repeats itself is stored; what is around it, and refers to it, is deflated."""
    dull, lively = b"x" * 2**20, b"".join(b'{"id": "%064d"}' % number for number in range(9_999))
    chunks = [lively, dull, dull[:7], lively, dull, b"x", lively + dull]
    data = write_zip({"manifest.json": chunks})
    assert read(data) == {"manifest.json": b"".join(chunks)}
    assert len(data) < sum(map(len, chunks)) - 2 * len(lively)
    dull_data = write_zip({"manifest.json": [dull] * 3})
    assert len(dull) * 3 < 200 * len(dull_data)


def test_success_more_entries_than_zip32_can_count() -> None:
    names = [f"media/{number}" for number in range(65_600)]
    with zipfile.ZipFile(BytesIO(write_zip({name: [] for name in names}, stored=True))) as archive:
        assert archive.namelist() == names


def test_success_dates_and_modes() -> None:
    with zipfile.ZipFile(BytesIO(write_zip({"a": [b"a"]}))) as archive:
        (info,) = archive.infolist()
    assert info.date_time == (2026, 11, 24, 19, 5, 42)
    assert info.external_attr >> 16 == 0o100600
    assert not info.is_dir()


def test_fail_truncated_archive_is_invalid() -> None:
    data = write_zip({name: [content] for name, content in ENTRIES.items()})
    for length in range(0, len(data), len(data) // 50):
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(BytesIO(data[:length]))
