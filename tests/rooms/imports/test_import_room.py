"""What an import stores, strips and rewrites, and what it reports."""

from __future__ import annotations

from datetime import UTC, datetime
from io import BytesIO
from typing import Any
from uuid import UUID

import pytest
from django.core.files.storage import default_storage
from django.db import connection

from rooms.bundle.format import MIB
from rooms.bundle.manifest.schema import TimeWindow
from rooms.imports.id_mapping import IdMapper
from rooms.imports.import_room import ImportRequest, ImportResult, import_room
from rooms.models import (
    Event,
    ImportIntent,
    Media,
    Room,
    RoomImport,
    RoomMedia,
    RoomMember,
    StreamCounter,
)
from tenants.models import AuditEntry
from tests.rooms.imports.bundle_factories import ANNA, BOB, ROOM, Bundle, make_event, make_event_id
from tests.rooms.imports.factories import NOW, ImportTargetRows, make_home
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]
UNSIGNED = "The bundle is unsigned, so its origin can't be verified."
START_TEXT, END_TEXT = "2026-01-01T00:00:00.000000Z", "2026-02-01T00:00:00.000000Z"
ANNA_WAS = {
    "display_name": "Anna",
    "avatar_url": "https://old.example/anna.png",
    "fqid": "@anna:old.example",
}


@pytest.fixture
def home() -> ImportTargetRows:
    return make_home()


def import_bundle(home: ImportTargetRows, bundle: Bundle, **changes: Any) -> ImportResult:
    given: dict[str, Any] = {"operator": HOST_OPERATOR, "file": bundle.file()}
    given |= {name: changes.pop(name) for name in ("operator", "file", "once") if name in changes}
    values: dict[str, Any] = {"max_bytes": 64 * MIB, "now": NOW, **home.names, **changes}
    return import_room(request=ImportRequest(**values), **given)


def import_as_room(home: ImportTargetRows, bundle: Bundle, **changes: Any) -> Room:
    return Room.objects.get(pk=str(import_bundle(home, bundle, **changes).room_id))


def contents(room: Room) -> list[dict[str, Any]]:
    return list(room.events.order_by("stream_position").values_list("content", flat=True))


def test_success_room(home: ImportTargetRows) -> None:
    bundle = Bundle([make_event(1)], room={"is_public": True})
    room = import_as_room(home, bundle, public=True)
    assert (room.tenant, room.workspace, room.creator) == (home.tenant, home.workspace, home.anna)
    assert (room.name, room.topic, room.room_type) == ("Launch", "Up and away", "group")
    assert (room.is_public, room.visibility, room.read_role_slugs) == (True, "members", ["crew"])
    assert (room.state, room.room_alias, room.is_federated) == ("open", "", False)
    assert room.scope_kind is None
    assert room.created_at == datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    assert room.updated_at == NOW
    assert room.pk != UUID(ROOM)


def test_success_importer_is_the_only_member(home: ImportTargetRows) -> None:
    member = RoomMember.objects.get(room=import_as_room(home, Bundle([make_event(1)])))
    assert (member.participant, member.membership, member.power_level) == (home.anna, "join", 100)
    assert (member.joined_at, member.tenant) == (NOW, home.tenant)


def test_success_events(home: ImportTargetRows) -> None:
    changed = {
        "original_content": {"body": "Befor\\e"},
        "event_uuid": "019ab333-0000-7000-8000-000000000009",
        "created_at": "2026-01-02T03:04:06.000007Z",
        "edited_at": "2026-01-02T03:04:07.500000Z",
        "redacted_at": "2026-01-02T03:04:08.000000Z",
        "event_type": "com.example.\\odd\ttype",
    }
    plain, full = make_event(1), make_event(2, sender_id=BOB, **changed)
    room = import_as_room(home, Bundle([plain, full]))
    first, second = room.events.order_by("stream_position")
    new_id = IdMapper(room.pk)
    assert (str(first.pk), str(second.pk)) == (new_id(plain["id"]), new_id(full["id"]))
    assert {one.sender for one in (first, second)} == {home.anna}
    assert {one.tenant for one in (first, second)} == {home.tenant}
    assert first.content == {**plain["content"], "_imported_sender": ANNA_WAS}
    assert (first.original_content, first.event_uuid) == (None, None)
    assert (first.edited_at, first.redacted_at) == (None, None)
    assert first.created_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert second.content["_imported_sender"]["fqid"] == "@bob:far.example"
    assert second.original_content == changed["original_content"]
    assert (second.event_type, str(second.event_uuid)) == (
        changed["event_type"],
        changed["event_uuid"],
    )
    assert second.created_at == datetime(2026, 1, 2, 3, 4, 6, 7, tzinfo=UTC)
    assert second.edited_at == datetime(2026, 1, 2, 3, 4, 7, 500_000, tzinfo=UTC)
    assert second.redacted_at == datetime(2026, 1, 2, 3, 4, 8, tzinfo=UTC)
    assert [one.origin_ts for one in (first, second)] == [plain["origin_ts"], full["origin_ts"]]
    assert first.do_not_index
    assert second.do_not_index


