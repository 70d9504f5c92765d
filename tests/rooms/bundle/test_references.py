"""References between events: an import keeps them, cuts them, or leaves an event out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest

from rooms.bundle.manifest.events import Batch, BundleEvent
from rooms.bundle.manifest.reader import EventCounts
from rooms.bundle.manifest.references import IN_CONTENT, IN_ORIGINAL, STRIP, ReferenceIndex
from rooms.errors import BundleBadManifest, DanglingReference
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

MESSAGE, REACTION, REDACTION = "swp.room.message", "swp.room.reaction", "swp.room.redaction"
MARKER = "swp.room.read_marker"
"""A type of events that no import keeps."""
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
    assert [event.content for event in found] == [event["content"] for event in events]


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
        assert [event.id for event in found] == [make_uid(0x1001), make_uid(0x1004)]
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
    assert [event.content for event in found] == [{"body": "reply 4"}]


def test_success_references_to_cut_events_are_cut() -> None:
    """A chain as long as the room: each redaction redacts the one before it."""
    chain = [make_reaction(number, to=number - 1, kind=REDACTION) for number in range(2, 3000)]
    events = [make_event(1, event_type="swp.room.read_marker"), *chain, make_reply(3001, to=2999)]
    counts, found = read_events(raw(*events))
    assert (counts.kept, counts.redactions_stripped, counts.references_cut) == (1, 2998, 1)
    assert [event.content for event in found] == [{"body": "reply 3001"}]


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
    expected = [event["id"] for event in events if event["event_type"] == "swp.room.message"]
    assert [event.id for event in found] == expected


def test_success_reader_that_stops_early_gets_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An interrupted import closes the bundle before it closes its events."""
    errors: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", errors.append)
    found = validate(raw(*[make_reply(number, to=99) for number in range(1, 9)], window=WINDOW))
    events = found.iter_batches()
    next(events)
    found.close()
    del events
    assert errors == []


# Large rooms: the index has only the last events in memory, and needs its tables for the others.

EVENTS = 12_000


def make_ids(order: str, rng: Random) -> list[str]:
    """Return `EVENTS` IDs. `order` names how they are ordered.

    By number (all), except within each 300 (neighbours), except for one ID that is far too low
    (one), or not at all (random).
    """
    ids = [make_uid(number * 7) for number in range(1, EVENTS + 1)]
    match order:
        case "neighbours":
            for start in range(0, EVENTS, 300):
                part = ids[start : start + 300]
                ids[start : start + 300] = rng.sample(part, len(part))
        case "one":
            ids.insert(rng.randrange(9000, EVENTS), make_uid(rng.randrange(1, 1000) * 7 + 1))
        case "random":
            rng.shuffle(ids)
    return ids[:EVENTS]


def make_room(ids: Sequence[str], rng: Random) -> list[BundleEvent]:
    """Return events of all types that refer to events before and after them, near and far."""
    events = []
    for number, event_id in enumerate(ids):
        kind = rng.choice([MESSAGE] * 6 + [REACTION] * 3 + [REDACTION, "swp.room.name"])
        kind = MARKER if rng.random() < 0.003 else kind
        event = BundleEvent(**make_event(number, id=event_id, event_type=kind, content={}))
        if kind in (MESSAGE, REACTION, REDACTION) and rng.random() < 0.6:
            event.content = make_content(kind, pick_target(ids, number, rng))
            if rng.random() < 0.1:
                event.original_content = make_content(kind, pick_target(ids, number, rng))
        events.append(event)
    return events


def make_content(kind: str, target: Any) -> dict[str, Any]:
    return {"reply_to_event_id" if kind == MESSAGE else "event_id": target}


