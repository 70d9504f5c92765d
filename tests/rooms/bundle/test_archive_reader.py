from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from hashlib import sha256

import pytest

from rooms.bundle.reader import read_bundle
from rooms.errors import BundleDamaged, BundleError, BundleTooLarge
from tests.rooms.bundle.archive_factories import Zip, make_zip
from tests.rooms.bundle.corpus_archives import ARCHIVES, add_zip64_records
from tests.rooms.bundle.corpus_names import NAMES
from tests.rooms.bundle.factories import (
    MAX_BYTES,
    encode_manifest,
    list_events,
    make_bundle,
    make_event,
    make_manifest,
    make_media_row,
    read_events,
    validate,
)
from tests.rooms.bundle.malformed_bundles import GOOD, REFUSALS


class Pipe(io.RawIOBase):
    """What a program writes to that can't go back."""

    def __init__(self) -> None:
        self.written = b""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        taken = bytes(data)  # type: ignore[call-overload]
        self.written += taken
        return len(taken)


@pytest.mark.parametrize("name", [*ARCHIVES, *NAMES])
def test_fail_malformed_archive(name: str) -> None:
    with pytest.raises(BundleError) as caught:
        validate({**ARCHIVES, **NAMES}[name]())
    assert (caught.value.code, caught.value.message) == REFUSALS[name]


def test_fail_larger_than_the_limit() -> None:
    raw = make_bundle(make_manifest(make_event(1)))
    with pytest.raises(BundleTooLarge) as caught:
        validate(raw, max_bytes=len(raw) - 1)
    assert caught.value.message == "The bundle is larger than 0 MiB."
    with pytest.raises(BundleTooLarge) as caught:
        validate(raw, max_bytes=len(raw))
    assert caught.value.message == "The bundle decompresses to more than 0 MiB."


def test_success_zip_bomb_as_attachment_is_not_unpacked() -> None:
    """Attachments that are archives are not unpacked."""
    bomb = ARCHIVES["ZIP files in each other"]()
    document = make_manifest(media=[make_media_row(bomb, "bomb.zip")])
    with validate(make_bundle(document, ("bomb.zip", bomb))) as found:
        with found.open_media(sha256(bomb).hexdigest()) as file:
            assert file.read() == bomb


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_success_archive_written_by_python(method: int, wide: bool) -> None:
    for file in (io.BytesIO(), Pipe()):
        with zipfile.ZipFile(file, "w", method) as archive:
            with archive.open("manifest.json", "w", force_zip64=wide) as entry:
                entry.write(encode_manifest(make_manifest(make_event(1))))
        raw = file.written if isinstance(file, Pipe) else file.getvalue()
        assert read_events(raw)[0].events == 1


def test_success_zip64_ends() -> None:
    raw = make_zip(GOOD)
    for wide in (
        add_zip64_records(raw),
        add_zip64_records(Zip([GOOD], count=0xFFFF).to_bytes(), count=1),
    ):
        assert read_events(wide)[0].events == 1


def test_success_extra_fields_of_other_programs() -> None:
    with_time = replace(GOOD, extra=b"UT\5\0\1aaaa", local_extra=b"UT\5\0\1aaaa")
    assert read_events(make_zip(with_time)) == read_events(make_zip(GOOD))


def test_success_progress_in_bytes() -> None:
    photo = bytes(1000)
    document = make_manifest(make_event(1), media=[make_media_row(photo)])
    seen: list[tuple[int, int | None]] = []
    raw = make_bundle(document, ("photo.png", photo), signed=False)
    validate(raw, progress=lambda done, total: seen.append((done, total))).close()
    total = len(encode_manifest(document)) + 1000
    assert seen == [(total - 1000, total), (total, total)]


def test_fail_file_that_becomes_shorter() -> None:
    raw = make_zip(replace(GOOD, method=0))
    file = io.BytesIO(raw)
    with read_bundle(file, max_bytes=MAX_BYTES) as found:
        file.truncate(100)
        with pytest.raises(BundleDamaged):
            list_events(found)
