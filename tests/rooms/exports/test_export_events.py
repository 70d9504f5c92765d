"""The events of a bundle, as the database encodes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis
import pytest
from django.db import connection
from hypothesis import strategies as st

from rooms.bundle.manifest.schema import TimeWindow
from rooms.errors import ExportDamaged
from rooms.exports.events import parse_positions
from rooms.models import Event, Room
from tests.rooms.exports.factories import (
    CONTENTS,
    EARLY,
    KEY,
    attach_media,
    export_bundle,
    make_room,
    make_window,
)
from tests.scaiwave import row_factories
from tests.tools import count_examples

pytestmark = pytest.mark.django_db(transaction=True)


def test_success_events() -> None:
    room = make_room()
    row_factories.make_event(room, 1, origin_ts=-5)
    row_factories.make_event(
        room,
        2**62,
        id=KEY,
        event_type='x."quoted"\n東',
        content={"body": "new"},
        original_content={"body": "old"},
        event_uuid=KEY,
        edited_at=EARLY,
        redacted_at=EARLY.replace(microsecond=0),
        do_not_index=True,
    )
    first, second = export_bundle(room).events
    assert list(first) == [
        "id",
        "sender_id",
        "event_type",
        "content",
        "stream_position",
        "origin_ts",
        "created_at",
    ]
    assert (first["origin_ts"], first["created_at"]) == (-5, "2026-03-04T05:06:07.000000Z")
    assert second == {
        "id": "0199f3c4-5a6b-7c8d-9e0f-a1b2c3d4e5f6",
        "sender_id": str(room.creator_id),
        "event_type": 'x."quoted"\n東',
        "content": {"body": "new"},
        "stream_position": 2**62,
        "origin_ts": 1_772_600_000,
        "created_at": "2026-03-04T05:06:07.000000Z",
        "original_content": {"body": "old"},
        "event_uuid": "0199f3c4-5a6b-7c8d-9e0f-a1b2c3d4e5f6",
        "edited_at": "2026-03-04T05:06:07.000089Z",
        "redacted_at": "2026-03-04T05:06:07.000000Z",
        "do_not_index": True,
    }


def test_success_content_is_exported_unchanged() -> None:
    room = make_room()
    for number, content in enumerate(CONTENTS):
        row_factories.make_event(room, number + 1, content=content, original_content=content)
    events = export_bundle(room).events
    assert [event["content"] for event in events] == CONTENTS
    assert [event["original_content"] for event in events] == CONTENTS


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-1e6, 1e6, allow_nan=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@hypothesis.settings(max_examples=count_examples(15))
@hypothesis.given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), min_size=1, max_size=20))
def test_success_any_content_is_exported_unchanged(contents: list[dict[str, Any]]) -> None:
    made = Room.objects.first() or make_room()
    Event.objects.all().delete()
    for number, content in enumerate(contents):
        row_factories.make_event(made, number + 1, content=content)
    assert [event["content"] for event in export_bundle(made).events] == contents


def test_success_one_event_a_line_in_the_order_of_the_stream() -> None:
    room, other = make_room(), make_room(row_factories.make_tenant("other"))
    for position in (5, 1, 400_000, 30):
        row_factories.make_event(room, position)
        row_factories.make_event(other, position)
    bundle = export_bundle(room)
    _, _, lines = bundle.files["manifest.json"].partition(b'"events": [\n')
    assert [
        json.loads(line.rstrip(b","))["stream_position"] for line in lines.splitlines()[:4]
    ] == [
        1,
        5,
        30,
        400_000,
    ]
    assert lines.splitlines()[4:] == [b"]}"]


def test_success_no_events() -> None:
    bundle = export_bundle(make_room())
    assert (bundle.events, bundle.manifest["senders"]) == ([], {})
    assert bundle.result.events == 0


def test_success_many_events_in_several_pieces() -> None:
    room = make_room()
    for number in range(40):
        row_factories.make_event(room, number + 1, content={"n": number, "body": "x" * 20_000})
    bundle = export_bundle(room)
    assert [event["content"]["n"] for event in bundle.events] == list(range(40))
    assert bundle.signature["counts"]["events"] == 40


def test_success_small_events_before_large_ones() -> None:
    """SQLite gives many at once, and fewer where they are large."""
    room = make_room()
    for number in range(400):
        body = "x" * (30_000 if number > 390 else number % 7)
        row_factories.make_event(room, 3 * number + 1, content={"n": number, "body": body})
    bundle = export_bundle(room)
    assert [event["content"]["n"] for event in bundle.events] == list(range(400))
    assert bundle.signature["counts"]["events"] == 400


@pytest.mark.parametrize(("positions", "after"), [("1 3 2", 0), ("4 5", 4), ("4 4", 1)])
def test_fail_another_order_than_the_streams(positions: str, after: int) -> None:
    with pytest.raises(ExportDamaged, match="out of stream order"):
        parse_positions(positions, after)


def test_success_foreign_senders() -> None:
    room = make_room()
    fred = row_factories.make_participant(
        room.tenant,
        "fred",
        participant_type="federated",
        server_name="far.example",
        display_name='Fréd "F"',
        avatar_url="https://far.example/f.png",
    )
    irc = row_factories.make_participant(room.tenant, "irc", participant_type="bridge")
    sender = {"display_name": "Earlier", "avatar_url": "", "fqid": "@earlier:x"}
    row_factories.make_event(room, 1)
    row_factories.make_event(room, 2, sender=fred, content={"body": "hi"})
    row_factories.make_event(room, 3, sender=irc, content={})
    row_factories.make_event(
        room, 4, sender=fred, content={"_imported_sender": sender, "body": "kept"}
    )
    row_factories.make_event(room, 5, content={"_imported_sender": sender})
    bundle = export_bundle(room)
    assert [event["content"] for event in bundle.events[1:]] == [
        {
            "body": "hi",
            "_imported_sender": {
                "display_name": 'Fréd "F"',
                "avatar_url": "https://far.example/f.png",
                "fqid": "@fred.acme:far.example",
            },
        },
        {
            "_imported_sender": {
                "display_name": "Irc",
                "avatar_url": "",
                "fqid": "@irc.acme:localhost",
            }
        },
        {"_imported_sender": sender, "body": "kept"},
        {"_imported_sender": sender},
    ]
    assert "_imported_sender" not in bundle.events[0]["content"]
    senders = bundle.manifest["senders"]
    assert {senders[str(who.pk)]["fqid"] for who in (fred, irc)} == {
        bundle.events[number]["content"]["_imported_sender"]["fqid"] for number in (1, 2)
    }
    assert [senders[key]["is_foreign"] for key in sorted(senders)].count(True) == 2


@pytest.mark.only_on("sqlite")  # PostgreSQL normalises jsonb
@pytest.mark.parametrize(
    ("written", "keys"),
    [
        ("{}", ["_imported_sender"]),
        (' { "body" : 1}', ["_imported_sender", "body"]),
        ('{"body": "_imported_sender"}', ["_imported_sender", "body"]),
        ('{"body": "\\u00e9"}', ["_imported_sender", "body"]),
        ('{"\\u005fimported_sender": {"fqid": "@e:x"}}', ["_imported_sender"]),
    ],
)
def test_success_foreign_sender_however_content_is_written(written: str, keys: list[str]) -> None:
    room = make_room()
    fred = row_factories.make_participant(room.tenant, "fred", participant_type="bridge")
    event = row_factories.make_event(room, 1, sender=fred)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE sw_events SET content = %s WHERE id = %s", [written, event.pk.hex])

    # As a list of pairs, which shows repeated keys.
    manifest = json.loads(export_bundle(room).files["manifest.json"], object_pairs_hook=list)

    [found] = dict(manifest)["events"]
    assert sorted(key for key, _ in dict(found)["content"]) == keys


def test_success_window_leaves_unrelated_attachments_out() -> None:
    room = make_room()
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    photo, preview, old, _ = (
        attach_media(room, name.encode(), name) for name in ("photo", "preview", "old", "unused")
    )
    for number, fields in (
        (0, {"content": {"media_id": str(old.pk)}}),
        (1, {"content": {"media_id": str(photo.pk), "thumbnail_id": "none"}}),
        (2, {"content": {}, "original_content": {"thumbnail_id": str(preview.pk)}}),
        (3, {"content": {"media_id": 7, "thumbnail_id": None}}),
    ):
        row_factories.make_event(
            room, number + 5, origin_ts=int(noon.timestamp()) + number, **fields
        )
    bundle = export_bundle(room, window=make_window(since=noon + timedelta(seconds=1)))
    assert {row["name"] for row in bundle.manifest["media"]} == {"photo", "preview"}
    assert bundle.result.warnings == []
    assert len(export_bundle(room).manifest["media"]) == 4
    empty = export_bundle(room, window=make_window(since=noon + timedelta(days=1)))
    assert (empty.events, empty.manifest["media"]) == ([], [])
    assert empty.result.warnings == [
        "The room has no events in this period, so the bundle has none."
    ]


def test_success_window() -> None:
    room = make_room()
    anna, berta = room.creator, row_factories.make_participant(room.tenant, "berta")
    noon = datetime(2026, 11, 24, 12, tzinfo=UTC)
    for number, who in ((-1, berta), (0, anna), (1, anna), (2, berta)):
        row_factories.make_event(
            room, number + 5, sender=who, origin_ts=int(noon.timestamp()) + number
        )

    def positions(window: TimeWindow) -> list[int]:
        return [event["stream_position"] for event in export_bundle(room, window=window).events]

    later = noon + timedelta(seconds=2)
    assert positions(make_window(since=noon)) == [5, 6, 7]
    assert positions(make_window(until=noon)) == [4]
    assert positions(make_window(noon, later)) == [5, 6]
    assert positions(make_window(noon + timedelta(seconds=0.5), later)) == [6]
    bundle = export_bundle(room, window=make_window(noon, later))
    assert list(bundle.manifest["senders"]) == [str(anna.pk)]
    assert bundle.manifest["window"] == {
        "since": "2026-11-24T12:00:00.000000Z",
        "until": "2026-11-24T12:00:02.000000Z",
    }
