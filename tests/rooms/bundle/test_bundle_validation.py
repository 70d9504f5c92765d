"""Attachments, and signature.json, against what is in the archive."""

from __future__ import annotations

import io
from dataclasses import replace
from hashlib import sha256
from itertools import chain
from typing import Any

import pytest

from rooms.bundle.reader import read_bundle
from rooms.errors import BundleDamaged, BundleDuplicate, BundleError, BundleVersion
from tests.rooms.bundle.archive_factories import add_descriptor, make_zip
from tests.rooms.bundle.factories import (
    MAX_BYTES,
    encode_manifest,
    list_events,
    make_bundle,
    make_entries,
    make_event,
    make_manifest,
    make_media_row,
    make_part,
    make_signature,
    validate,
)

PHOTO = b"bytes of a photo"
HASH = sha256(PHOTO).hexdigest()
DOCUMENT = make_manifest(
    make_event(1), media=[make_media_row(PHOTO), make_media_row(PHOTO, "copy.png")]
)
ATTACHED = ("photo.png", PHOTO)
NAME = f"media/{HASH}/photo.png"


def validate_and_fail(raw: bytes) -> tuple[type[BundleError], str, str | None]:
    with pytest.raises(BundleError) as caught:
        validate(raw)
    return type(caught.value), caught.value.message, caught.value.details.get("entry")


def make_signed_bundle(**changes: Any) -> bytes:
    one = make_signature(make_entries(DOCUMENT, ATTACHED), DOCUMENT, **changes)
    return make_bundle(DOCUMENT, ATTACHED, signed=one)


def make_signed_rows(**changes: Any) -> list[dict[str, Any]]:
    """The entries of signature.json with the changes in the second."""
    first, second = make_signature(make_entries(DOCUMENT, ATTACHED), DOCUMENT)["entries"]
    return [first, {**second, **changes}]


def test_success_media() -> None:
    with validate(make_bundle(DOCUMENT, ATTACHED)) as found:
        with found.open_media(HASH) as file:
            assert file.read() == PHOTO
        with pytest.raises(KeyError):
            found.open_media("0" * 64)
        assert [row.name for row in found.header.media] == ["photo.png", "copy.png"]
        assert found.manifest_sha256 == sha256(encode_manifest(DOCUMENT)).hexdigest()


def test_success_two_readers_at_once() -> None:
    data = bytes(range(256)) * 4000
    document = make_manifest(make_event(1), make_event(2), media=[make_media_row(data)])
    with validate(make_bundle(document, ("photo.png", data))) as found:
        events = chain.from_iterable(found.iter_batches())
        with found.open_media(sha256(data).hexdigest()) as file:
            half = file.read(500_000)
            assert next(events).stream_position == 10
            assert half + file.read() == data
        assert [one.stream_position for one in events] == [20]


@pytest.mark.parametrize("form", [(False, True), (False, False), (True, True), (True, False)])
def test_success_sizes_behind_the_data(form: tuple[bool, bool]) -> None:
    wide, with_signature = form
    one = make_part("manifest.json", encode_manifest(make_manifest(make_event(1))))
    with validate(make_zip(add_descriptor(one, wide=wide, signed=with_signature))) as found:
        assert found.signature is None
        assert found.counts.events == 1


@pytest.mark.parametrize("reason", ["infected", "lost", "left out"])
def test_success_missing_media(reason: str) -> None:
    document = make_manifest(media=[make_media_row(PHOTO, missing=reason)])
    with validate(make_bundle(document)) as found:
        assert found.header.media[0].missing == reason


def test_fail_wrong_hash() -> None:
    raw = make_bundle(DOCUMENT, ATTACHED)
    changed = make_zip(
        make_part("manifest.json", encode_manifest(DOCUMENT)),
        make_part(NAME, PHOTO.replace(b"b", b"B")),
    )
    assert validate_and_fail(changed) == (
        BundleDamaged,
        f"Entry {NAME} does not have the hash in its name.",
        NAME,
    )
    validate(raw).close()


def test_fail_media_without_an_entry() -> None:
    assert validate_and_fail(make_bundle(DOCUMENT)) == (
        BundleDamaged,
        f"Entry {NAME} is missing.",
        NAME,
    )


