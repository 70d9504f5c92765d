"""Any input is either refused with an error of the suite, or read as a correct bundle."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.bundle.manifest.events import BundleEvent
from rooms.errors import BundleError, BundleNotZip, ContentTooLarge, ImportRefused
from tests.rooms.bundle.factories import (
    list_events,
    make_bundle,
    make_event,
    make_manifest,
    make_manifest_bundle,
    make_media_row,
    make_reaction,
    make_reply,
    validate,
)
from tests.rooms.bundle.golden import GOLDEN
from tests.rooms.bundle.mutations import Json, changed_bytes, changed_manifests

REFUSALS = (BundleError, ImportRefused, ContentTooLarge)
MOST_MEMORY = 16 * 1024 * 1024
PHOTO = random.Random(3).randbytes(50_000)


def long_bundle() -> bytes:
    """About 60,000 bytes, most of them an attachment."""
    events = [make_reply(number, to=1) for number in range(2, 120)]
    whole = make_manifest(
        make_event(1), *events, make_reaction(120, to=3), media=[make_media_row(PHOTO)]
    )
    return make_bundle(whole, ("photo.png", PHOTO))


LONG = long_bundle()
SHORT = GOLDEN.read_bytes()


def read(raw: bytes) -> tuple[Any, list[BundleEvent], list[bytes]]:
    """Return everything that a bundle contains."""
    with validate(raw) as found:
        media = []
        for row in found.header.media:
            if row.missing is None:
                with found.open_media(row.sha256) as file:
                    media.append(file.read())
        return found.header, list_events(found), media


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


def test_success_is_about_60_kb() -> None:
    assert 50_000 < len(LONG) < 70_000
    assert len(read(LONG)[1]) == 120


@pytest.mark.parametrize("size", range(1000, len(LONG), 1000))
def test_fail_truncated(size: int) -> None:
    with pytest.raises(BundleNotZip) as caught:
        validate(LONG[:size])
    assert caught.value.message == "The archive is incomplete: its end is missing."


@given(st.data())
def test_fail_bytes_changed(data: st.DataObject) -> None:
    raw = data.draw(st.sampled_from([SHORT, SHORT, LONG]))
    changed = data.draw(changed_bytes(raw))
    with little_memory():
        try:
            found = read(changed)
        except REFUSALS:
            return
        # What was accepted has the same content; only a time in a header may have changed.
        assert found == read(raw)


@given(st.binary(max_size=300))
def test_fail_noise(noise: bytes) -> None:
    for raw in (noise, b"PK\3\4" + noise, noise + SHORT[-22:], make_manifest_bundle(noise)):
        with little_memory(), pytest.raises(REFUSALS):
            read(raw)


@given(changed_manifests())
def test_fail_values_changed(changed_manifest: tuple[Json, bytes]) -> None:
    changed, raw = changed_manifest
    with little_memory():
        try:
            head, events, _ = read(make_manifest_bundle(raw))
        except REFUSALS:
            return
    given_events = {one["id"]: one for one in changed["events"]}
    assert head.room.name == changed["room"]["name"]
    for one in events:
        assert one.content.items() <= given_events[one.id]["content"].items()
        assert one.stream_position == given_events[one.id]["stream_position"]