@pytest.mark.only_on("sqlite")
def test_success_events_are_stored_as_django_stores_them(home: ImportTargetRows) -> None:
    """Otherwise lookups by time, id or content would find only some rows."""
    changed = {
        "created_at": "2026-01-02T03:04:06.000007Z",
        "edited_at": "2026-01-02T03:04:07.500000Z",
        "event_uuid": "019ab333-0000-7000-8000-000000000009",
        "original_content": {"body": "é"},
    }
    room = import_as_room(home, Bundle([make_event(1), make_event(2, **changed)]))
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM sw_events ORDER BY id")
        by_hand = cursor.fetchall()
        for one in room.events.all():
            one.save()
        cursor.execute("SELECT * FROM sw_events ORDER BY id")
        assert cursor.fetchall() == by_hand


def test_success_positions_follow_those_of_the_tenant(home: ImportTargetRows) -> None:
    before = row_factories.make_room(home.workspace, home.anna)
    row_factories.make_event(before, 500)
    room = import_as_room(home, Bundle([make_event(number) for number in (1, 5, 9)]))
    positions = room.events.order_by("stream_position").values_list("stream_position", flat=True)
    assert list(positions) == [501, 502, 503]
    assert StreamCounter.objects.get().last_position == 503


def test_success_references_point_to_the_new_events(home: ImportTargetRows) -> None:
    reply = make_event(2, content={"body": "Yes", "reply_to_event_id": make_event_id(1)})
    emoji = {"event_id": make_event_id(2), "sender_id": ANNA, "emoji": "🎉"}
    reaction = make_event(3, event_type="swp.room.reaction", content=emoji)
    gone = {"event_id": make_event_id(3), "redacted_by": BOB, "reason": None}
    redaction = make_event(4, event_type="swp.room.redaction", content=gone)
    room = import_as_room(home, Bundle([make_event(1), reply, reaction, redaction]))
    one, two, three, four = room.events.order_by("stream_position")
    assert two.content["reply_to_event_id"] == str(one.pk)
    assert three.content["event_id"] == str(two.pk)
    assert three.content["sender_id"] == ANNA
    assert four.content["event_id"] == str(three.pk)
    assert four.content["redacted_by"] == BOB


def test_success_stripped_and_cut(home: ImportTargetRows) -> None:
    marker = make_event(
        2, event_type="swp.room.read_marker", content={"event_id": make_event_id(1)}
    )
    aside = make_event(3, event_type="swp.sidekick.note", content={"text": "psst"})
    reply = make_event(4, content={"body": "Yes", "reply_to_event_id": make_event_id(3)})
    emoji = {"event_id": make_event_id(3), "emoji": "🎉"}
    reaction = make_event(5, event_type="swp.room.reaction", content=emoji)
    result = import_bundle(home, Bundle([make_event(1), marker, aside, reply, reaction]))
    assert (result.events, result.references_cut) == (2, 1)
    assert result.stripped == {
        "swp.room.read_marker": 1,
        "swp.sidekick.*": 1,
        "swp.room.reaction": 1,
    }
    positions = Event.objects.order_by("stream_position").values_list("stream_position", flat=True)
    assert list(positions) == [1, 2]
    assert Event.objects.get(stream_position=2).content == {
        "body": "Yes",
        "_imported_sender": ANNA_WAS,
    }


def test_success_media(home: ImportTargetRows) -> None:
    bundle = Bundle()
    cat, dog = bundle.add("cat.png", b"cat"), bundle.add("dog.png", b"dog", missing="lost")
    content = {"msgtype": "swp.media", "body": "", "media_id": cat, "thumbnail_id": dog}
    bundle.events = [make_event(1, content=content)]
    result = import_bundle(home, bundle)
    assert (result.media_stored, result.media_missing) == (1, 1)
    assert result.warnings == (UNSIGNED, "1 attachment is missing from the bundle.")
    media = Media.objects.get()
    with default_storage.open(media.storage_name) as file:
        assert file.read() == b"cat"
    assert RoomMedia.objects.get().name == "cat.png"
    room = Room.objects.get()
    assert contents(room)[0]["media_id"] == str(media.pk)
    assert contents(room)[0]["thumbnail_id"] == IdMapper(room.pk)(dog)
    assert not ImportIntent.objects.exists()


