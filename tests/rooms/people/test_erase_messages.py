from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.storage import default_storage

from rooms.models import (
    Event,
    ImportIntent,
    Media,
    Room,
    RoomImport,
    RoomMedia,
    SearchDocument,
)
from tenants.errors import ParticipantOnHold, RoomOnHold
from tenants.holds.hold import add_hold
from tenants.models import AuditEntry, Participant
from tenants.people.purge_participant import purge_participant
from tests.rooms.exports.factories import attach_media
from tests.rooms.people.test_export_participant import ANNA_FQID, say
from tests.rooms.search.factories import backfill
from tests.scaiwave.row_factories import make_participant, make_room, make_tenant, make_workspace
from tests.tenants.factories import EARLIER, HOST_OPERATOR, NOW

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def anna() -> Participant:
    tenant = make_tenant()
    return make_participant(tenant, "anna", scaikey_id="usr_anna", absent_since=EARLIER)


@pytest.fixture
def lobby(anna: Participant) -> Room:
    bo = make_participant(anna.tenant, "bo")
    lobby = make_room(make_workspace(anna.tenant), bo)
    own, both = attach_media(lobby, b"own", "own.png"), attach_media(lobby, b"both", "both.png")
    first = say(lobby, anna, "secret one", content={"media_id": str(own.pk)})
    say(lobby, anna, "secret two", original_content={"body": "secret draft"}, edited_at=NOW)
    say(lobby, anna, "", content={"media_id": str(both.pk)})
    say(
        lobby,
        bo,
        "bo's words",
        content={"media_id": str(both.pk), "reply_to_event_id": str(first.pk)},
    )
    say(lobby, anna, "", "reaction", content={"event_id": str(first.pk), "emoji": "🎉"})
    say(lobby, bo, "", "reaction", content={"event_id": str(first.pk), "emoji": "👍"})
    backfill()
    return lobby


def purge(person: Participant, **changes: Any) -> Any:
    arguments = {"name": str(person.pk), "reason": "r17", "now": NOW, "with_messages": True}
    return purge_participant(
        operator=HOST_OPERATOR, confirm=lambda question: None, **{**arguments, **changes}
    )


def test_success(lobby: Room, anna: Participant) -> None:
    # Another server has redacted it, and left its text.
    first = Event.objects.order_by("stream_position")[0]
    Event.objects.filter(pk=first.pk).update(redacted_at=NOW - timedelta(days=9))
    dry = purge(anna, dry_run=True)
    assert Event.objects.filter(redacted_at=None).count() == 5
    result = purge(anna)
    assert result.rest == dry.rest == {"erased": {"messages": 3, "reactions": 1, "files": 1}}
    events = list(Event.objects.order_by("stream_position"))
    assert [(event.content["body"], event.redacted_at) for event in events] == [
        ("", NOW), ("", NOW), ("", NOW), ("bo's words", None), ("", None),
    ]  # fmt: skip
    assert "secret" not in json.dumps([(each.content, each.original_content) for each in events])
    assert list(SearchDocument.objects.values_list("body", flat=True)) == ["bo's words"]
    assert list(Media.objects.values_list("size", flat=True)) == [4]
    assert len(default_storage.listdir(f"tenant/{anna.tenant_id}")[1]) == 1
    anna.refresh_from_db()
    assert anna.purged_at == NOW
    details = [
        entry.details for entry in AuditEntry.objects.filter(subject_id=str(anna.pk)).order_by("pk")
    ]
    assert details[:-1] == [
        {"reason": "r17", "room": str(lobby.pk), "attachments": 1, "files": 1, "file_bytes": 3},
        {"reason": "r17", "room": str(lobby.pk), "deleted_events": 1, "redacted_events": 3},
    ]
    assert not purge(anna).changed


def test_success_after_a_purge_without_messages(lobby: Room, anna: Participant) -> None:
    purge(anna, with_messages=False)
    assert Event.objects.filter(redacted_at=None).count() == 6
    assert purge(anna).changed
    assert Event.objects.filter(redacted_at=None).count() == 2


def test_success_messages_that_others_wrote_in_an_imported_room_stay(
    lobby: Room, anna: Participant
) -> None:
    imported = make_room(lobby.workspace, anna, "Old")
    for fqid, body in ((ANNA_FQID, "her old words"), ("@x:old.example", "of another")):
        sender = {"display_name": "Anna", "avatar_url": "", "fqid": fqid}
        say(imported, anna, body, content={"_imported_sender": sender})
    purge(anna)
    bodies = Event.objects.filter(room=imported).order_by("stream_position")
    assert [event.content["body"] for event in bodies] == ["", "of another"]


@pytest.mark.parametrize("with_messages", [True, False])
def test_success_their_picture_in_an_imported_room(
    lobby: Room, anna: Participant, with_messages: bool
) -> None:
    """It goes, unless it is also the picture of someone else there."""
    rooms = {fqid: make_room(lobby.workspace, anna, fqid) for fqid in (ANNA_FQID, "@x:old.example")}
    pictures = {room: attach_media(room, room.name.encode(), "face.png") for room in rooms.values()}
    for fqid, room in rooms.items():
        RoomImport.objects.create(tenant=room.tenant, room=room, created_at=NOW)
        for author in (ANNA_FQID, fqid):
            url = f"media:{pictures[room].pk}"
            sender = {"display_name": "A", "avatar_url": url, "fqid": author}
            say(room, anna, "old", content={"_imported_sender": sender})
    purge(anna, with_messages=with_messages)
    files = [default_storage.exists(picture.storage_name) for picture in pictures.values()]
    assert files == [False, True]
    assert list(RoomMedia.objects.filter(name="face.png")) == list(
        RoomMedia.objects.filter(room=rooms["@x:old.example"])
    )
    assert not ImportIntent.objects.exists()


@pytest.mark.parametrize("scope", ["participant", "room"])
def test_fail_on_hold(lobby: Room, anna: Participant, scope: str) -> None:
    key: dict[str, Any] = {"participant": str(anna.pk)}
    if scope == "room":
        key = {"room": str(lobby.pk), "tenant": str(anna.tenant_id)}
    add_hold(operator=HOST_OPERATOR, reason="court", now=NOW, **key)
    with pytest.raises((ParticipantOnHold, RoomOnHold)):
        purge(anna)
    assert Event.objects.filter(redacted_at=None).count() == 6


@pytest.mark.parametrize("options", [{}, {"dry_run": True}])
def test_fail_a_hold_on_someone_else_covers_the_messages(
    lobby: Room, anna: Participant, options: dict[str, Any]
) -> None:
    """An importer is the sender of all events. Otherwise they would stay unnoticed."""
    importer = make_participant(anna.tenant, "importer")
    sender = {"display_name": "Anna", "avatar_url": "", "fqid": ANNA_FQID}
    imported = make_room(lobby.workspace, importer, "Old")
    say(imported, importer, "her old words", content={"_imported_sender": sender})
    add_hold(operator=HOST_OPERATOR, reason="x", now=NOW, participant=str(importer.pk))
    with pytest.raises(ParticipantOnHold, match="a hold on someone else"):
        purge(anna, **options)
    assert Event.objects.filter(redacted_at=None).count() == 7
    anna.refresh_from_db()
    assert anna.purged_at is None