def test_fail_media_that_is_not_in_the_manifest() -> None:
    other = f"media/{HASH}/other.png"
    for document, name in ((make_manifest(), NAME), (DOCUMENT, other)):
        raw = make_bundle(document, (name.rpartition("/")[2], PHOTO))
        assert validate_and_fail(raw) == (
            BundleDamaged,
            f"Entry {name} is not in the manifest's `media`.",
            name,
        )


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"missing": "lost"}, "exists, but is missing according to the manifest (lost)."),
        ({"size": 99}, "has 16 bytes, but 99 according to the manifest."),
    ],
)
def test_fail_media_that_contradicts_its_row(row: dict[str, Any], problem: str) -> None:
    document = make_manifest(media=[make_media_row(PHOTO, **row)])
    error = (BundleDamaged, f"Entry {NAME} {problem}", NAME)
    assert validate_and_fail(make_bundle(document, ATTACHED)) == error


def test_fail_media_twice() -> None:
    twice = ATTACHED, ("copy.png", PHOTO)
    copy = f"media/{HASH}/copy.png"
    assert validate_and_fail(make_bundle(DOCUMENT, *twice)) == (
        BundleDuplicate,
        f"The archive has two entries with the bytes of {copy}.",
        copy,
    )


COUNTS = make_signature({}, DOCUMENT)["counts"]
SIGNATURES: dict[str, tuple[dict[str, Any], str]] = {
    "another hash": (
        {"entries": make_signed_rows(sha256="0" * 64)},
        f"Entry {NAME} does not have the hash and size in signature.json.",
    ),
    "another size": (
        {"entries": make_signed_rows(size=1)},
        f"Entry {NAME} does not have the hash and size in signature.json.",
    ),
    "an entry too many": (
        {"entries": [*make_signed_rows(), {"name": "x", "sha256": "", "size": 0}]},
        "signature.json lists 'x' twice, or it is not in the archive.",
    ),
    "an entry twice": (
        {"entries": [*make_signed_rows(), *make_signed_rows()]},
        "signature.json lists 'manifest.json' twice, or it is not in the archive.",
    ),
    "an entry too few": (
        {"entries": make_signed_rows()[:1]},
        f"signature.json does not list {NAME}.",
    ),
    **{
        f"count of {name}": (
            {"counts": {**COUNTS, name: 7}},
            f"signature.json counts 7 {name}; the bundle has {count:,}.",
        )
        for name, count in COUNTS.items()
    },
    "half a signature": (
        {"key_id": "x"},
        "signature.json has an incomplete signature: key_id, algorithm and signature belong "
        "together.",
    ),
    "an invalid day": (
        {"signed_at": "2026-02-30T00:00:00.000000Z"},
        "signature.json has an invalid timestamp: '2026-02-30T00:00:00.000000Z'.",
    ),
    "a text for the counts": (
        {"counts": "many"},
        "signature.json does not match the format: Expected `object`, got `str` - at `$.counts`.",
    ),
    "a server with a long name": (
        {"server_name": "x" * 256},
        "signature.json does not match the format: Expected `str` of length <= 255 - at "
        "`$.server_name`.",
    ),
    "a number without a form of RFC 8785": (
        {"extra": 2**60},
        "signature.json has a value that RFC 8785 can't represent.",
    ),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_fail_signature_that_disagrees(name: str) -> None:
    changes, message = SIGNATURES[name]
    error, reported, _ = validate_and_fail(make_signed_bundle(**changes))
    assert (error, reported) == (BundleDamaged, message)


def test_fail_signature_of_the_next_version() -> None:
    assert validate_and_fail(make_signed_bundle(version=2)) == (
        BundleVersion,
        "Unsupported version of signature.json: 2; this release reads 1.",
        "signature.json",
    )


def test_fail_signature_that_is_not_json() -> None:
    parts = [make_part(name, data) for name, data in make_entries(DOCUMENT, ATTACHED).items()]
    for raw, expected in (
        (b"", "signature.json ends too early."),
        (b"{}", "Unsupported version of signature.json: None; this release reads 1."),
        (b'{"version": 1, "version": 1}', "signature.json has a duplicate key 'version'."),
    ):
        _, message, _ = validate_and_fail(make_zip(*parts, make_part("signature.json", raw)))
        assert message == expected


def test_fail_file_that_changes_after_the_check() -> None:
    one = replace(
        make_part("manifest.json", encode_manifest(make_manifest(make_event(1)))), method=0
    )
    file = io.BytesIO(make_zip(one))
    with read_bundle(file, max_bytes=MAX_BYTES) as found:
        at = file.getvalue().index(b"message 1")
        for change in (b"message 2", b'message"1', b"message\xff1"):
            file.seek(at)
            file.write(change)
            with pytest.raises(BundleDamaged):
                list_events(found)
