from __future__ import annotations

import json
import stat
import zipfile
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage

from rooms.models import Event, Room, RoomMember
from rooms.people.export_participant import export_participant, write_participant_export
from scaiwave.core.errors import FileExists, InsufficientPermission
from tenants.models import AuditEntry, Participant
from tests.rooms.exports.factories import attach_media
from tests.scaiwave.row_factories import (
    make_event,
    make_participant,
    make_room,
    make_tenant,
    make_workspace,
)
from tests.tenants.factories import HOST_OPERATOR, NOW, READ_ONLY_OPERATOR

pytestmark = pytest.mark.django_db(transaction=True)

OTHERS = ("Bo Berg", "bo's secret", "bo's quoted words", "by the importer", "bo@example.com")
ANNA_FQID = "@anna.acme:localhost"


@pytest.fixture
def anna() -> Participant:
    return make_participant(make_tenant(), "anna", scaikey_id="usr_anna")


@pytest.fixture
def bo(anna: Participant) -> Participant:
    return make_participant(anna.tenant, "bo", display_name="Bo Berg")


def say(room: Room, sender: Participant, body: str, kind: str = "message", **more: Any) -> Event:
    position = Event.objects.count() + 1
    content = {"msgtype": "swp.text", "body": body, **more.pop("content", {})}
    kind = f"swp.room.{kind}"
    return make_event(room, position, sender=sender, content=content, event_type=kind, **more)


@pytest.fixture
def lobby(anna: Participant, bo: Participant) -> Room:
    """A room in which both have written, with a file of each."""
    lobby = make_room(make_workspace(anna.tenant), bo, topic="bo's secret topic")
    RoomMember.objects.create(tenant=anna.tenant, room=lobby, participant=anna)
    files = {name: attach_media(lobby, name.encode(), f"{name}.png") for name in ("hers", "his")}
    quoted = say(lobby, bo, "bo's quoted words", content={"media_id": str(files["his"].pk)})
    reply = {"reply_to_event_id": str(quoted.pk), "mentions": [str(bo.pk)]}
    answer = say(lobby, anna, "anna answers", content=reply)
    say(lobby, anna, "her file", content={"media_id": str(files["hers"].pk)})
    say(lobby, bo, "", "reaction", content={"event_id": str(answer.pk), "emoji": "🎉"})
    say(lobby, anna, "", "reaction", content={"event_id": str(quoted.pk), "emoji": "👍"})
    say(lobby, bo, "bo's secret")
    return lobby


def export(target: Path, who: str = "anna@example.com", **changes: Any) -> dict[str, bytes]:
    arguments = {"operator": HOST_OPERATOR, "name": who, "reason": "r17", "now": NOW, **changes}
    write_participant_export(partial(export_participant, **arguments), target, overwrite=False)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_success(lobby: Room, anna: Participant, bo: Participant, tmp_path: Path) -> None:
    target = tmp_path / "anna.zip"
    files = export(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    manifest = json.loads(files["manifest.json"])
    assert manifest["counts"] == {
        "roles": 0, "audit_entries": 1, "rooms": 1, "events": 3, "media": 1, "missing_media": {}
    }  # fmt: skip
    # Every entry is listed with its hash, but the manifest itself.
    listed = {row["name"]: (row["sha256"], row["size"]) for row in manifest["files"]}
    assert listed == {
        name: (sha256(data).hexdigest(), len(data))
        for name, data in files.items()
        if name != "manifest.json"
    }
    messages = json.loads(files[f"rooms/{lobby.pk}/messages.json"])
    assert [event["content"]["body"] for event in messages["events"]] == [
        "anna answers", "her file", "",
    ]  # fmt: skip
    assert list(messages["senders"]) == [str(anna.pk)]
    # Others are IDs where she has mentioned or answered them.
    assert messages["events"][0]["content"]["mentions"] == [str(bo.pk)]
    everything = b"\n".join(files.values()).decode(errors="replace")
    assert [text for text in OTHERS if text in everything] == []
    pages = [name for name in files if name.endswith(".html") and "index" not in name]
    assert "anna answers" in files[pages[0]].decode()
    assert [data for name, data in files.items() if "/media/" in name] == [b"hers"]
    (entry,) = [json.loads(line) for line in files["audit.jsonl"].splitlines()]
    assert (entry["action"], entry["operator"]) == ("export-participant", None)
    audited = AuditEntry.objects.get()
    assert audited.subject_id == str(anna.pk)
    assert audited.details == {"reason": "r17", "rooms": 1, "left_out": []}


def test_success_imported_messages_are_of_their_original_sender(
    lobby: Room, anna: Participant, bo: Participant, tmp_path: Path
) -> None:
    """Anna has imported a room, so that she is the sender of all its events."""
    imported = make_room(lobby.workspace, anna, "Old")
    for fqid, body in ((ANNA_FQID, "her old words"), ("@x:old.example", "by the importer")):
        sender = {"display_name": ANNA_FQID, "avatar_url": "", "fqid": fqid}
        say(imported, anna, body, content={"_imported_sender": sender})
    files = export(tmp_path / "anna.zip")
    messages = json.loads(files[f"rooms/{imported.pk}/messages.json"])
    assert [event["content"]["body"] for event in messages["events"]] == ["her old words"]
    assert b"by the importer" not in b"\n".join(files.values())


def test_success_rooms_that_must_stay_and_lost_files_are_named(
    lobby: Room, anna: Participant, tmp_path: Path
) -> None:
    hidden = make_room(lobby.workspace, anna, "Hidden", room_type="incognito")
    say(hidden, anna, "hidden words")
    default_storage.delete(lobby.media.get(name="hers.png").media.storage_name)
    files = export(tmp_path / "anna.zip")
    manifest = json.loads(files["manifest.json"])
    assert manifest["left_out"] == [
        {"id": str(hidden.pk), "events": 1, "reason": "its type is incognito"}
    ]
    assert manifest["counts"]["missing_media"] == {"lost": 1}
    assert b"hidden words" not in b"\n".join(files.values())


def test_success_without_messages(anna: Participant, tmp_path: Path) -> None:
    files = export(tmp_path / "anna.zip", str(anna.pk))
    assert set(files) == {
        "profile.json", "memberships.json", "roles.json", "audit.jsonl", "manifest.json"
    }  # fmt: skip
    assert json.loads(files["profile.json"])["email"] == "anna@example.com"


def test_fail_file_exists(lobby: Room, tmp_path: Path) -> None:
    target = tmp_path / "anna.zip"
    target.write_bytes(b"kept")
    with pytest.raises(FileExists):
        export(target)
    assert target.read_bytes() == b"kept"


def test_fail_read_only(lobby: Room, tmp_path: Path) -> None:
    with pytest.raises(InsufficientPermission):
        export(tmp_path / "anna.zip", operator=READ_ONLY_OPERATOR)
    assert not AuditEntry.objects.exists()
