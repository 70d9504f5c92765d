"""Events that are no good, each in a manifest and with the refusal it gets."""

from __future__ import annotations

from typing import Any

from rooms.errors import BundleBadManifest, BundleOutOfOrder, ContentTooLarge, DanglingReference
from tests.rooms.bundle.corpus_manifests import MIB, Bad, bad, without
from tests.rooms.bundle.factories import JSON, WHEN, event, manifest, reaction, reply, uid


def second(message: str, **changes: Any) -> Bad:
    """What the second of three events is refused for."""
    events = event(1), event(2, **changes), event(3)
    return bad(manifest(*events), f"Event 2 ({uid(0x1002)}) {message}")


def untyped(message: str, **changes: Any) -> Bad:
    return second(f"does not match the format: {message}", **changes)


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def long_content(size: int) -> JSON:
    """Content of so many bytes as compact JSON."""
    return {"body": "é" * ((size - len('{"body":""}')) // 2) + "x" * ((size - 11) % 2)}


_FOREIGN = "Expected `str`, got `int`"

EVENTS: dict[str, Bad] = {
    "sender that is not there": bad(
        manifest(event(1), event(2, sender_id=uid(0xC))),
        f"Event 2 ({uid(0x1002)}) has a sender that is not in `senders`: {uid(0xC)}.",
    ),
    "event ids twice": bad(
        manifest(event(1), event(2), event(3, id=uid(0x1001))),
        f"Events 1 and 3 of the manifest have the same ID: {uid(0x1001)}.",
    ),
    "out of order": Bad(
        manifest(event(1), event(2, stream_position=40), event(3)),
        BundleOutOfOrder,
        f"Event 3 ({uid(0x1003)}) is out of order: stream_position 30 does not follow 40.",
    ),
    "one position twice": Bad(
        manifest(event(1), event(2), event(3, stream_position=20)),
        BundleOutOfOrder,
        f"Event 3 ({uid(0x1003)}) is out of order: stream_position 20 does not follow 20.",
    ),
    "position 0": Bad(
        manifest(event(1, stream_position=0)),
        BundleOutOfOrder,
        f"Event 1 ({uid(0x1001)}) is out of order: stream_position 0 does not follow 0.",
    ),
    "reaction to nothing": Bad(
        manifest(event(1), reaction(2, to=9)),
        DanglingReference,
        f"Events refer to events that are not in the bundle: event 2 ({uid(0x1002)}) to "
        f"{uid(0x1009)}.",
    ),
    "many references to nothing": Bad(
        manifest(*[reply(number, to=99) for number in range(1, 6)]),
        DanglingReference,
        "Events refer to events that are not in the bundle: "
        + "; ".join(f"event {n} ({uid(0x1000 + n)}) to {uid(0x1063)}" for n in (1, 2, 3))
        + "; 2 more.",
    ),
    "reference that is no text": Bad(
        manifest(event(1, content={"reply_to_event_id": 7})),
        DanglingReference,
        f"Events refer to events that are not in the bundle: event 1 ({uid(0x1001)}) to 7.",
    ),
    "reference in the original content": Bad(
        manifest(event(1, original_content={"reply_to_event_id": uid(9)})),
        DanglingReference,
        f"Events refer to events that are not in the bundle: event 1 ({uid(0x1001)}) to {uid(9)}.",
    ),
    "id in upper case": second(
        f"has an invalid event_uuid: '{uid(0xABC).upper()}'.", event_uuid=uid(0xABC).upper()
    ),
    "id without hyphens": Bad(
        manifest(event(1), event(2, id="0" * 32)),
        BundleBadManifest,
        f"Event 2 ({'0' * 32}) has an invalid id: '{'0' * 32}'.",
    ),
    "day that is none": second(
        "has an invalid created_at: '2026-02-29T00:00:00.000000Z'.",
        created_at="2026-02-29T00:00:00.000000Z",
    ),
    "hour that is none": second(
        "has an invalid edited_at: '2026-02-28T24:00:00.000000Z'.",
        edited_at="2026-02-28T24:00:00.000000Z",
    ),
    "second that is none": second(
        "has an invalid redacted_at: '2026-02-28T23:59:60.000000Z'.",
        redacted_at="2026-02-28T23:59:60.000000Z",
    ),
    "year 0": second(
        "has an invalid created_at: '0000-01-01T00:00:00.000000Z'.",
        created_at="0000-01-01T00:00:00.000000Z",
    ),
    "digits of another script": second(
        "has an invalid created_at: '٢٠26-11-24T19:05:00.000000Z'.",
        created_at="٢٠" + WHEN[2:],
    ),
    "origin_ts out of range": second(
        "has an origin_ts out of range: 253402300800.", origin_ts=253_402_300_800
    ),
    "type that is empty": second(
        "has an event_type that is empty or longer than 255 characters.", event_type=""
    ),
    "type that is too long": second(
        "has an event_type that is empty or longer than 255 characters.", event_type="é" * 256
    ),
    "content that is a list": untyped(
        "Expected `object`, got `array` - at `$.content`.", content=[]
    ),
    "content that is null": untyped(
        "Expected `object`, got `null` - at `$.content`.", content=None
    ),
    "original content that is a text": untyped(
        "Expected `object | null`, got `str` - at `$.original_content`.", original_content="x"
    ),
    "position that only a double holds": second(
        f"has a stream_position of more than 64 bits: {10**19}.", stream_position=10**19
    ),
    "position with a fraction": untyped(
        "Expected `int`, got `float` - at `$.stream_position`.", stream_position=20.5
    ),
    "sender that is a number": untyped(f"{_FOREIGN} - at `$.sender_id`.", sender_id=1),
    "id that is a number": bad(
        manifest(event(1), event(2, id=7)),
        f"Event 2 does not match the format: {_FOREIGN} - at `$.id`.",
    ),
    "event that is a text": bad(
        manifest(event(1), "event"),  # type: ignore[arg-type]
        "Event 2 does not match the format: Expected `object`, got `str`.",
    ),
    "event without content": bad(
        manifest(event(1), without(event(2), "content")),
        f"Event 2 ({uid(0x1002)}) does not match the format: Object missing required field "
        "`content`.",
    ),
    "U+0000": second("has U+0000 in a text.", content={"body": "a\0b"}),
    "U+0000 in a key": second("has U+0000 in a text.", content={"a\0": 1}),
    "too deep": bad(
        manifest(event(1), event(2, content={"x": deep(63)}), event(3)),
        "Event 2 is nested deeper than 64 levels.",
    ),
    "far too deep": bad(
        manifest(event(1, content={"x": deep(900)})), "Event 1 is nested deeper than 64 levels."
    ),
    "integer of more than 64 bits": second(
        "has an integer of more than 64 bits.", content={"x": 2**63}
    ),
    "integer of less than 64 bits": second(
        "has an integer of more than 64 bits.", content={"x": [{"y": -(2**63) - 1}]}
    ),
    "huge integer": second("has an integer of more than 64 bits.", content={"x": 10**4200}),
    "content too large": Bad(
        manifest(event(1), event(2, content=long_content(65537)), event(3)),
        ContentTooLarge,
        f"Event 2 ({uid(0x1002)}) has content of 65,537 bytes (maximum 65,536).",
    ),
    "imported sender too large": Bad(
        manifest(event(1, content={"_imported_sender": {"display_name": "x" * 70000}})),
        ContentTooLarge,
        f"Event 1 ({uid(0x1001)}) has content._imported_sender of 70,019 bytes (maximum 65,536).",
    ),
    "original content too large": Bad(
        manifest(event(1, original_content=long_content(70000))),
        ContentTooLarge,
        f"Event 1 ({uid(0x1001)}) has original_content of 70,000 bytes (maximum 65,536).",
    ),
    "event too long": bad(
        manifest(event(1), event(2, content={"body": "x" * MIB})),
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
