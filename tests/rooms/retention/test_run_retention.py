"""Policies, and what their runs delete."""

from __future__ import annotations

import errno
import io
import threading
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from django.core.files.storage import default_storage
from django.db import connection
from django.db.models import Max

from rooms.bundle.reader import read_bundle
from rooms.errors import RetentionRunning
from rooms.jobs import run_retention as run_job
from rooms.lifecycle import deletion
from rooms.models import (
    Event,
    ImportIntent,
    Media,
    RemovedFile,
    RetentionPolicy,
    Room,
    RoomMedia,
    TenantImport,
)
from rooms.retention.policies import (
    PolicyValues,
    clear_retention,
    set_retention,
    show_retention,
)
from rooms.retention.run_retention import preview_retention, run_retention
from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.config import load
from scaiwave.core.errors import ConfirmationNeeded, InsufficientPermission, UsageError
from scaiwave.core.locks import process_lock
from scaiwave.core.report import Report
from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.rooms import check_retention
from scaiwave.operations.metrics.collectors import collect_room_metrics
from scaiwave.storage.media import AtomicFileSystemStorage
from tenants.errors import ServerRestored
from tenants.holds.hold import add_hold
from tenants.models import AuditEntry, Hold, Restoration
from tests.rooms.exports.factories import attach_media, export_bundle
from tests.scaiwave.row_factories import (
    make_event,
    make_participant,
    make_removed_file,
    make_room,
    make_tenant,
    make_workspace,
)
from tests.tenants.factories import HOST_OPERATOR, NOW, make_tenant_admin, run_command

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.dated]


@pytest.fixture
def room() -> Room:
    tenant = make_tenant(scaikey_tenant_id="tnt_acme")
    return make_room(make_workspace(tenant), make_participant(tenant))


def say(room: Room, days_ago: int, kind: str = "message", **content: Any) -> Event:
    """Write an event an hour before that, so that a policy of as many days deletes it."""
    position = Event.objects.aggregate(last=Max("stream_position"))["last"] or 0
    values = {"msgtype": "swp.text", "body": f"said {days_ago}", **content}
    return make_event(
        room,
        position + 1,
        event_type=f"swp.room.{kind}",
        content=values,
        created_at=NOW - timedelta(days=days_ago, hours=1),
    )


def set_policy(*of: Room, days: int | None = 30, **values: Any) -> None:
    """Set the policy of a room, or without one of its tenant or the server."""
    scope: dict[str, Any] = {"tenant": str(of[0].tenant_id), "room": str(of[0].pk)} if of else {}
    set_retention(
        operator=HOST_OPERATOR,
        values=PolicyValues(days, **values),
        reason="",
        confirm=lambda question: None,
        now=NOW,
        **scope,
    )


def run(**options: Any) -> Report:
    arguments = {"operator": HOST_OPERATOR, "confirm": lambda question: None, "now": NOW}
    return run_retention(**{**arguments, **options})


def list_bodies(room: Room) -> list[str]:
    events = Event.objects.filter(room=room).order_by("stream_position")
    return [event.content.get("body") for event in events]


def test_success_not_before_the_end_of_an_import(room: Room) -> None:
    """Later bundles of the room need the events of the earlier ones."""
    say(room, 50)
    set_policy(days=30)
    moving = TenantImport.objects.create(
        tenant=room.tenant, source_tenant_id=room.pk, is_new=True, operator="r", started_at=NOW
    )
    assert run() == preview_retention(operator=HOST_OPERATOR, now=NOW)
    assert run().figures["rooms"] == []
    TenantImport.objects.filter(pk=moving.pk).update(finished_at=NOW)
    assert run().figures["totals"]["deleted_events"] == 1


def test_success_the_nearest_policy_counts_as_a_whole(room: Room) -> None:
    kept = make_room(room.workspace, room.creator, "Kept")
    short = make_room(room.workspace, room.creator, "Short")
    for each in (room, kept, short):
        for days in (50, 20, 5):
            say(each, days)
    set_policy(days=30)
    set_policy(kept, days=None)
    set_policy(short, days=10)
    result = run()
    assert list_bodies(room) == ["said 20", "said 5"]
    assert list_bodies(kept) == ["said 50", "said 20", "said 5"]
    assert list_bodies(short) == ["said 5"]
    assert result.figures["totals"]["deleted_events"] == 3
    entries = AuditEntry.objects.filter(action="retention run")
    assert {entry.subject_id: entry.details for entry in entries} == {
        str(room.pk): {
            "policy": "server",
            "rule": "delete messages after 30 days, delete files after 30 days",
            "deleted_events": 1,
        },
        str(short.pk): {
            "policy": "room",
            "rule": "delete messages after 10 days, delete files after 10 days",
            "deleted_events": 2,
        },
    }
    assert set(RetentionPolicy.objects.values_list("last_run_at", flat=True)) == {NOW}
    (shown,) = show_retention(operator=HOST_OPERATOR, tenant="acme", room=str(short.pk))
    assert shown["days"] == 10
    clear_retention(
        operator=HOST_OPERATOR,
        reason="",
        confirm=lambda question: None,
        now=NOW,
        tenant="acme",
        room=str(short.pk),
    )
    (shown,) = show_retention(operator=HOST_OPERATOR, tenant="acme", room=str(short.pk))
    assert shown["scope"] == "server"


