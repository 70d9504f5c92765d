"""A deleted room: hidden at once, brought back, and gone for good."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlencode

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from rooms.errors import FileNotInRoom, RoomBeingPurged, RoomNotArchived, RoomNotFound
from rooms.exports.chain_cache import _get_served_directory
from rooms.lifecycle import deletion
from rooms.lifecycle import purge_room as purge_module
from rooms.lifecycle.archive_room import undelete_room
from rooms.lifecycle.delete_room import delete_room
from rooms.lifecycle.purge_room import count_rows, find_due_rooms
from rooms.lookup.resolve import resolve_room
from rooms.models import (
    DeletedRoom,
    Event,
    ImportIntent,
    Media,
    RemovedFile,
    Room,
    RoomMedia,
    RoomMember,
    RoomState,
    SearchDocument,
)
from rooms.search.base import EventRange
from rooms.search.database import SearchIndex
from rooms.search.scope import Scope
from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.core.change import Change
from scaiwave.operations.doctor.rooms import check_deletions
from scaiwave.operations.metrics.collectors import collect_room_metrics
from scaiwave.operations.prune import prune
from scaiwave.storage.media import AtomicFileSystemStorage
from tenants.errors import ParticipantOnHold, RoomOnHold, ServerRestored
from tenants.holds.hold import add_hold
from tenants.models import AdminUser, AuditEntry, Hold, Participant, Restoration, Tenant
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, NOW, make_person, make_tenant, run_command

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.dated]

LATER = NOW + timedelta(days=8)


@pytest.fixture
def room(media_root: Path) -> Room:
    """An archived room with everything that a room can have, and a file that another room has."""
    tenant = make_tenant()
    anna = make_person(tenant)
    workspace = row_factories.make_workspace(tenant)
    return fill_room(workspace, anna, "Launch")


def fill_room(workspace: Any, anna: Participant, name: str, *, events: int = 30) -> Room:
    room = row_factories.make_room(workspace, anna, name, state=RoomState.ARCHIVED)
    first = Event.objects.count() + 1
    for position in range(first, first + events):
        row_factories.make_event(room, position, sender=anna, content={"body": f"{name} text"})
    RoomMember.objects.create(tenant=room.tenant, room=room, participant=anna)
    attach(room, f"{name} file")
    attach(room, "shared file")
    index = EventRange(Scope(), room.tenant_id, 0, first + events)
    SearchIndex().index(index)
    served = _get_served_directory(room.pk)
    served.mkdir(parents=True)
    (served / ("0" * 64)).write_text(name)
    return room


def attach(room: Room, text: str) -> RoomMedia:
    media = Media.objects.filter(tenant=room.tenant, mime_type=text).first()
    if media is None:
        media = row_factories.make_media(room.tenant, text, mime_type=text)
        default_storage.save(media.storage_name, ContentFile(text.encode()))
    return RoomMedia.objects.create(
        tenant=room.tenant, room=room, media=media, name=f"{text}.txt", created_at=NOW
    )


def delete(room: Room, **options: Any) -> Change:
    return delete_room(
        operator=HOST_OPERATOR,
        name=str(room.pk),
        tenant=room.tenant.slug,
        reason="over",
        **{"confirm": lambda effect, name: None, "now": NOW, **options},
    )


def run_prune(now: Any = LATER) -> dict[str, int]:
    result = prune(
        operator=HOST_OPERATOR,
        config=django_settings.CONFIG,
        confirm=lambda question: None,
        now=now,
    )
    return {row["name"]: row["count"] for row in result.figures["pruned"] if row["count"]}


def list_files() -> set[str]:
    root = Path(default_storage.path("tenant"))
    return {path.read_text() for path in root.rglob("*") if path.is_file()}


def test_success_hidden_at_once_and_brought_back(room: Room) -> None:
    run_command("set_retention", "--tenant=acme", "--room", str(room.pk), "--days=999", "--yes")
    delete(room)
    assert not Room.objects.exists()
    for words in (("list_rooms",), ("search_rooms", "Launch")):
        document = json.loads(run_command(*words, "--tenant", "acme", "--json"))
        assert next(iter(document.values())) == []
    assert json.loads(run_command("show_retention", "--json"))["policies"] == []
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    page = client.get(reverse("admin:rooms_retentionpolicy_changelist")).content.decode()
    assert "Launch" not in page
    client.logout()
    for command in ("show_room", "export_room", "archive_room", "list_media"):
        with pytest.raises(RoomNotFound):
            run_command(command, str(room.pk), "--tenant", "acme")
    deleted = json.loads(run_command("list_rooms", "--tenant", "acme", "--deleted", "--json"))
    assert [row["id"] for row in deleted["rooms"]] == [str(room.pk)]
    undelete = ("undelete_room", str(room.pk), "--tenant", "acme", "--reason", "needed")
    assert run_command(*undelete) == "Room Launch is back, archived.\n"
    assert run_command(*undelete).endswith("is not deleted; nothing changed.\n")
    assert len(json.loads(run_command("search_rooms", "Launch", "--json"))["messages"]) == 20
    assert run_prune() == {}
    assert Event.objects.count() == 30


def test_success_gone_after_the_grace_period_and_nothing_else(room: Room) -> None:
    other = fill_room(room.workspace, room.creator, "Other")
    stranger = make_tenant("stranger")
    fill_room(row_factories.make_workspace(stranger), make_person(stranger), "Stranger", events=5)
    before = {**count_rows(room), "search_documents": 30}
    delete(room)
    assert run_prune(NOW + timedelta(days=6)) == {}
    assert run_prune() == {"deleted_rooms": 1}
    assert not Room.all_objects.filter(pk=room.pk).exists()
    assert not Event.objects.filter(room=room).exists()
    assert (Event.objects.count(), SearchDocument.objects.count()) == (35, 35)
    assert (RoomMember.objects.count(), ImportIntent.objects.count()) == (2, 0)
    assert list_files() == {"Other file", "shared file", "Stranger file"}
    assert not _get_served_directory(room.pk).exists()
    assert _get_served_directory(other.pk).exists()
    entry = AuditEntry.objects.get(action="room purge")
    assert entry.details == {
        "reason": "over",
        "before": before,
        "after": dict.fromkeys(before, 0),
    }
    assert (before["events"], before["files"], before["attachments"]) == (30, 1, 2)


def test_fail_open(room: Room) -> None:
    Room.objects.update(state=RoomState.OPEN)
    with pytest.raises(RoomNotArchived):
        delete(room)
    delete(room, archive=True)
    assert DeletedRoom.objects.get().state == RoomState.ARCHIVED


def test_fail_now_without_the_name(room: Room) -> None:
    def decline(effect: str, name: str) -> None:
        assert (effect, name) == (
            "This hides and deletes room Launch of acme with 30 events and its files for good; "
            "this can't be undone.",
            "Launch",
        )
        raise ConfirmationDeclined("Cancelled.")

    with pytest.raises(ConfirmationDeclined):
        delete(room, at_once=True, confirm=decline)
    assert Room.objects.exists()
    assert delete(room, at_once=True).sentence == "Room Launch deleted for good."
    assert not Room.all_objects.exists()
    with pytest.raises(RoomNotFound):
        delete(room)


def test_fail_on_hold_at_each_level(room: Room) -> None:
    """A hold that is placed in the grace period or in the middle of a purge stops it."""
    hold: dict[str, Any] = {"operator": HOST_OPERATOR, "reason": "case", "now": NOW}
    add_hold(participant=str(room.creator_id), **hold)
    with pytest.raises(ParticipantOnHold):
        delete(room)
    Tenant.objects.get().holds.update(lifted_at=NOW)
    delete(room)
    add_hold(tenant="acme", room=str(room.pk), **hold)
    assert run_prune() == {}
    with pytest.raises(RoomOnHold):
        delete(room, at_once=True)
    assert Event.objects.count() == 30


def test_fail_a_hold_in_the_middle_of_a_purge(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FIRST_ROWS", "MIN_ROWS", "MAX_ROWS"):
        monkeypatch.setattr(deletion, name, 7)

    def place(deleted: int, total: int) -> None:
        if deleted == 14:
            add_hold(
                operator=HOST_OPERATOR, tenant="acme", room=str(room.pk), reason="case", now=NOW
            )

    with pytest.raises(RoomOnHold):
        delete(room, at_once=True, progress_factory=lambda *_: nullcontext(place))
    assert Event.objects.count() == 16
    with pytest.raises(RoomBeingPurged):
        undelete_room(
            operator=HOST_OPERATOR, name=str(room.pk), tenant="acme", reason="no", now=NOW
        )
    Tenant.objects.get().holds.update(lifted_at=NOW)
    assert run_prune() == {"deleted_rooms": 1}
    (entry,) = AuditEntry.objects.filter(action="room purge")
    before = entry.details["before"]
    assert (before["events"], before["search_documents"]) == (30, 30)


def test_fail_on_a_restored_server_which_may_share_its_media_store(room: Room) -> None:
    Restoration.objects.create(backup="b", backup_at=NOW, restored_at=NOW)
    with pytest.raises(ServerRestored):
        delete(room, at_once=True)
    assert Event.objects.count() == 30


def test_success_a_file_removed_and_restored(room: Room) -> None:
    words = ("--tenant", "acme")
    run_command("remove_media", str(room.pk), "Launch file.txt", *words, "--reason", "no", "--yes")
    rows = json.loads(run_command("list_media", str(room.pk), *words, "--json"))["media"]
    assert {row["name"]: (row["missing_reason"], row["reason"]) for row in rows} == {
        "Launch file.txt": ("removed", "no"),
        "shared file.txt": (None, None),
    }
    run_command("restore_media", str(room.pk), "Launch file.txt", *words)
    assert (RoomMedia.objects.count(), RemovedFile.objects.count()) == (2, 0)
    assert run_prune() == {}


def test_success_a_file_gone_and_named_in_its_messages(room: Room) -> None:
    link = RoomMedia.objects.get(name="Launch file.txt")
    event = Event.objects.order_by("pk")[0]
    event.content = {"body": "Launch file.txt", "media_id": str(link.media_id)}
    event.save()
    words = (str(room.pk), str(link.media_id), "--tenant", "acme", "--reason", "not allowed")
    run_command("remove_media", *words, "--now", "--yes")
    event.refresh_from_db()
    assert event.content["_removed_file"] == {"name": "Launch file.txt", "reason": "not allowed"}
    assert list_files() == {"shared file"}
    with pytest.raises(FileNotInRoom) as caught:
        run_command("restore_media", str(room.pk), "Launch file.txt", "--tenant", "acme")
    assert caught.value.message == "File not found in room Launch: Launch file.txt."
    assert f"`scaiwave room media list {room.pk} --tenant acme` lists" in caught.value.fix
    assert RemovedFile.objects.get().media is None
    run_command("remove_media", str(room.pk), "shared file.txt", *words[2:], "--yes")
    assert run_prune(timezone.now() + timedelta(days=8)) == {"removed_files": 1}
    assert list_files() == set()


def test_success_a_file_of_another_room_keeps_its_bytes(room: Room) -> None:
    other = fill_room(room.workspace, room.creator, "Other")
    words = (str(room.pk), "shared file.txt", "--tenant", "acme", "--reason", "no")
    run_command("remove_media", *words, "--now", "--yes")
    assert "shared file" in list_files()
    delete(other, at_once=True)
    assert list_files() == {"Launch file"}


def test_fail_a_full_disk_ends_a_purge_which_the_next_one_continues(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Any, name: str) -> None:
        raise OSError(28, "No space left on device")

    delete(room)
    with monkeypatch.context() as context:
        context.setattr("scaiwave.storage.media.AtomicFileSystemStorage.delete", fail)
        with pytest.raises(OSError, match="No space left"):
            run_prune()
    assert ImportIntent.objects.get().is_deletion
    assert run_prune() == {"deleted_rooms": 1}
    assert list_files() == set()


def test_fail_a_file_that_cannot_be_deleted_keeps_nothing_else(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rooms, other files and other records go, and the next run tries that file again."""
    other = fill_room(room.workspace, room.creator, "Other")
    lasting = fill_room(room.workspace, room.creator, "Lasting")
    run_command(
        "remove_media", str(lasting.pk), "Lasting file.txt", "--tenant=acme", "--reason=no", "--yes"
    )
    for each in (room, other):
        delete(each)
    Session.objects.create(session_key="old", expire_date=NOW)
    refused = RoomMedia.objects.get(name="Launch file.txt").media.storage_name
    erase = AtomicFileSystemStorage.delete

    def refuse(self: Any, name: str) -> None:
        if name == refused:
            raise PermissionError(1, "Operation not permitted", name)
        erase(self, name)

    later = timezone.now() + timedelta(days=8)
    with monkeypatch.context() as context:
        context.setattr(AtomicFileSystemStorage, "delete", refuse)
        for _ in range(2):
            with pytest.raises(PermissionError):
                run_prune(later)
            assert list_files() == {"Launch file", "shared file"}
    assert list(Room.all_objects.all()) == [lasting]
    assert not Session.objects.exists()
    metrics = {metric.name: metric.samples for metric in collect_room_metrics(later)}
    assert metrics["deletions_due"] == [({}, 1)]
    assert run_prune(later) == {"removed_files": 1}
    assert list_files() == {"shared file"}


