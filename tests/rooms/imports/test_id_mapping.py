"""New ids from old, and what contents look like with them."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace
from typing import Any, cast
from uuid import RFC_4122, UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rooms.bundle.format import IMPORTED_SENDER
from rooms.services.imports.id_mapping import EventRewriter, IdMapper
from scaiwave.ids import new_id

ROOM, OTHER_ROOM = uuid4(), uuid4()
ANNA = {"display_name": "Anna", "avatar_url": "", "fqid": "@anna:old.example"}
SENDER = str(uuid4())
HERE = {str(uuid4()): str(uuid4())}


@given(st.uuids())
def test_success_new_ids_are_uuids_of_version_8(old: UUID) -> None:
    new = IdMapper(ROOM)(str(old))
    assert str(UUID(new)) == new
    assert (UUID(new).version, UUID(new).variant) == (8, RFC_4122)


@given(st.uuids(), st.uuids())
def test_success_new_ids_differ_by_room_and_by_old_id(one: UUID, two: UUID) -> None:
    new_id = IdMapper(ROOM)
    assert new_id(str(one)) == new_id(str(one)) == IdMapper(ROOM)(str(one))
    assert (new_id(str(one)) == new_id(str(two))) == (one == two)
    assert new_id(str(one)) != IdMapper(OTHER_ROOM)(str(one))


def test_success_new_ids_keep_the_time_of_old_ones() -> None:
    olds = [str(new_id()) for _ in range(500)]
    news = [IdMapper(ROOM)(old) for old in olds]
    assert [new[:13] for new in news] == [old[:13] for old in olds]
    assert len(set(news)) == len(olds)


def test_success_new_ids_of_ids_without_a_time_are_random() -> None:
    news = [IdMapper(ROOM)(f"00000000-0000-4000-8000-{number:012x}") for number in range(500)]
    assert len({new[:8] for new in news}) == len(news)


def rewritten(
    content: dict[str, Any],
    event_type: str = "swp.room.message",
    original: dict[str, Any] | None = None,
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    senders = cast(Any, {SENDER: SimpleNamespace(**ANNA)})
    event = SimpleNamespace(
        event_type=event_type,
        sender_id=SENDER,
        content=deepcopy(content),
        original_content=deepcopy(original),
    )
    EventRewriter(IdMapper(ROOM), senders=senders, media_ids=HERE).rewrite(cast(Any, event))
    return event.content, event.original_content


@pytest.mark.parametrize(
    ("event_type", "key"),
    [
        ("swp.room.message", "reply_to_event_id"),
        ("swp.room.reaction", "event_id"),
        ("swp.room.redaction", "event_id"),
    ],
)
def test_success_references_are_mapped(event_type: str, key: str) -> None:
    old = str(new_id())
    content, original = rewritten({key: old}, event_type, {key: old})
    assert content[key] == IdMapper(ROOM)(old)
    assert original == {key: IdMapper(ROOM)(old)}


def test_success_references_of_other_types_stay() -> None:
    content = {"event_id": str(new_id()), "reply_to_event_id": str(new_id())}
    assert rewritten(content, "com.example.poll")[0] == {**content, IMPORTED_SENDER: ANNA}


def test_success_stored_media_is_mapped_and_other_media_is_not() -> None:
    (known, here), unknown = next(iter(HERE.items())), str(uuid4())
    content, _ = rewritten({"media_id": known, "thumbnail_id": unknown})
    assert content["media_id"] == here
    assert content["thumbnail_id"] == IdMapper(ROOM)(unknown)


@pytest.mark.parametrize(
    "value", [None, "", "cat.png", 7, ["x"], {"id": "x"}, "BF1A336E-A15E-4518-9437-E1E22A814A75"]
)
def test_success_values_that_are_not_ids_stay(value: Any) -> None:
    given_content = {"media_id": value, "reply_to_event_id": value}
    content, original = rewritten(given_content, original=given_content)
    assert content == {**given_content, IMPORTED_SENDER: ANNA}
    assert original == given_content


def test_success_existing_imported_sender_stays() -> None:
    before = {"body": "x", IMPORTED_SENDER: {"display_name": "Someone", "more": [1]}}
    assert rewritten(before) == (before, None)


def test_success_the_added_sender_is_short() -> None:
    """A sender of a mebibyte would make a bundle of thousand events a gibibyte of rows."""
    long = dict.fromkeys(ANNA, "x" * 2**20)
    event = SimpleNamespace(
        event_type="swp.room.message", sender_id=SENDER, content={}, original_content=None
    )
    senders = cast(Any, {SENDER: SimpleNamespace(**long)})
    EventRewriter(IdMapper(ROOM), senders=senders, media_ids={}).rewrite(cast(Any, event))
    sender = event.content[IMPORTED_SENDER]
    assert {key: len(value) for key, value in sender.items()} == {
        "display_name": 300,
        "avatar_url": 0,
        "fqid": 512,
    }


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text().filter(lambda key: not key.endswith("_id")), json_values))
def test_success_everything_else_stays(content: dict[str, Any]) -> None:
    expected = {IMPORTED_SENDER: ANNA, **content}
    assert rewritten(content, original=content) == (expected, content)