def test_success_a_thread_keeps_its_root_and_increments_carry_it(room: Room) -> None:
    """The bundle is valid: no event refers to one that is gone."""
    root, gone = say(room, 50), say(room, 50)
    reply = say(room, 5, reply_to_event_id=str(root.pk))
    say(room, 4, "reaction", event_id=str(root.pk), emoji="👍")
    say(room, 3, "redaction", event_id=str(gone.pk), reason="gone")
    before = export_bundle(room)
    set_policy(room)
    run()
    bundle = export_bundle(room)
    with read_bundle(io.BytesIO(bundle.data), max_bytes=10**6):
        pass
    assert [(event["id"], event["content"]["body"]) for event in bundle.events] == [
        (str(root.pk), ""),
        (str(reply.pk), "said 5"),
    ]
    assert bundle.events[0]["redacted_at"]
    assert len(before.events) == 5
    # Once the reply is old too, both go.
    run(now=NOW + timedelta(days=60))
    assert not Event.objects.exists()


def test_success_files_go_unless_another_room_has_them(room: Room) -> None:
    other = make_room(room.workspace, room.creator, "Other")
    own, shared = attach_media(room, b"own", "own.png"), attach_media(room, b"shared")
    RoomMedia.objects.create(
        tenant=room.tenant, room=other, media=shared, name="shared", created_at=NOW
    )
    for media in (own, shared):
        say(room, 50, media_id=str(media.pk))
    say(other, 50, media_id=str(shared.pk))
    set_policy(room, days=None, media_days=30)
    previewed = preview_retention(operator=HOST_OPERATOR, now=NOW)
    assert default_storage.exists(own.storage_name)
    result = run()
    assert previewed.figures["totals"] == result.figures["totals"]
    assert (result.figures["totals"]["attachments"], result.figures["totals"]["files"]) == (2, 1)
    assert len(list_bodies(room)) == 2
    assert list(Media.objects.all()) == [shared]
    assert not default_storage.exists(own.storage_name)
    assert default_storage.exists(shared.storage_name)
    set_policy(days=30)
    run()
    assert not Media.objects.exists()
    assert not default_storage.exists(shared.storage_name)


def test_success_a_file_that_a_younger_event_uses_stays(room: Room) -> None:
    media = attach_media(room, b"used")
    for days in (50, 5):
        say(room, days, media_id=str(media.pk))
    set_policy(room)
    run()
    assert RoomMedia.objects.count() == 1


