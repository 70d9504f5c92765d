"""Manifests with an invalid event."""

from __future__ import annotations

from typing import Any

from tests.rooms.bundle.corpus_manifests import MIB, remove_key
from tests.rooms.bundle.factories import (
    JSON,
    WHEN,
    make_event,
    make_manifest,
    make_reaction,
    make_reply,
    make_uid,
)


def make_second(**changes: Any) -> JSON:
    """Return a manifest whose second event of three has these changes."""
    return make_manifest(make_event(1), make_event(2, **changes), make_event(3))


def make_nested(levels: int) -> Any:
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def make_content(size: int) -> JSON:
    """Return content with this many bytes as compact JSON."""
    return {"body": "é" * ((size - len('{"body":""}')) // 2) + "x" * ((size - 11) % 2)}


EVENTS: dict[str, JSON] = {
    "sender that is not there": make_manifest(
        make_event(1), make_event(2, sender_id=make_uid(0xC))
    ),
    "event ids twice": make_manifest(
        make_event(1), make_event(2), make_event(3, id=make_uid(0x1001))
    ),
    "out of order": make_manifest(make_event(1), make_event(2, stream_position=40), make_event(3)),
    "one position twice": make_manifest(
        make_event(1), make_event(2), make_event(3, stream_position=20)
    ),
    "position 0": make_manifest(make_event(1, stream_position=0)),
    "reaction to nothing": make_manifest(make_event(1), make_reaction(2, to=9)),
    "many references to nothing": make_manifest(
        *[make_reply(number, to=99) for number in range(1, 6)]
    ),
    "reference that isn't text": make_manifest(make_event(1, content={"reply_to_event_id": 7})),
    "reference in the original content": make_manifest(
        make_event(1, original_content={"reply_to_event_id": make_uid(9)})
    ),
    "id in upper case": make_second(event_uuid=make_uid(0xABC).upper()),
    "id without hyphens": make_manifest(make_event(1), make_event(2, id="0" * 32)),
    "invalid day": make_second(created_at="2026-02-29T00:00:00.000000Z"),
    "invalid hour": make_second(edited_at="2026-02-28T24:00:00.000000Z"),
    "invalid second": make_second(redacted_at="2026-02-28T23:59:60.000000Z"),
    "year 0": make_second(created_at="0000-01-01T00:00:00.000000Z"),
    "digits of another script": make_second(created_at="٢٠" + WHEN[2:]),
    "origin_ts out of range": make_second(origin_ts=-(10**19)),
    "type that is empty": make_second(event_type=""),
    "type that is too long": make_second(event_type="é" * 256),
    "content that is a list": make_second(content=[]),
    "content that is null": make_second(content=None),
    "original content that is a text": make_second(original_content="x"),
    "position that only a double holds": make_second(stream_position=10**19),
    "position with a fraction": make_second(stream_position=20.5),
    "sender that is a number": make_second(sender_id=1),
    "id that is a number": make_manifest(make_event(1), make_event(2, id=7)),
    "event that is a text": make_manifest(make_event(1), "event"),  # type: ignore[arg-type]
    "event without content": make_manifest(make_event(1), remove_key(make_event(2), "content")),
    "U+0000": make_second(content={"body": "a\0b"}),
    "U+0000 in a key": make_second(content={"a\0": 1}),
    "too deep": make_manifest(
        make_event(1), make_event(2, content={"x": make_nested(63)}), make_event(3)
    ),
    "far too deep": make_manifest(make_event(1, content={"x": make_nested(900)})),
    "integer of more than 64 bits": make_second(content={"x": 2**63}),
    "integer of less than 64 bits": make_second(content={"x": [{"y": -(2**63) - 1}]}),
    "huge integer": make_second(content={"x": 10**4200}),
    "content too large": make_manifest(
        make_event(1), make_event(2, content=make_content(65537)), make_event(3)
    ),
    "imported sender too large": make_manifest(
        make_event(1, content={"_imported_sender": {"display_name": "x" * 70000}})
    ),
    "original content too large": make_manifest(
        make_event(1, original_content=make_content(70000))
    ),
    "event too long": make_manifest(make_event(1), make_event(2, content={"body": "x" * MIB})),
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
