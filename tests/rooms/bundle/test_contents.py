"""Attachments, and signature.json, against what is in the archive."""

from __future__ import annotations

import io
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from rooms.bundle.reader import check_bundle
from rooms.errors import BundleDamaged, BundleDuplicate, BundleError, BundleVersion
from tests.rooms.bundle.archives import described, zip_of
from tests.rooms.bundle.bundles import (
    LIMITS,
    bundle,
    checked,
    entries_of,
    event,
    manifest,
    manifest_bytes,
    media_row,
    part,
    signature,
)

PHOTO = b"bytes of a photo"
HASH = sha256(PHOTO).hexdigest()
DOCUMENT = manifest(event(1), media=[media_row(PHOTO), media_row(PHOTO, "copy.png")])
ATTACHED = ("photo.png", PHOTO)
NAME = f"media/{HASH}/photo.png"


def refused(raw: bytes) -> tuple[type[BundleError], str, str | None]:
    with pytest.raises(BundleError) as caught:
        checked(raw)
    return type(caught.value), caught.value.message, caught.value.details.get("entry")


def signed(**changes: Any) -> bytes:
    one = signature(entries_of(DOCUMENT, ATTACHED), DOCUMENT, **changes)
    return bundle(DOCUMENT, ATTACHED, signed=one)


def rows(**changes: Any) -> list[dict[str, Any]]:
    """The entries of signature.json with the changes in the second."""
    first, second = signature(entries_of(DOCUMENT, ATTACHED), DOCUMENT)["entries"]
    return [first, {**second, **changes}]


def test_success_media() -> None:
    with checked(bundle(DOCUMENT, ATTACHED)) as found:
        with found.open_media(HASH) as file:
            assert file.read() == PHOTO
        with pytest.raises(KeyError):
            found.open_media("0" * 64)
        assert [row.name for row in found.head.media] == ["photo.png", "copy.png"]
        assert found.manifest_sha256 == sha256(manifest_bytes(DOCUMENT)).hexdigest()


def test_success_two_readers_at_once() -> None:
    data = bytes(range(256)) * 4000
    document = manifest(event(1), event(2), media=[media_row(data)])
    with checked(bundle(document, ("photo.png", data))) as found:
        events = found.events()
        with found.open_media(sha256(data).hexdigest()) as file:
            half = file.read(500_000)
            assert next(events).stream_position == 10
            assert half + file.read() == data
        assert [one.stream_position for one in events] == [20]


@pytest.mark.parametrize("form", [(False, True), (False, False), (True, True), (True, False)])
def test_success_sizes_behind_the_data(form: tuple[bool, bool]) -> None:
    wide, with_signature = form
    one = part("manifest.json", manifest_bytes(manifest(event(1))))
    with checked(zip_of(described(one, wide=wide, signed=with_signature))) as found:
        assert found.signature is None
        assert found.counts.events == 1


@pytest.mark.parametrize("reason", ["infected", "lost", "left out"])
def test_success_missing_media(reason: str) -> None:
    document = manifest(media=[media_row(PHOTO, missing=reason)])
    with checked(bundle(document)) as found:
        assert found.head.media[0].missing == reason


def test_fail_hash_that_lies() -> None:
    raw = bundle(DOCUMENT, ATTACHED)
    lie = zip_of(
        part("manifest.json", manifest_bytes(DOCUMENT)), part(NAME, PHOTO.replace(b"b", b"B"))
    )
    assert refused(lie) == (
        BundleDamaged,
        f"The bytes of {NAME} do not have the hash in its name.",
        NAME,
    )
    checked(raw).close()


def test_fail_media_that_is_not_there() -> None:
    assert refused(bundle(DOCUMENT)) == (BundleDamaged, f"The entry {NAME} is missing.", NAME)


def test_fail_media_that_the_manifest_does_not_have() -> None:
    other = f"media/{HASH}/other.png"
    for document, name in ((manifest(), NAME), (DOCUMENT, other)):
        raw = bundle(document, (name.rpartition("/")[2], PHOTO))
        assert refused(raw) == (
            BundleDamaged,
            f"The entry {name} is not in the manifest's `media`.",
            name,
        )