def pick_target(ids: Sequence[str], number: int, rng: Random) -> Any:
    """Return what event `number` refers to: mostly the ID of another, in rare cases anything."""
    if rng.random() < 0.002:
        return rng.choice([make_uid(3), make_uid(10**9), "x", "", 7, ["x"], {"id": "x"}, None])
    distance = rng.choice([1, 100, 100, 100, 5000, EVENTS])
    target = ids[min(max(number - rng.randint(-distance // 10, distance), 0), EVENTS - 1)]
    return target.upper() if rng.random() < 0.01 else target


def index_events(events: Sequence[BundleEvent], rng: Random) -> ReferenceIndex:
    index, start = ReferenceIndex(), 0
    while start < len(events):
        size = rng.choice([1, 10, 600, 1200])
        index.add(Batch(events[start : start + size]))
        start += size
    return index


def iter_targets(event: BundleEvent) -> Iterator[tuple[int, Any]]:
    """Yield (place, target) of each reference. Any target but a text refers to nothing."""
    for place, content in ((IN_CONTENT, event.content), (IN_ORIGINAL, event.original_content)):
        for target in (content or {}).values():
            if target is not None:
                yield place, target.lower() if isinstance(target, str) else repr(target)


def expect_edits(events: Sequence[BundleEvent]) -> list[tuple[int, int]]:
    """Return (number, STRIP or the places to cut) of each changed event, without an index."""
    kept = {event.id for event in events if event.event_type != MARKER}
    while lost := {
        event.id
        for event in events
        if event.event_type in (REACTION, REDACTION) and event.id in kept
        for place, target in iter_targets(event)
        if place == IN_CONTENT and target not in kept
    }:
        kept -= lost
    edits = []
    for number, event in enumerate(events, 1):
        # The places are bits: 3 is both.
        cut = sum(place for place, target in iter_targets(event) if target not in kept)
        if event.id not in kept:
            edits.append((number, STRIP))
        elif cut:
            edits.append((number, cut))
    return edits


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("order", ["all", "neighbours", "one", "random"])
def test_success_large_rooms(order: str, seed: int) -> None:
    rng = Random(seed)
    ids = make_ids(order, rng)
    events = make_room(ids, rng)
    index = index_events(events, rng)
    dropped = index.resolve(may_cut=True)
    edits = expect_edits(events)
    assert list(index.iter_pending_edits()) == edits
    assert index.stripped == {MARKER: sum(event.event_type == MARKER for event in events)}
    gone = [events[number - 1].event_type for number, places in edits if places == STRIP]
    assert index.dropped_count == len(gone)
    assert dropped == {
        "references_cut": len(edits) - len(gone),
        "reactions_stripped": gone.count(REACTION),
        "redactions_stripped": gone.count(REDACTION),
    }
    index.close()

    present = set(ids)
    missing = [
        number
        for number, event in enumerate(events, 1)
        if any(target not in present for _, target in iter_targets(event))
    ]
    index = index_events(events, rng)
    with pytest.raises(DanglingReference) as caught:
        index.resolve(may_cut=False)
    index.close()
    assert caught.value.details["event"] == missing[0]
    assert caught.value.details["event_id"] == ids[missing[0] - 1]
    for number in missing[:3]:
        assert f"event {number:,} ({ids[number - 1]}) to " in caught.value.message
    assert f"; {len(missing) - 3:,} more." in caught.value.message


@pytest.mark.parametrize("distance", [1, 500, 3000, 5000, 11_000])
@pytest.mark.parametrize("order", ["all", "neighbours", "random"])
def test_fail_duplicate_far_away(order: str, distance: int) -> None:
    rng = Random(distance)
    ids = make_ids(order, rng)
    first = rng.randrange(EVENTS - distance)
    ids[first + distance] = ids[first]
    index = index_events(make_room(ids, rng), rng)
    with pytest.raises(BundleBadManifest) as caught:
        index.resolve(may_cut=True)
    index.close()
    assert caught.value.message == (
        f"Events {first + 1:,} and {first + distance + 1:,} of the manifest have the same ID: "
        f"{ids[first]}."
    )
