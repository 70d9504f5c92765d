"""The comparison of `test_round_trip` detects every change."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.rooms.random_rooms import Drawn, create_room
from tests.rooms.round_trip import (
    Json,
    ReadBundle,
    Target,
    find_differences,
    is_same_json,
    read_bundle,
)
from tests.rooms.test_round_trip import a_home, export_bytes, import_bytes, target

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
FILES = [
    {"data": b"abc", "names": ["a.png", "b/c.png"], "status": "clean", "is_there": True},
    {"data": b"bad", "names": ["bad.exe"], "status": "infected", "is_there": False},
    {"data": b"lost", "names": ["lost.png"], "status": "pending", "is_there": False},
    {"data": b"def", "names": ["d.png"], "status": "pending", "is_there": True},
]


def event(event_type: str, content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {
        "event_type": event_type,
        "content": content,
        "original_content": None,
        "target": None,
        "files": [],
        "sender": 0,
        "origin_ts": 1_700_000_000,
        "created_at": MOMENT,
        **fields,
    }


EVENTS = [
    event("swp.room.message", {"body": "ü", "deep": [{"x": [1, 2.5, None, True, ""]}, []]}),
    event("swp.room.message", {"body": "b"}, target=0, files=[0, 1], sender=2,
          original_content={"body": "before"}, edited_at=MOMENT),
    event("swp.room.reaction", {"emoji": "👍"}, target=1, sender=3),
    event("swp.room.redaction", {"reason": ""}, target=0, event_uuid=None, redacted_at=MOMENT),
    event("swp.room.read_marker", {}, target=None),
    event("swp.room.reaction", {"emoji": "👀"}, target=4),
    event("swp.room.message", {"body": "c", "_imported_sender": {"fqid": "@x:y", "z": 1}},
          target=4, files=[2, 3], event_uuid="0190b0c0-0000-4000-8000-00000000beef"),
    event("org.example.x", {}, do_not_index=True, target=1),
]  # fmt: skip
ROOM = {
    "name": "Lobby",
    "topic": "Everything",
    "room_type": "dm",
    "state": "archived",
    "is_public": True,
    "room_alias": "lobby",
    "visibility": "listed",
    "read_role_slugs": ["staff"],
    "created_at": MOMENT,
}

# What may be anything, since nothing refers to it: when and by what the second bundle was made,
# the new room's id, those of events that no other speaks of, that of lost media,
# the order of media.
FREE = {
    "generator", "server_name", "exported_at", "room.id", "media.the other way round",
    "events[2].id", "events[3].id", "events[4].id", "events[5].id", "events[4].content.media_id",
}  # fmt: skip


@pytest.fixture
def pair(media_root: Path) -> tuple[ReadBundle, ReadBundle, Target]:
    files = [{**file, "mime_type": "image/png"} for file in FILES]
    home, there = a_home(), a_home()
    room = create_room(Drawn(ROOM, copy.deepcopy(EVENTS), files, None), home)
    first = export_bytes(home, str(room.pk))
    return (
        read_bundle(first),
        read_bundle(export_bytes(there, import_bytes(there, first))),
        target(there),
    )


pytestmark = pytest.mark.django_db(transaction=True)


def is_noticed(first: ReadBundle, second: ReadBundle, there: Target) -> bool:
    """Something that is no longer a manifest makes the comparison fail, which a test notices."""
    try:
        return bool(list(find_differences(first, second, there)))
    except (KeyError, TypeError, AttributeError, IndexError):
        return True


def test_success_every_change_of_the_manifest_is_detected(
    pair: tuple[ReadBundle, ReadBundle, Target],
) -> None:
    first, second, there = pair
    assert list(find_differences(*pair)) == []
    assert [event["event_type"] for event in second.events] == [
        "swp.room.message", "swp.room.message", "swp.room.reaction", "swp.room.redaction",
        "swp.room.message", "org.example.x",
    ]  # fmt: skip
    unnoticed = set()
    for path, manifest in changes(second.manifest):
        changed = ReadBundle(manifest, second.files)
        if not is_noticed(first, changed, there):
            unnoticed.add(path)
    assert unnoticed == FREE


def changes(value: Any) -> Iterator[tuple[str, Any]]:
    """The value with one thing in it changed, left out or added, and where that is."""
    match value:
        case dict():
            yield from _changes_of_object(value)
        case list():
            yield from _changes_of_list(value)
        case bool() | None:
            yield "", 1 if value else "something"
        case int() | float():
            yield "", value + 1
        case str():
            yield "", _another(value)


def _changes_of_object(value: Json) -> Iterator[tuple[str, Any]]:
    yield "with more", {**value, "more": None}
    for key, member in value.items():
        yield f"without {key}", {name: value[name] for name in value if name != key}
        for path, changed in changes(member):
            yield _join(key, path), {**value, key: changed}


def _changes_of_list(value: list[Any]) -> Iterator[tuple[str, Any]]:
    if len(value) > 1:
        yield "the other way round", value[::-1]
    for number, item in enumerate(value):
        before, after = value[:number], value[number + 1 :]
        yield f"without [{number}]", [*before, *after]
        yield f"with [{number}] twice", [*before, item, item, *after]
        for path, changed in changes(item):
            yield _join(f"[{number}]", path), [*before, changed, *after]


def _another(text: str) -> str:
    """Still an id where it was one."""
    if re.fullmatch(r"[0-9a-f-]{36}", text):
        return text[:-1] + ("0" if text[-1] != "0" else "1")
    return f"{text}x"


def _join(key: str, path: str) -> str:
    return f"{key}.{path}".replace(".[", "[").rstrip(".")


def test_success_every_change_of_a_file_is_detected(
    pair: tuple[ReadBundle, ReadBundle, Target],
) -> None:
    first, second, there = pair
    names = [name for name in second.files if name.startswith("media/")]
    assert len(names) == 2
    for name in names:
        fewer = {key: data for key, data in second.files.items() if key != name}
        for files in (fewer, {**second.files, name: b"other"}):
            assert is_noticed(first, ReadBundle(second.manifest, files), there)
    more = {**second.files, f"media/{'0' * 64}/x": b""}
    assert is_noticed(first, ReadBundle(second.manifest, more), there)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (None, False, False),
        ("1", 1, False),
        ([1, 2], [2, 1], False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
        ({"a": None}, {}, False),
        ([[]], [{}], False),
        ([], [[]], False),
    ],
)
def test_success_equality_of_json(one: Any, other: Any, expected: bool) -> None:
    assert is_same_json(one, other) is expected
    assert is_same_json(other, one) is expected
