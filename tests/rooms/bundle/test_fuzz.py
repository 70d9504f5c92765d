"""Any input is either refused with an error of the suite, or read as a correct bundle."""

from __future__ import annotations

import copy
import json
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
    WHEN,
    encode_manifest,
    make_bundle,
    make_event,
    make_manifest,
    make_manifest_bundle,
    make_media_row,
    make_reaction,
    make_reply,
    make_uid,
    validate,
)
from tests.rooms.bundle.golden import GOLDEN, make_document

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
        return found.header, list(found.iter_events()), media


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
    changed = bytearray(raw)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        match data.draw(st.sampled_from(["set", "insert", "delete", "copy"])):
            case "set":
                changed[at : at + 1] = data.draw(st.binary(min_size=1, max_size=4))
            case "insert":
                changed[at:at] = data.draw(st.binary(min_size=1, max_size=8))
            case "delete":
                del changed[at : at + data.draw(st.integers(1, 30))]
            case _:
                source = data.draw(st.integers(0, len(raw) - 1))
                changed[at:at] = raw[source : source + 60]
    with little_memory():
        try:
            found = read(bytes(changed))
        except REFUSALS:
            return
        # What was accepted has the same content; only a time in a header may have changed.
        assert found == read(raw)


@given(st.binary(max_size=300))
def test_fail_noise(noise: bytes) -> None:
    for raw in (noise, b"PK\3\4" + noise, noise + SHORT[-22:], make_manifest_bundle(noise)):
        with little_memory(), pytest.raises(REFUSALS):
            read(raw)


ODD: list[Any] = [
    None, True, 0, -1, 1.5, "", "x", "\0", WHEN, make_uid(3), [], {}, [[]], {"a": {"a": 1}}, 2**63,
    2**70, 10**400, float("nan"), float("inf"), "\ud800", "x" * 70_000,
]  # fmt: skip


def spots(value: Any) -> list[tuple[Any, Any]]:
    """Yield the position of every value: its container, and its key or index."""
    found = []
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in list(children):
        found.append((value, key))
        if isinstance(child, dict | list):
            found += spots(child)
    return found


@given(st.data(), st.booleans())
def test_fail_values_changed(data: st.DataObject, lines: bool) -> None:
    changed = copy.deepcopy(make_document())
    del changed["media"][:3]
    for _ in range(data.draw(st.integers(1, 3))):
        places = spots(changed)
        container, key = places[data.draw(st.integers(0, len(places) - 1))]
        match data.draw(st.sampled_from(["set", "set", "delete", "double"])):
            case "set":
                container[key] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
            case "delete":
                del container[key]
            case _ if isinstance(container, list):
                container.insert(key, copy.deepcopy(container[key]))
            case _:
                container[f"{key}2"] = copy.deepcopy(container[key])
    try:
        raw = encode_manifest(changed) if lines else json.dumps(changed).encode()
    except (UnicodeEncodeError, KeyError, TypeError):
        raw = json.dumps(changed).encode()
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