def test_success_a_room_brought_back_during_a_run_stays(room: Room) -> None:
    """The list of due rooms is older than that, after the purge of a large one."""
    delete(room)
    (due,) = find_due_rooms(LATER)
    options: dict[str, Any] = {"operator": HOST_OPERATOR, "now": LATER}
    undelete_room(name=str(room.pk), tenant="acme", reason="needed", **options)
    assert not purge_module.purge_room(room=due, **options)
    delete(room, now=LATER)  # with a grace period of its own
    assert not purge_module.purge_room(room=due, **options)
    assert Event.objects.count() == 30
    assert Room.all_objects.get().deletion == {"reason": "over"}


def test_fail_brought_back_before_its_purge_begins(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def purge(**options: Any) -> bool:
        with pytest.raises(RoomBeingPurged):
            undelete_room(
                operator=HOST_OPERATOR, name=str(room.pk), tenant="acme", reason="", now=NOW
            )
        return purge_module.purge_room(**options)

    monkeypatch.setattr("rooms.lifecycle.delete_room.purge_room", purge)
    delete(room, at_once=True)
    assert not Room.all_objects.exists()


def test_success_a_hold_on_one_room_lets_the_others_go(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = fill_room(room.workspace, room.creator, "Other")
    for each in (room, other):
        delete(each)
    erase = AtomicFileSystemStorage.delete

    def hold(self: Any, name: str) -> None:
        if not Hold.objects.exists():
            add_hold(operator=HOST_OPERATOR, tenant="acme", room=str(room.pk), reason="x", now=NOW)
        erase(self, name)

    monkeypatch.setattr(AtomicFileSystemStorage, "delete", hold)
    forgotten = Mock()
    monkeypatch.setattr(deletion.Deletion, "forget_words", forgotten)
    assert run_prune() == {"deleted_rooms": 1}
    assert list(Room.all_objects.all()) == [room]
    assert RoomMember.objects.get().room_id == room.pk
    assert forgotten.call_count == 1
    (finding,) = check_deletions(django_settings.CONFIG, LATER)
    assert finding.message.startswith("Holds delay the deletion of 1 room and 0 removed files.")
    metrics = {metric.name: metric.samples for metric in collect_room_metrics(LATER)}
    assert metrics["deletions_due"] == [({}, 1)]


@pytest.mark.parametrize("end", ["again", "restored", "due"])
def test_success_a_file_that_people_attach_again(room: Room, end: str) -> None:
    """It can be removed again, or brought back, and is not taken from the messages."""
    words = (str(room.pk), "Launch file.txt", "--tenant", "acme")
    link = RoomMedia.objects.get(name="Launch file.txt")
    Event.objects.filter(pk=Event.objects.all()[0].pk).update(
        content={"media_id": str(link.media_id)}
    )
    run_command("remove_media", *words, "--reason", "no", "--yes")
    link.save()
    if end == "again":
        run_command("remove_media", *words, "--reason", "no again", "--yes", "--now")
        assert RemovedFile.objects.get().reason == "no again"
        assert list_files() == {"shared file"}
        with pytest.raises(FileNotInRoom):
            run_command("remove_media", *words, "--reason", "no", "--yes")
        return
    if end == "restored":
        run_command("restore_media", *words)
    else:
        assert run_prune(timezone.now() + timedelta(days=8)) == {"removed_files": 1}
    assert RoomMedia.objects.count() == 2
    assert list_files() == {"Launch file", "shared file"}
    assert not Event.objects.filter(content__has_key="_removed_file").exists()


def test_success_a_file_restored_during_a_run(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--tenant", "acme")
    for name in ("Launch file.txt", "shared file.txt"):
        run_command("remove_media", str(room.pk), name, *words, "--reason", "no", "--yes")
    erase = AtomicFileSystemStorage.delete

    def restore(self: Any, name: str) -> None:
        if not RoomMedia.objects.exists():
            left = RemovedFile.objects.get(media__isnull=False)
            run_command("restore_media", str(room.pk), left.name, *words)
        erase(self, name)

    monkeypatch.setattr(AtomicFileSystemStorage, "delete", restore)
    assert run_prune(timezone.now() + timedelta(days=8)) == {"removed_files": 1}
    assert list_files() == {f"{RoomMedia.objects.get().media.mime_type}"}


def test_success_an_interrupted_removal_is_continued(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (str(room.pk), "Launch file.txt", "--tenant", "acme", "--reason", "no", "--yes")
    with monkeypatch.context() as context:
        context.setattr(AtomicFileSystemStorage, "delete", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_command("remove_media", *words, "--now")
    assert "Launch file" in list_files()
    assert run_prune(timezone.now()) == {"removed_files": 1}
    assert list_files() == {"shared file"}
    assert not ImportIntent.objects.exists()


def test_fail_archived_after_it_was_just_deleted(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(*arguments: Any, **options: Any) -> Room:
        found = resolve_room(*arguments, **options)
        delete(found)
        return found

    monkeypatch.setattr("rooms.lifecycle.archive_room.resolve_room", find)
    with pytest.raises(RoomNotFound, match="was just deleted"):
        run_command("reopen_room", str(room.pk), "--tenant", "acme")
    assert DeletedRoom.objects.get().state == RoomState.ARCHIVED


def test_success_pages_show_the_holds_of_a_room(room: Room) -> None:
    hold: dict[str, Any] = {"operator": HOST_OPERATOR, "now": NOW}
    add_hold(tenant="acme", room=str(room.pk), reason="case 118", **hold)
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    page = client.get(reverse("admin:rooms_room_change", args=[room.pk])).content.decode()
    assert "it has been on hold since" in page
    tab = {"room_id__exact": str(room.pk)}
    assert f"{reverse('admin:tenants_hold_changelist')}?{urlencode(tab)}" in page
    assert "case 118" in client.get(reverse("admin:tenants_hold_changelist"), tab).content.decode()
    Room.objects.update(deleted_at=NOW, purge_at=LATER)
    page = client.get(reverse("admin:rooms_deletedroom_change", args=[room.pk])).content.decode()
    assert urlencode(tab) in page
    assert "admin hold add" in page or ">Place a hold<" in page