def test_fail_media_that_is_there_and_missing() -> None:
    document = manifest(media=[media_row(PHOTO, missing="lost")])
    assert refused(bundle(document, ATTACHED)) == (
        BundleDamaged,
        f"The entry {NAME} is there, but missing according to the manifest (lost).",
        NAME,
    )


def test_fail_media_of_another_size() -> None:
    document = manifest(media=[media_row(PHOTO, size=99)])
    assert refused(bundle(document, ATTACHED)) == (
        BundleDamaged,
        f"The entry {NAME} has 16 bytes; the manifest says 99.",
        NAME,
    )


def test_fail_media_twice() -> None:
    twice = ATTACHED, ("copy.png", PHOTO)
    copy = f"media/{HASH}/copy.png"
    assert refused(bundle(DOCUMENT, *twice)) == (
        BundleDuplicate,
        f"The bytes of {copy} are in the archive twice.",
        copy,
    )


COUNTS = signature({}, DOCUMENT)["counts"]
SIGNATURES: dict[str, tuple[dict[str, Any], str]] = {
    "another hash": (
        {"entries": rows(sha256="0" * 64)},
        f"The entry {NAME} does not have the hash and size in signature.json.",
    ),
    "another size": (
        {"entries": rows(size=1)},
        f"The entry {NAME} does not have the hash and size in signature.json.",
    ),
    "an entry too many": (
        {"entries": [*rows(), {"name": "x", "sha256": "", "size": 0}]},
        "signature.json names 'x', which is not in the archive, or twice.",
    ),
    "an entry twice": (
        {"entries": [*rows(), *rows()]},
        "signature.json names 'manifest.json', which is not in the archive, or twice.",
    ),
    "an entry too few": (
        {"entries": rows()[:1]},
        f"signature.json does not name {NAME}.",
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
        "signature.json is half signed: key_id, algorithm and signature come together.",
    ),
    "a day that is none": (
        {"signed_at": "2026-02-30T00:00:00.000000Z"},
        "signature.json has a time that is none, '2026-02-30T00:00:00.000000Z'.",
    ),
    "a text for the counts": (
        {"counts": "many"},
        "signature.json is not as the format wants it: Expected `object`, got `str` - at "
        "`$.counts`.",
    ),
    "a server with a long name": (
        {"server_name": "x" * 256},
        "signature.json is not as the format wants it: Expected `str` of length <= 255 - at "
        "`$.server_name`.",
    ),
    "a number without a form of RFC 8785": (
        {"extra": 2**60},
        "signature.json has a value that RFC 8785 has no form for.",
    ),
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_fail_signature_that_disagrees(name: str) -> None:
    changes, message = SIGNATURES[name]
    error, said, _ = refused(signed(**changes))
    assert (error, said) == (BundleDamaged, message)


def test_fail_signature_of_the_next_version() -> None:
    assert refused(signed(version=2)) == (
        BundleVersion,
        "signature.json is of version 2; this release reads 1 alone.",
        "signature.json",
    )


def test_fail_signature_that_is_not_json() -> None:
    parts = [part(name, data) for name, data in entries_of(DOCUMENT, ATTACHED).items()]
    for raw, trouble in (
        (b"", "ends too early"),
        (b"{}", "is of version None; this release reads 1 alone"),
        (b'{"version": 1, "version": 1}', "has the key 'version' twice"),
    ):
        _, message, _ = refused(zip_of(*parts, part("signature.json", raw)))
        assert message == f"signature.json {trouble}."


def test_fail_file_that_changes_after_the_check() -> None:
    one = replace(part("manifest.json", manifest_bytes(manifest(event(1)))), method=0)
    file = io.BytesIO(zip_of(one))
    with check_bundle(file, limits=LIMITS) as found:
        at = file.getvalue().index(b"message 1")
        for change in (b"message 2", b'message"1', b"message\xff1"):
            file.seek(at)
            file.write(change)
            with pytest.raises(BundleDamaged):
                list(found.events())