def test_success_a_file_that_is_sent_again_during_a_run_stays(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {media.pk: media for media in (attach_media(room, b"one"), attach_media(room, b"two"))}
    for key in files:
        say(room, 50, media_id=str(key))
    set_policy(room)
    delete = AtomicFileSystemStorage.delete

    def delete_and_send_the_other(storage: Any, name: str) -> None:
        for media in files.values():
            if media.storage_name != name:
                say(room, 0, media_id=str(media.pk))
        delete(storage, name)

    monkeypatch.setattr(deletion, "FILES_PER_BATCH", 1)
    monkeypatch.setattr(AtomicFileSystemStorage, "delete", delete_and_send_the_other)
    run()
    [kept] = RoomMedia.objects.all()
    assert default_storage.exists(files[kept.media_id].storage_name)


def test_success_names_of_removed_files_go_with_their_messages(room: Room) -> None:
    names = {"twice.png": 50, "again.png": 50, "young.png": 5}
    for name, days in names.items():
        say(room, days, _removed_file={"name": name, "reason": "no"})
        sha256 = ("a" if days == 50 else "b") * 64
        make_removed_file(room, name, sha256=sha256, removed_at=NOW - timedelta(days=45))
    make_removed_file(room, "just.png", sha256="c" * 64, removed_at=NOW)
    make_removed_file(room, "kept.png", sha256="d" * 64, removed_at=NOW - timedelta(days=45))
    RemovedFile.objects.exclude(name="kept.png").update(media=None)
    set_policy(room)
    run()
    left = RemovedFile.objects.order_by("sha256").values_list("name", flat=True)
    assert list(left) == ["", "young.png", "just.png", "kept.png"]


def test_success_holds(room: Room) -> None:
    bo = make_participant(room.tenant, "bo")
    say(room, 50)
    Event.objects.filter(pk=say(room, 50).pk).update(sender=bo)
    set_policy()
    add_hold(operator=HOST_OPERATOR, reason="court", now=NOW, participant=str(bo.pk))
    run()
    assert list(Event.objects.values_list("sender", flat=True)) == [bo.pk]
    say(room, 50)
    add_hold(operator=HOST_OPERATOR, reason="court", now=NOW, tenant="acme", room=str(room.pk))
    result = run()
    assert (result.figures["on_hold"], result.figures["rooms"]) == (1, [])
    assert Event.objects.count() == 2


@pytest.mark.parametrize("replaces_another", [False, True])
def test_success_a_hold_that_is_placed_during_a_run(
    room: Room, replaces_another: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest of the room stays, also if the hold replaces one with the same time."""
    other = make_participant(room.tenant, "other")
    if replaces_another:
        add_hold(operator=HOST_OPERATOR, reason="x", now=NOW, participant=str(other.pk))
    for name in ("FIRST_ROWS", "MIN_ROWS", "MAX_ROWS"):
        monkeypatch.setattr(deletion, name, 2)
    for _ in range(6):
        say(room, 50)
    set_policy()

    def hold(done: int, total: int | None) -> None:
        if done == 2:
            Hold.objects.update(lifted_at=NOW)
            add_hold(operator=HOST_OPERATOR, reason="x", now=NOW, tenant="acme", room=str(room.pk))

    result = run(progress=hold)
    assert result.figures["totals"]["deleted_events"] == 2
    assert Event.objects.count() == 4


def test_success_a_room_that_is_deleted_for_good_during_a_run(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on with the next room."""
    for name in ("FIRST_ROWS", "MIN_ROWS", "MAX_ROWS"):
        monkeypatch.setattr(deletion, name, 2)
    other = make_room(room.workspace, room.creator, "Other")
    for each in (room, other):
        for _ in range(6):
            say(each, 50)
    set_policy()

    def delete(done: int, total: int | None) -> None:
        if Room.objects.filter(pk=room.pk).exists():
            words = ("--tenant=acme", "--reason=x", "--archive", "--now", "--yes")
            run_command("delete_room", str(room.pk), *words)

    assert run(progress=delete).figures["totals"]["deleted_events"] == 8
    assert not Event.objects.exists()


def test_success_a_policy_that_is_changed_during_a_run_has_not_run(room: Room) -> None:
    say(room, 50)
    set_policy()

    def change(done: int, total: int | None) -> None:
        RetentionPolicy.objects.update(days=20, updated_at=NOW + timedelta(seconds=1))

    run(progress=change)
    assert RetentionPolicy.objects.get().last_run_at is None


def test_fail_a_file_that_cannot_be_deleted_keeps_nothing_else(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = [room, make_room(room.workspace, room.creator, "Other")]
    files = [attach_media(each, each.name.encode()) for each in rooms]
    for each, media in zip(rooms, files, strict=True):
        say(each, 50, media_id=str(media.pk))
    set_policy()
    erase = AtomicFileSystemStorage.delete

    def refuse(self: Any, name: str) -> None:
        if name == files[0].storage_name:
            raise PermissionError(1, "Operation not permitted", name)
        erase(self, name)

    with monkeypatch.context() as context:
        context.setattr(AtomicFileSystemStorage, "delete", refuse)
        with pytest.raises(PermissionError):
            run()
    assert not Event.objects.exists()
    assert [default_storage.exists(media.storage_name) for media in files] == [True, False]
    assert RetentionPolicy.objects.get().last_run_at is None
    run()
    assert not default_storage.exists(files[0].storage_name)


def test_success_only_the_operators_tenants(room: Room) -> None:
    lab = make_tenant("lab")
    other = make_room(make_workspace(lab), make_participant(lab))
    for each in (room, other):
        say(each, 50)
    set_policy()
    run(tenant="acme")
    assert (Event.objects.filter(room=room).count(), Event.objects.filter(room=other).count()) == (
        0,
        1,
    )
    assert RetentionPolicy.objects.get().last_run_at is None
    with pytest.raises(InsufficientPermission):
        run(operator=make_tenant_admin(room.tenant))


def test_fail_running(room: Room) -> None:
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with process_lock("retention"):
            held.set()
            done.wait(30)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    try:
        with pytest.raises(RetentionRunning):
            run()
    finally:
        done.set()
        thread.join()


def test_fail_refused(room: Room) -> None:
    say(room, 50)
    set_policy()

    def decline(question: str) -> None:
        raise ConfirmationDeclined(question)

    with pytest.raises(ConfirmationDeclined):
        run(confirm=decline)
    with pytest.raises(UsageError):
        set_policy(days=0)
    with pytest.raises(UsageError):
        run(room="lobby")
    Restoration.objects.create(number=1, backup="b", backup_at=NOW, restored_at=NOW)
    with pytest.raises(ServerRestored):
        run()
    assert Event.objects.count() == 1


def test_success_asks_what_a_change_keeps_and_deletes(room: Room) -> None:
    """Of the policy that is in force, which may be a wider one."""
    asked: list[str] = []
    scope: dict[str, Any] = {"tenant": "acme", "room": str(room.pk)}
    options: dict[str, Any] = {"operator": HOST_OPERATOR, "reason": "", "now": NOW}

    def change(days: int | None, media_days: int | None = None, **place: Any) -> list[str]:
        asked.clear()
        set_retention(
            values=PolicyValues(days, media_days), confirm=asked.append, **options, **place
        )
        return asked

    def clear(**place: Any) -> list[str]:
        asked.clear()
        clear_retention(confirm=asked.append, **options, **place)
        return asked

    of_tenant = "The policy of the tenant is now: delete messages after 365 days, delete files "
    ends = "Messages and files of room Lobby will be kept indefinitely. "
    runs = "Holds excepted, this can't be undone."
    assert change(None, tenant="acme") == []
    assert len(change(365, 90, tenant="acme")) == 1
    assert change(None, **scope) == [f"{ends}{of_tenant}after 90 days."]
    assert clear(**scope) == [
        "From the next run on, room Lobby will delete messages after 365 days, delete files after "
        f"90 days. {runs}"
    ]
    assert change(None, 30, **scope) == [
        f"Messages of room Lobby will be kept indefinitely. {of_tenant}after 90 days. "
        f"From the next run on, room Lobby will delete files after 30 days. {runs}"
    ]
    assert change(None, **scope) == [
        "Files of room Lobby will be kept indefinitely. The policy of the room is now: delete "
        "files after 30 days."
    ]
    assert len(change(365, 90, **scope)) == 1
    assert clear(**scope) == [], "The policy of the tenant is the same."
    (effect,) = clear(tenant="acme")
    assert effect.startswith("Messages and files of tenant acme will be kept indefinitely. ")
    set_policy(days=30)
    with pytest.raises(ConfirmationNeeded):
        run_command("clear_retention")
    assert run_command("clear_retention", "--yes") == "Retention of this server cleared.\n"


def test_success_job_doctor_and_metrics(room: Room) -> None:
    config = load({})
    (finding,) = check_retention(config, NOW)
    assert finding.state is State.PASS
    set_policy()
    say(room, 400)
    later = NOW + timedelta(days=3)
    (finding,) = check_retention(config, later)
    assert finding.state is State.WARN
    RetentionPolicy.objects.update(updated_at=NOW - timedelta(days=3))
    assert run_job()["deleted_events"] == 1
    (finding,) = check_retention(config, RetentionPolicy.objects.get().last_run_at or NOW)
    assert finding.state is State.PASS
    metrics = {metric.name: metric.samples for metric in collect_room_metrics(NOW)}
    assert metrics["retention_events"] == [({}, 1)]
    assert metrics["retention_policies_overdue"] == [({}, 0)]
    set_policy(room)  # and no run since
    metrics = {metric.name: metric.samples for metric in collect_room_metrics(later)}
    assert metrics["retention_policies_overdue"] == [({}, 1)]
    assert metrics["retention_last_run_timestamp_seconds"]


def test_success_an_importer_is_not_the_author(room: Room) -> None:
    """A redacted imported event still names its original sender."""
    sender = {"display_name": "Ünal", "avatar_url": "", "fqid": "@unal:old.example"}
    say(room, 50, _imported_sender=sender)
    set_policy(room, content_only=True)
    run()
    event = Event.objects.get()
    assert event.content == {"msgtype": "swp.text", "body": "", "_imported_sender": sender}


def test_success_an_interrupted_run_leaves_no_file(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    media = attach_media(room, b"own", "own.png")
    say(room, 50, media_id=str(media.pk))
    set_policy()
    with monkeypatch.context() as context:
        erase = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
        context.setattr("scaiwave.storage.media.AtomicFileSystemStorage.delete", erase)
        with pytest.raises(OSError, match="No space"):
            run()
    assert default_storage.exists(media.storage_name)
    run()
    assert not default_storage.exists(media.storage_name)
    assert not ImportIntent.objects.exists()


def test_fail_only_the_content_of_messages_that_are_kept(room: Room) -> None:
    with pytest.raises(UsageError):
        set_policy(room, days=None, media_days=30, content_only=True)
