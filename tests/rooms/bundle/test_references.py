from __future__ import annotations

import sys

import pytest

from rooms.bundle.manifest.reader import EventCounts
from tests.rooms.bundle.factories import (
    encode_manifest,
    make_event,
    make_manifest,
    make_manifest_bundle,
    make_reaction,
    make_reply,
    make_uid,
    read_events,
    validate,
)

REDACTION = "swp.room.redaction"
WINDOW = {"since": None, "until": "2026-11-24T00:00:00.000000Z"}


def raw(*events: dict[str, object], **changes: object) -> bytes:
    return make_manifest_bundle(encode_manifest(make_manifest(*events, **changes)))


def test_success_references_to_existing_events_stay() -> None:
    events = [
        make_event(1),
        make_reply(2, to=1),
        make_reaction(3, to=2),
        make_reaction(4, to=3, kind=REDACTION),
    ]
    counts, found = read_events(raw(*events))
    assert counts == EventCounts(events=4, kept=4)
    assert [one.content for one in found] == [one["content"] for one in events]


def test_success_reference_to_a_later_event() -> None:
    assert read_events(raw(make_reply(1, to=2), make_event(2)))[0].references_cut == 0


def test_success_references_are_cut_in_a_window_or_on_request() -> None:
    events = [
        make_reply(1, to=90),
        make_reaction(2, to=91),
        make_reaction(3, to=92, kind=REDACTION),
        make_event(4),
    ]
    expected = EventCounts(
        events=4, kept=2, references_cut=1, reactions_stripped=1, redactions_stripped=1
    )
    for counts, found in (
        read_events(raw(*events, window=WINDOW)),
        read_events(raw(*events), cut_references=True),
    ):
        assert counts == expected
        assert [one.id for one in found] == [make_uid(0x1001), make_uid(0x1004)]
        assert found[0].content == {"body": "reply 1"}


def test_success_references_to_stripped_events_are_always_cut() -> None:
    events = [
        make_event(1, event_type="swp.room.read_marker"),
        make_event(2, event_type="swp.sidekick.note"),
        make_event(3, event_type="swp.sidekick.other"),
        make_reply(4, to=2),
        make_reaction(5, to=1),
    ]
    counts, found = read_events(raw(*events))
    assert counts == EventCounts(
        events=5,
        kept=1,
        stripped={"swp.room.read_marker": 1, "swp.sidekick.*": 2},
        references_cut=1,
        reactions_stripped=1,
    )
    assert [one.content for one in found] == [{"body": "reply 4"}]


def test_success_references_to_cut_events_are_cut() -> None:
    """A chain as long as the room: each redaction redacts the one before it."""
    chain = [make_reaction(number, to=number - 1, kind=REDACTION) for number in range(2, 3000)]
    events = [make_event(1, event_type="swp.room.read_marker"), *chain, make_reply(3001, to=2999)]
    counts, found = read_events(raw(*events))
    assert (counts.kept, counts.redactions_stripped, counts.references_cut) == (1, 2998, 1)
    assert [one.content for one in found] == [{"body": "reply 3001"}]


def test_success_original_content_is_cut_but_strips_nothing() -> None:
    original = {"event_id": make_uid(9), "emoji": "👎"}
    counts, found = read_events(
        raw(make_event(1), make_reaction(2, to=1, original_content=original)), cut_references=True
    )
    assert (counts.kept, counts.references_cut, counts.reactions_stripped) == (2, 1, 0)
    assert found[1].content == {"event_id": make_uid(0x1001), "emoji": "👍"}
    assert found[1].original_content == {"emoji": "👎"}


def test_success_both_contents_are_cut() -> None:
    message = make_reply(
        1, to=9, original_content={"body": "old", "reply_to_event_id": make_uid(8)}
    )
    counts, found = read_events(raw(message), cut_references=True)
    assert counts.references_cut == 1
    assert (found[0].content, found[0].original_content) == ({"body": "reply 1"}, {"body": "old"})


def test_success_no_reference_where_the_key_is_absent_or_null() -> None:
    """As in a reaction whose content was emptied when it was redacted."""
    events = [
        make_event(1, event_type="swp.room.reaction", content={}),
        make_event(2, content={"reply_to_event_id": None}),
        make_event(3, event_type="custom", content={"event_id": make_uid(9)}),
    ]
    assert read_events(raw(*events))[0] == EventCounts(events=3, kept=3)


def test_success_many_events_are_cut_where_they_should_be() -> None:
    """Over several batches, so that the numbers of the events are put to the test."""
    events = [
        make_reaction(number, to=90_000) if number % 700 == 0 else make_event(number)
        for number in range(1, 5001)
    ]
    counts, found = read_events(raw(*events), cut_references=True)
    assert counts.reactions_stripped == 7
    expected = [one["id"] for one in events if one["event_type"] == "swp.room.message"]
    assert [one.id for one in found] == expected


def test_success_reader_that_stops_early_gets_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An interrupted import closes the bundle before it closes its events."""
    errors: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", errors.append)
    found = validate(raw(*[make_reply(number, to=99) for number in range(1, 9)], window=WINDOW))
    events = found.iter_events()
    next(events)
    found.close()
    del events
    assert errors == []