def test_success_media_is_stored_once_per_tenant(home: ImportTargetRows) -> None:
    bundle = Bundle([make_event(1)])
    bundle.add("cat.png", b"cat")
    import_bundle(home, bundle)
    result = import_bundle(home, bundle)
    assert (result.media_stored, result.media_already_there) == (0, 1)
    assert (Media.objects.count(), RoomMedia.objects.count()) == (1, 2)


def test_success_dm_becomes_a_group_and_an_archived_room_is_open(home: ImportTargetRows) -> None:
    result = import_bundle(home, Bundle(room={"room_type": "dm", "state": "archived", "name": ""}))
    room = Room.objects.get()
    assert (room.room_type, room.state, room.name) == ("group", "open", "")
    assert result.warnings == (
        UNSIGNED,
        "The direct message was imported as a group.",
        "The room was archived; the imported room is open.",
    )


@pytest.mark.parametrize(
    ("since", "until", "bounds"),
    [
        (START_TEXT, None, f"since {START_TEXT} and before the export"),
        (None, END_TEXT, f"before {END_TEXT}"),
        (START_TEXT, END_TEXT, f"since {START_TEXT} and before {END_TEXT}"),
    ],
)
def test_success_a_partial_room_is_reported(
    home: ImportTargetRows, since: str | None, until: str | None, bounds: str
) -> None:
    result = import_bundle(home, Bundle([make_event(1)], window=TimeWindow(since, until)))
    assert result.warnings == (
        UNSIGNED,
        f"The bundle is partial: it contains only events sent {bounds}.",
    )


def test_success_twice_makes_two_rooms(home: ImportTargetRows) -> None:
    bundle = Bundle([make_event(1), make_event(2)])
    first, second = import_as_room(home, bundle), import_as_room(home, bundle)
    assert first.pk != second.pk
    assert Event.objects.count() == 4
    assert contents(first) == contents(second)


def test_success_recorded_and_audited(home: ImportTargetRows) -> None:
    room = import_as_room(home, Bundle([make_event(1)]))
    source = RoomImport.objects.get(room=room)
    assert (source.source_room_id, source.source_server_name) == (ROOM, "old.example")
    assert (source.operator, source.created_at, source.tenant) == ("root", NOW, home.tenant)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.operator, entry.at) == ("import-room", "root", NOW)
    assert (entry.subject_type, entry.subject_id) == ("room", str(room.pk))
    assert entry.tenant_id == str(home.tenant.pk)
    assert entry.details == {
        "workspace": "main",
        "participant": str(home.anna.pk),
        "from_room": ROOM,
        "from_server": "old.example",
        "manifest_sha256": source.manifest_sha256,
        "events": 1,
    }


def test_success_from_a_stream_that_can_be_read_only_once(home: ImportTargetRows) -> None:
    class Pipe(BytesIO):
        def seekable(self) -> bool:
            return False

    room = import_as_room(home, Bundle(), file=Pipe(Bundle([make_event(1)]).data()))
    assert room.events.count() == 1


def test_success_dry_run_writes_nothing(home: ImportTargetRows, media_root: Any) -> None:
    bundle = Bundle([make_event(1), make_event(2)])
    bundle.add("cat.png", b"cat")
    left = ImportIntent.objects.create(tenant=home.tenant, operator="root", started_at=NOW)
    result = import_bundle(home, bundle, dry_run=True)
    assert (result.imported, result.dry_run, result.room_id) == (False, True, None)
    assert (result.events, result.media_stored) == (2, 1)
    assert result.sentence == (
        "Would import room 'Launch' into workspace main. No changes were made."
    )
    for model in (Room, Event, Media, StreamCounter, AuditEntry):
        assert not model.objects.exists()
    assert ImportIntent.objects.get() == left
    assert not media_root.exists()


def test_success_intents_of_interrupted_imports_are_removed_first(home: ImportTargetRows) -> None:
    other = row_factories.make_tenant("other")
    ImportIntent.objects.create(tenant=other, hashes=[], operator="root", started_at=NOW)
    import_bundle(home, Bundle())
    assert not ImportIntent.objects.exists()


def test_success_result_sentences(home: ImportTargetRows) -> None:
    result = import_bundle(home, Bundle([make_event(1)]))
    assert result.sentence == "Imported room 'Launch' into workspace main."
    assert result.document() == {
        "room": {"id": result.room_id, "name": "Launch", "workspace": "main"},
        "imported": True,
        "dry_run": False,
        "signature": "unsigned",
        "events": 1,
        "stripped": {},
        "references_cut": 0,
        "media": {"stored": 0, "already_there": 0, "infected": 0, "missing": 0},
        "warnings": [UNSIGNED],
    }
