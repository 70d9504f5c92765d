"""Manifests with an invalid event, each with the error it causes."""

from __future__ import annotations

from typing import Any

from rooms.errors import BundleBadManifest, BundleOutOfOrder, ContentTooLarge, DanglingReference
from tests.rooms.bundle.corpus_manifests import MIB, BadManifest, make_bad, remove_key
from tests.rooms.bundle.factories import (
    JSON,
    WHEN,
    make_event,
    make_manifest,
    make_reaction,
    make_reply,
    make_uid,
)


def make_second_bad(message: str, **changes: Any) -> BadManifest:
    """Return a manifest whose second event of three causes this error."""
    events = make_event(1), make_event(2, **changes), make_event(3)
    return make_bad(make_manifest(*events), f"Event 2 ({make_uid(0x1002)}) {message}")


def make_untyped(message: str, **changes: Any) -> BadManifest:
    return make_second_bad(f"does not match the format: {message}", **changes)


def make_nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def make_content(size: int) -> JSON:
    """Return content with this many bytes as compact JSON."""
    return {"body": "é" * ((size - len('{"body":""}')) // 2) + "x" * ((size - 11) % 2)}


_FOREIGN = "Expected `str`, got `int`"

EVENTS: dict[str, BadManifest] = {
    "sender that is not there": make_bad(
        make_manifest(make_event(1), make_event(2, sender_id=make_uid(0xC))),
        f"Event 2 ({make_uid(0x1002)}) has a sender that is not in `senders`: {make_uid(0xC)}.",
    ),
    "event ids twice": make_bad(
        make_manifest(make_event(1), make_event(2), make_event(3, id=make_uid(0x1001))),
        f"Events 1 and 3 of the manifest have the same ID: {make_uid(0x1001)}.",
    ),
    "out of order": BadManifest(
        make_manifest(make_event(1), make_event(2, stream_position=40), make_event(3)),
        BundleOutOfOrder,
        f"Event 3 ({make_uid(0x1003)}) is out of order: stream_position 30 does not follow 40.",
    ),
    "one position twice": BadManifest(
        make_manifest(make_event(1), make_event(2), make_event(3, stream_position=20)),
        BundleOutOfOrder,
        f"Event 3 ({make_uid(0x1003)}) is out of order: stream_position 20 does not follow 20.",
    ),
    "position 0": BadManifest(
        make_manifest(make_event(1, stream_position=0)),
        BundleOutOfOrder,
        f"Event 1 ({make_uid(0x1001)}) is out of order: stream_position 0 does not follow 0.",
    ),
    "reaction to nothing": BadManifest(
        make_manifest(make_event(1), make_reaction(2, to=9)),
        DanglingReference,
        f"Events refer to events that are not in the bundle: event 2 ({make_uid(0x1002)}) to "
        f"{make_uid(0x1009)}.",
    ),
    "many references to nothing": BadManifest(
        make_manifest(*[make_reply(number, to=99) for number in range(1, 6)]),
        DanglingReference,
        "Events refer to events that are not in the bundle: "
        + "; ".join(f"event {n} ({make_uid(0x1000 + n)}) to {make_uid(0x1063)}" for n in (1, 2, 3))
        + "; 2 more.",
    ),
    "reference that isn't text": BadManifest(
        make_manifest(make_event(1, content={"reply_to_event_id": 7})),
        DanglingReference,
        f"Events refer to events that are not in the bundle: event 1 ({make_uid(0x1001)}) to 7.",
    ),
    "reference in the original content": BadManifest(
        make_manifest(make_event(1, original_content={"reply_to_event_id": make_uid(9)})),
        DanglingReference,
        f"Events refer to events that are not in the bundle: event 1 ({make_uid(0x1001)}) to "
        f"{make_uid(9)}.",
    ),
    "id in upper case": make_second_bad(
        f"has an invalid event_uuid: '{make_uid(0xABC).upper()}'.",
        event_uuid=make_uid(0xABC).upper(),
    ),
    "id without hyphens": BadManifest(
        make_manifest(make_event(1), make_event(2, id="0" * 32)),
        BundleBadManifest,
        f"Event 2 ({'0' * 32}) has an invalid id: '{'0' * 32}'.",
    ),
    "invalid day": make_second_bad(
        "has an invalid created_at: '2026-02-29T00:00:00.000000Z'.",
        created_at="2026-02-29T00:00:00.000000Z",
    ),
    "invalid hour": make_second_bad(
        "has an invalid edited_at: '2026-02-28T24:00:00.000000Z'.",
        edited_at="2026-02-28T24:00:00.000000Z",
    ),
    "invalid second": make_second_bad(
        "has an invalid redacted_at: '2026-02-28T23:59:60.000000Z'.",
        redacted_at="2026-02-28T23:59:60.000000Z",
    ),
    "year 0": make_second_bad(
        "has an invalid created_at: '0000-01-01T00:00:00.000000Z'.",
        created_at="0000-01-01T00:00:00.000000Z",
    ),
    "digits of another script": make_second_bad(
        "has an invalid created_at: '٢٠26-11-24T19:05:00.000000Z'.",
        created_at="٢٠" + WHEN[2:],
    ),
    "origin_ts out of range": make_second_bad(
        f"has an origin_ts of more than 64 bits: {-(10**19)}.", origin_ts=-(10**19)
    ),
    "type that is empty": make_second_bad(
        "has an event_type that is empty or longer than 255 characters.", event_type=""
    ),
    "type that is too long": make_second_bad(
        "has an event_type that is empty or longer than 255 characters.", event_type="é" * 256
    ),
    "content that is a list": make_untyped(
        "Expected `object`, got `array` - at `$.content`.", content=[]
    ),
    "content that is null": make_untyped(
        "Expected `object`, got `null` - at `$.content`.", content=None
    ),
    "original content that is a text": make_untyped(
        "Expected `object | null`, got `str` - at `$.original_content`.", original_content="x"
    ),
    "position that only a double holds": make_second_bad(
        f"has a stream_position of more than 64 bits: {10**19}.", stream_position=10**19
    ),
    "position with a fraction": make_untyped(
        "Expected `int`, got `float` - at `$.stream_position`.", stream_position=20.5
    ),
    "sender that is a number": make_untyped(f"{_FOREIGN} - at `$.sender_id`.", sender_id=1),
    "id that is a number": make_bad(
        make_manifest(make_event(1), make_event(2, id=7)),
        f"Event 2 does not match the format: {_FOREIGN} - at `$.id`.",
    ),
    "event that is a text": make_bad(
        make_manifest(make_event(1), "event"),  # type: ignore[arg-type]
        "Event 2 does not match the format: Expected `object`, got `str`.",
    ),
    "event without content": make_bad(
        make_manifest(make_event(1), remove_key(make_event(2), "content")),
        f"Event 2 ({make_uid(0x1002)}) does not match the format: Object missing required field "
        "`content`.",
    ),
    "U+0000": make_second_bad("has U+0000 in a text.", content={"body": "a\0b"}),
    "U+0000 in a key": make_second_bad("has U+0000 in a text.", content={"a\0": 1}),
    "too deep": make_bad(
        make_manifest(make_event(1), make_event(2, content={"x": make_nested(63)}), make_event(3)),
        "Event 2 is nested deeper than 64 levels.",
    ),
    "far too deep": make_bad(
        make_manifest(make_event(1, content={"x": make_nested(900)})),
        "Event 1 is nested deeper than 64 levels.",
    ),
    "integer of more than 64 bits": make_second_bad(
        "has an integer of more than 64 bits.", content={"x": 2**63}
    ),
    "integer of less than 64 bits": make_second_bad(
        "has an integer of more than 64 bits.", content={"x": [{"y": -(2**63) - 1}]}
    ),
    "huge integer": make_second_bad(
        "has an integer of more than 64 bits.", content={"x": 10**4200}
    ),
    "content too large": BadManifest(
        make_manifest(make_event(1), make_event(2, content=make_content(65537)), make_event(3)),
        ContentTooLarge,
        f"Event 2 ({make_uid(0x1002)}) has content of 65,537 bytes (maximum 65,536).",
    ),
    "imported sender too large": BadManifest(
        make_manifest(make_event(1, content={"_imported_sender": {"display_name": "x" * 70000}})),
        ContentTooLarge,
        f"Event 1 ({make_uid(0x1001)}) has content._imported_sender of 70,019 bytes "
        "(maximum 65,536).",
    ),
    "original content too large": BadManifest(
        make_manifest(make_event(1, original_content=make_content(70000))),
        ContentTooLarge,
        f"Event 1 ({make_uid(0x1001)}) has original_content of 70,000 bytes (maximum 65,536).",
    ),
    "event too long": make_bad(
        make_manifest(make_event(1), make_event(2, content={"body": "x" * MIB})),
        "Event 2 is longer than 1,048,576 bytes.",
    ),
}

# What `json.dumps` does not write: an event's content as text.
CONTENTS: dict[str, tuple[str, str]] = {
    "NaN": ('{"x": NaN}', "has NaN, which is not JSON."),
    "Infinity": ('{"x": -Infinity}', "has -Infinity, which is not JSON."),
    "number too large": ('{"x": 1e999}', "has a number that is too large."),
    "half of a pair": ('{"x": "\\ud800"}', "has half of a surrogate pair in a text."),
    "half of a pair in a key": ('{"\\udc00": 1}', "has half of a surrogate pair in a text."),
    "duplicate keys": ('{"x": 1, "x": 1}', "has a duplicate key 'x'."),
    "duplicate keys, written differently": ('{"x":1,"\\u0078" :1}', "has a duplicate key 'x'."),
    "duplicate keys far below": ('{"a": [{"b": {"x": 1, "x": 2}}]}', "has a duplicate key 'x'."),
    "key without a value": ('{"x"}', "is not JSON: Expecting ':' delimiter (at "),
}
