"""Increments imported into a room."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as property_settings

from federation.models import ServerKey
from rooms.bundle.manifest.schema import WHOLE_ROOM
from rooms.errors import (
    BundleChainGap,
    BundleChainOther,
    BundleNotZip,
    BundleVersion,
    DanglingReference,
    ImportLocalChanges,
    ImportRefused,
    ImportRunning,
)
from rooms.exports.export_rooms import ChainOptions, ExportOutcome, export_rooms
from rooms.imports.append_link import append_link, import_chain
from rooms.imports.apply_link import AppendResult, LocalChanges
from rooms.imports.import_room import import_room
from rooms.lifecycle.delete_room import delete_room
from rooms.lifecycle.remove_media import remove_media
from rooms.lookup.authors import note_renames
from rooms.models import (
    Event,
    ImportIntent,
    Media,
    Room,
    RoomImport,
    RoomMedia,
    TenantImport,
    WorkspaceMember,
)
from rooms.retention.policies import PolicyValues, set_retention
from rooms.retention.run_retention import run_retention
from rooms.stream_positions import reserve_positions
from scaiwave.console.progress import null_progress_factory
from scaiwave.core.errors import UsageError
from scaiwave.core.sql import fetch_number
from tenants.errors import OnHold, ParticipantOnHold
from tenants.holds.hold import add_hold
from tenants.models import Hold, Participant, Tenant
from tests.concurrency import run_concurrently
from tests.federation.factories import configure
from tests.rooms.bundle.factories import make_bundle
from tests.rooms.imports.factories import ImportTargetRows
from tests.rooms.increments.histories import (
    ACTS,
    MAX_BYTES,
    START,
    Life,
    append,
    describe_room,
    export_link,
    export_whole,
    histories,
    import_whole,
    read_manifest,
)
from tests.rooms.increments.links import make_link
from tests.rooms.random_rooms import Drawn, create_room, rooms
from tests.rooms.test_round_trip import a_home
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, make_person, run_command
from tests.tools import count_examples

_NUMBERS = count()
HOUR = timedelta(hours=1)
_IS_AWAITED = "SELECT bool_or(pg_backend_pid() = ANY(pg_blocking_pids(pid))) FROM pg_locks"
database = pytest.mark.django_db(transaction=True)


@database
@property_settings(
    max_examples=count_examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=rooms, history=histories)
def test_success_any_history(
    media_root: Path, tmp_path: Path, drawn: Drawn, history: list[Any]
) -> None:
    """After each link, the room is the one that a full export would have become."""
    directory = tmp_path / str(next(_NUMBERS))
    directory.mkdir()
    life = Life(create_room(drawn, a_home()), directory, is_careful=True)
    life.end_day()
    there, ids, media = a_home(), set[str](), dict[str, str]()

    def remember() -> None:
        events = Event.objects.filter(room=life.room).values_list("pk", flat=True)
        ids.update(map(str, events))
        for row in Media.objects.filter(tenant=life.room.tenant):
            media[row.sha256] = str(row.pk)

    remember()
    room = import_whole(there, life.links()[0].read_bytes())
    for day in history:
        for act in day:
            life.do(*act)
            remember()
        if not life.end_day():
            continue
        options = {"cut_references": True, "local_changes": LocalChanges.REPLACE}
        done = append(there, life.links()[-1], **options)
        assert done.applied
        room.refresh_from_db()
        life.day -= 1
        other = import_whole(a_home(), export_whole(life))
        life.day += 1
        found = describe_room(room, ids, media)
        assert found == describe_room(other, ids, media)
        # Nothing is imported twice.
        for link in life.links()[1:]:
            assert not append(there, link, **options).applied
        assert describe_room(room, ids, media) == found


@dataclass(frozen=True)
class Copy:
    """A room, and its copy on another server, which was imported from the base of its chain."""

    life: Life
    home: ImportTargetRows
    room: Room

    def end_day(self) -> Path:
        assert self.life.end_day()
        return self.life.links()[-1]

    def append(self, link: Path, **options: Any) -> AppendResult:
        return append(self.home, link, **options)

    def event(self, body: str) -> Event:
        return Event.objects.get(room=self.room, content__body=body)

    def bodies(self) -> list[str]:
        events = Event.objects.filter(room=self.room).order_by("stream_position")
        return [event.content.get("body", "") for event in events]


@pytest.fixture
def pair(media_root: Path, tmp_path: Path) -> Copy:
    home, there = a_home(), a_home()
    room = row_factories.make_room(home.workspace, home.anna, name="Lobby", topic="Old")
    life = Life(room, tmp_path / "chain")
    life.directory.mkdir()
    for number in range(4):
        life.do("add", 0, {"content": {"body": f"message {number}"}})
    life.end_day()
    return Copy(life, there, import_whole(there, life.links()[0].read_bytes()))


def change(pair: Copy, body: str, **fields: Any) -> None:
    """Change an event of the source."""
    event = Event.objects.get(room=pair.life.room, content__body=body)
    for name, value in fields.items():
        setattr(event, name, value)
    event.save()


@database
def test_success_added_events_are_last(pair: Copy) -> None:
    """An event of this server keeps its place, and a late one can't be slipped between."""
    own = pair.home.tenant.events.order_by("-stream_position")[0].stream_position + 1
    Event.objects.create(
        tenant=pair.home.tenant,
        room=pair.room,
        sender=pair.home.anna,
        event_type="swp.room.message",
        content={"body": "own"},
        stream_position=own,
        origin_ts=0,
        created_at=START,
    )
    pair.life.do("late", 3, {"content": {"body": "late"}})
    done = pair.append(pair.end_day())
    assert (done.added, done.changed, done.deleted) == (1, 0, 0)
    assert pair.bodies() == [f"message {number}" for number in range(4)] + ["own", "late"]


@database
def test_success_erasure_reaches_every_event(pair: Copy) -> None:
    person = pair.life.room.creator
    pair.life.do("erase", 0, {})
    pair.append(pair.end_day())
    names = {
        event.content["_imported_sender"]["display_name"]
        for event in Event.objects.filter(room=pair.room)
    }
    assert names == {"Deleted user"}
    person.local_id, person.display_name = "renamed", "Renamed"
    person.save()
    link = pair.end_day()
    assert read_manifest(link)["senders"][str(person.pk)]["previous_fqid"]
    pair.append(link)
    sender = pair.event("message 0").content["_imported_sender"]
    assert (sender["fqid"], sender["display_name"]) == ("@renamed:localhost", "Renamed")
    # Someone whose name was erased here gets no other by a change of the address.
    person.local_id, person.display_name = "again", "Again"
    person.save()
    pair.life.do("add", 0, {"content": {"body": "secret"}})
    link = pair.end_day()
    erased = {"purged_at": START, "messages_erased_at": pair.life.now}
    purged = row_factories.make_participant(pair.home.tenant, "zoe", **erased)
    Participant.objects.filter(pk=purged.pk).update(local_id="renamed")
    pair.append(link)
    # Nor do earlier messages come back, with the new address or by a later increment.
    pair.life.day -= 1
    pair.life.do("add", 0, {"content": {"body": "secret"}})
    pair.life.day += 1
    person.display_name = "Once more"
    person.save()
    pair.append(pair.end_day())
    found = list(Event.objects.filter(room=pair.room).values_list("content", flat=True))
    assert len([content for content in found if content.get("body") == ""]) == 2
    assert "secret" not in str(found)
    sender["display_name"] = "Deleted user"
    assert [content["_imported_sender"] for content in found] == [sender] * len(found)


@database
@pytest.mark.parametrize("act", ["edit", "delete", "erase", "rename"])
@pytest.mark.parametrize("level", ["tenant", "room"])
def test_fail_erasure_under_a_hold_waits(pair: Copy, level: str, act: str) -> None:
    """What the link only adds is imported, and the rest once the hold is lifted."""
    room = str(pair.room.pk) if level == "room" else None
    tenant = pair.home.tenant.slug
    add_hold(operator=HOST_OPERATOR, reason="case", now=START, tenant=tenant, room=room)
    pair.life.do("add", 0, {"content": {"body": "new"}})
    assert pair.append(pair.end_day()).added == 1
    pair.life.do(act, 0, {"content": {"body": "other"}, "text": "Other"})
    link, before = pair.end_day(), list(Event.objects.filter(room=pair.room).values())
    for options in ({}, {"dry_run": True}):
        with pytest.raises(OnHold):
            pair.append(link, **options)
    assert list(Event.objects.filter(room=pair.room).values()) == before
    Hold.objects.update(lifted_at=START)
    assert pair.append(link).applied


@database
def test_fail_erasure_of_a_person_under_a_hold_waits(
    pair: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person is known by the address on this server, since the importer is the sender."""
    fqid = pair.event("message 0").content["_imported_sender"]["fqid"]
    local_id = fqid.removeprefix("@").partition(":")[0]
    Participant.objects.filter(local_id=local_id).update(tenant=pair.home.tenant)
    add_hold(operator=HOST_OPERATOR, reason="case", now=START, participant=fqid)
    pair.life.do("delete", 0, {})
    link = pair.end_day()
    with pytest.raises(ParticipantOnHold):
        pair.append(link)
    # Also by the address before the tenant moved here.
    TenantImport.objects.create(
        tenant=pair.home.tenant,
        source_tenant_id=pair.home.tenant.pk,
        source_server_name="localhost",
        is_new=True,
        people={"there": str(Participant.objects.get(local_id=local_id).pk)},
        started_at=START,
    )
    configure(monkeypatch, SCAIWAVE_SERVER_NAME="new.example")
    with pytest.raises(ParticipantOnHold):
        pair.append(link)
    assert "message 0" in pair.bodies()


@database
def test_fail_an_infected_file_under_a_hold_stays(pair: Copy) -> None:
    """An unsigned link would take it from the room."""
    pair.life.do("attach", 0, {"text": "photo"})
    pair.append(pair.end_day())
    tenant, room = pair.home.tenant.slug, str(pair.room.pk)
    add_hold(operator=HOST_OPERATOR, reason="case", now=START, tenant=tenant, room=room)
    Media.objects.filter(tenant=pair.life.room.tenant).update(scan_status="infected")
    ServerKey.objects.all().delete()
    link = pair.end_day()
    with pytest.raises(OnHold):
        pair.append(link, accept_unsigned=True)
    assert pair.room.media.exists()
    Hold.objects.update(lifted_at=START)
    assert pair.append(link, accept_unsigned=True).media_removed == 1


@database
@pytest.mark.parametrize("content_only", [False, True])
def test_success_retention_reaches_the_copy(pair: Copy, content_only: bool) -> None:
    pair.life.do("reply", 0, {})
    options: dict[str, Any] = {
        "operator": HOST_OPERATOR,
        "tenant": pair.life.room.tenant.slug,
        "confirm": lambda question: None,
        "now": START + timedelta(days=1, hours=1),
    }
    set_retention(values=PolicyValues(1, content_only=content_only), reason="", **options)
    run_retention(**options)
    done = pair.append(pair.end_day())
    counts = (0, 4) if content_only else (3, 1)
    assert (done.added, done.deleted, done.changed) == (1, *counts)
    assert pair.bodies() == [""] * (5 if content_only else 2)
    events = Event.objects.filter(room=pair.room)
    reply = events.get(content__has_key="reply_to_event_id").content["reply_to_event_id"]
    assert events.get(pk=reply).redacted_at


@database
def test_success_a_file_removed_here_does_not_come_back(pair: Copy) -> None:
    pair.life.do("attach", 0, {"text": "photo"})
    pair.append(pair.end_day())
    (link,) = pair.room.media.all()
    remove_media(
        operator=HOST_OPERATOR, room=str(pair.room.pk), tenant=pair.home.tenant.slug,
        file=str(link.media_id), reason="no", confirm=lambda effect, name: None, now=START,
        at_once=True,
    )  # fmt: skip
    pair.life.do("rescan", 0, {"text": "clean"})
    pair.life.do("add", 0, {"content": {"body": "more"}})
    pair.append(pair.end_day())
    assert not pair.room.media.exists()
    delete_room(
        operator=HOST_OPERATOR, name=str(pair.room.pk), tenant=pair.home.tenant.slug, reason="over",
        confirm=lambda effect, name: None, now=START, archive=True,
    )  # fmt: skip
    pair.life.do("add", 0, {"content": {"body": "late"}})
    with pytest.raises(BundleChainOther):
        pair.append(pair.end_day())


def edit_here(pair: Copy, body: str) -> Event:
    event = pair.event(body)
    event.content, event.edited_at = {**event.content, "body": "edited here"}, START + HOUR
    event.save()
    return event


@database
def test_fail_local_edit(pair: Copy) -> None:
    here = edit_here(pair, "message 0")
    deleted = pair.event("message 1")
    deleted.edited_at = START + HOUR
    deleted.save()
    change(pair, "message 0", content={"body": "edited there"}, edited_at=pair.life.now)
    pair.life.do("delete", 1, {})
    link = pair.end_day()
    with pytest.raises(ImportLocalChanges, match=f"edited here: .*{here.pk}") as refused:
        pair.append(link)
    assert set(refused.value.details["events"]) == {str(here.pk), str(deleted.pk)}
    assert "edited here" in pair.bodies()
    done = pair.append(link, local_changes=LocalChanges.KEEP)
    assert (done.changed, done.deleted, done.kept_local) == (0, 0, 2)
    assert pair.bodies()[:2] == ["edited here", "message 1"]


@database
def test_fail_edit_from_before_the_last_import(pair: Copy) -> None:
    """An edit here is protected from every later link, until one replaces it."""
    edit_here(pair, "message 0")
    pair.life.do("add", 0, {"content": {"body": "more"}})
    assert pair.append(pair.end_day()).added == 1
    for text in ("edited there", "edited there again"):
        pair.life.do("edit", 0, {"content": {"body": text}})
        link = pair.end_day()
        with pytest.raises(ImportLocalChanges):
            pair.append(link)
        done = pair.append(link, local_changes=LocalChanges.KEEP)
        assert (done.changed, done.kept_local) == (0, 1)
    pair.life.do("edit", 0, {"content": {"body": "theirs"}})
    assert pair.append(pair.end_day(), local_changes=LocalChanges.REPLACE).changed == 1
    pair.life.do("edit", 0, {"content": {"body": "last"}})
    assert pair.append(pair.end_day()).changed == 1
    assert pair.bodies()[0] == "last"


@pytest.mark.only_on("postgresql")
@database
@pytest.mark.parametrize("act", ["edit", "redact"])
def test_fail_changed_here_during_the_import(pair: Copy, act: str) -> None:
    """The import waits for a transaction that changes the same event, and finds what it did."""
    pair.life.do("edit", 0, {"content": {"body": "edited there"}})
    link = pair.end_day()
    is_changed, has_ended = threading.Event(), threading.Event()

    def change_here() -> None:
        with transaction.atomic():
            if act == "edit":
                edit_here(pair, "message 0")
            else:
                Event.objects.filter(pk=pair.event("message 0").pk).update(
                    content={"body": "redacted here"}, redacted_at=START
                )
            is_changed.set()
            while not fetch_number(_IS_AWAITED):
                assert not has_ended.is_set()

    def import_meanwhile() -> None:
        assert is_changed.wait(30)
        try:
            if act == "edit":
                with pytest.raises(ImportLocalChanges):
                    pair.append(link)
            else:
                assert pair.append(link).kept_local == 1
        finally:
            has_ended.set()

    run_concurrently(change_here, import_meanwhile)
    assert pair.bodies()[0] == {"edit": "edited here", "redact": "redacted here"}[act]


@database
def test_success_take_theirs(pair: Copy) -> None:
    edit_here(pair, "message 0")
    change(pair, "message 0", content={"body": "edited there"}, edited_at=pair.life.now)
    done = pair.append(pair.end_day(), local_changes=LocalChanges.REPLACE)
    assert done.changed == 1
    assert "edited there" in pair.bodies()


@database
def test_success_redacted_here_stays_redacted(pair: Copy) -> None:
    here = pair.event("message 0")
    imported_at = RoomImport.objects.get(room=pair.room).created_at
    here.content, here.redacted_at = {}, imported_at + HOUR
    here.save()
    change(pair, "message 0", content={"body": "edited there"}, edited_at=pair.life.now)
    done = pair.append(pair.end_day())
    assert (done.changed, done.kept_local) == (0, 1)
    assert "edited there" not in pair.bodies()
    # Nor does a text come back that the source has redacted too, of another sender.
    other = row_factories.make_participant(pair.life.room.tenant, "other")
    times = {"edited_at": None, "redacted_at": pair.life.now}
    change(pair, "edited there", content={"body": "still there"}, sender=other, **times)
    done = pair.append(pair.end_day())
    assert done.warnings[-1].startswith("1 event imported without content: ")
    assert "still there" not in pair.bodies()
    # The source may say that it redacted it, at the same time or earlier, or delete it first.
    for redacted_at in (START, here.redacted_at):
        change(pair, "still there", redacted_at=redacted_at)
        pair.append(pair.end_day())
        assert "still there" not in pair.bodies()
    again = Event.objects.get(room=pair.life.room, content__body="still there")
    Event.objects.filter(pk=again.pk).delete()
    pair.append(pair.end_day())
    assert not Event.objects.filter(pk=here.pk).exists()
    again.redacted_at = None
    again.save(force_insert=True)
    pair.append(pair.end_day())
    assert Event.objects.filter(pk=here.pk).exists()
    assert "still there" not in pair.bodies()


@database
def test_success_room_follows_unless_changed_here(pair: Copy) -> None:
    pair.room.topic = "Ours"
    pair.room.save()
    pair.life.do("topic", 0, {"text": "Theirs"})
    pair.append(pair.end_day())
    pair.room.refresh_from_db()
    assert (pair.room.name, pair.room.topic) == ("Theirs0", "Ours")


@database
def test_success_deleted_event_takes_its_reactions(pair: Copy) -> None:
    pair.life.do("reply", 0, {})
    pair.life.do("react", 0, {"text": "👍"})
    pair.append(pair.end_day())
    pair.life.do("delete", 0, {})
    done = pair.append(pair.end_day())
    assert (done.deleted, done.references_cut) == (1, 2)
    events = Event.objects.filter(room=pair.room)
    assert not events.filter(event_type="swp.room.reaction").exists()
    assert not events.filter(content__has_key="reply_to_event_id").exists()


@database
def test_fail_dangling_reference(pair: Copy) -> None:
    content = {"reply_to_event_id": "01990000-0000-7000-8000-000000000000"}
    pair.life.create(0, content=content)
    link = pair.end_day()
    with pytest.raises(DanglingReference):
        pair.append(link)
    assert pair.append(link, cut_references=True).references_cut == 1


@database
def test_success_dry_run(pair: Copy) -> None:
    pair.life.do("attach", 0, {"text": "a file"})
    pair.life.do("delete", 1, {})
    link = pair.end_day()
    before, media = pair.bodies(), Media.objects.count()
    found = pair.append(link, dry_run=True)
    assert (found.applied, found.added, found.deleted, found.media_stored) == (False, 1, 1, 1)
    assert (pair.bodies(), Media.objects.count()) == (before, media)
    assert RoomImport.objects.get(room=pair.room).links == []
    done = pair.append(link)
    assert (done.applied, done.added, done.deleted, done.media_stored) == (True, 1, 1, 1)


@database
@pytest.mark.parametrize("is_signed", [True, False])
def test_success_erased_messages_do_not_come_back(
    pair: Copy, is_signed: bool, tmp_path: Path
) -> None:
    """Not with an export from before the purge, nor with its increments."""
    room = pair.life.room
    zoe = row_factories.make_participant(
        room.tenant, "zoe", scaikey_id=f"usr_{next(_NUMBERS)}", absent_since=START
    )
    if not is_signed:
        ServerKey.objects.all().delete()
    pair.life.do("add", 1, {"content": {"body": "secret one"}})
    pair.life.do("attach", 1, {"text": "secret file"})
    pair.life.do("attach", 0, {"text": "kept file"})
    life = Life(room, tmp_path / "chain of zoe")
    life.directory.mkdir()
    life.end_day()
    life.do("add", 1, {"content": {"body": "secret two"}})
    pair.life.do("react", 1, {"text": "secret emoji"})
    life.do("touch", 4, {"text": "secret three"})
    life.end_day()
    run_command("purge_participant", str(zoe.pk), "--with-messages", "--yes")
    (kept,) = list_stored(room.tenant)

    copy = Copy(life, ImportTargetRows(room.tenant, room.workspace, room.creator), room)
    words = ("--input", str(life.links()[0]))
    plan = json.loads(run_import(copy, *words, "--dry-run", "--json"))
    done = json.loads(run_import(copy, *words, "--json"))
    assert plan["warnings"] == done["warnings"]
    assert (
        "2 events imported without content: they were redacted here, or `purge-participant` "
        "erased the messages of their author here."
    ) in done["warnings"]
    imported = Room.objects.get(pk=done["room"]["id"])
    assert list_stored(room.tenant) == [kept]
    assert [link.media.sha256 for link in RoomMedia.objects.filter(room=imported)] == [kept]
    run_import(copy, "--append", "--input", str(life.links()[1]))
    assert list_stored(room.tenant) == [kept]
    events = Event.objects.filter(room=imported).order_by("stream_position")
    rows = [(each.content, each.original_content) for each in events]
    assert "secret" not in str(rows)
    assert "Zoe" not in str(rows)
    erased = [bool(each.redacted_at) for each in events]
    assert erased == [False] * 4 + [True] * 2 + [False] + [True] * 2
    # Nor under another spelling of the address, from a server that no one knows.
    document = read_manifest(life.links()[0])
    sender = document["senders"][str(zoe.pk)]
    sender["fqid"] = sender["fqid"].upper().replace(":LOCAL", ":\u200bLocal") + ":443"
    forged = import_whole(copy.home, make_bundle({**document, "media": []}))
    assert "secret" not in str(Event.objects.filter(room=forged).values_list("content"))
    # Nor under the address before the tenant moved here, from its old server.
    TenantImport.objects.create(
        tenant=room.tenant,
        source_tenant_id=room.tenant.pk,
        source_server_name="Old.example:443",
        is_new=True,
        people={str(room.pk): str(zoe.pk)},
        started_at=START,
    )
    sender["fqid"] = f"@{zoe.local_id}:old.example"
    # Nor with a time after the purge, which anyone can write.
    late = [{**each, "created_at": "2099-01-01T00:00:00.000000Z"} for each in document["events"]]
    for changes in ({}, {"events": late}):
        forged = import_whole(copy.home, make_bundle({**document, "media": [], **changes}))
        assert "secret" not in str(Event.objects.filter(room=forged).values_list("content"))
    # What is written by someone who has come back is imported, if a known key confirms its time.
    Participant.objects.filter(pk=zoe.pk).update(absent_since=None, purged_at=None)
    life.day = 100_000
    life.do("add", 1, {"content": {"body": "back"}})
    for now, is_back in ((START, False), (life.now, is_signed)):  # It is not from the future.
        back = import_whole(copy.home, export_whole(life), now=now)
        assert Event.objects.filter(room=back, content__body="back").exists() is is_back


@database
@pytest.mark.parametrize("is_earlier", [True, False])
def test_success_an_erasure_outlives_a_new_name_of_the_source(
    pair: Copy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_earlier: bool
) -> None:
    """Also in rooms of later bases, and once the room whose increment had both names is gone."""
    source, here = pair.life.room, pair.home.tenant
    row_factories.make_participant(source.tenant, "zed")
    life = Life(source, tmp_path / "renamed")
    life.directory.mkdir()
    zoe = make_person(here, "zoe", absent_since=START)
    TenantImport.objects.create(
        tenant=here, source_tenant_id=source.tenant_id, source_server_name="old.example",
        is_new=True, people={f"@{source.creator.local_id}": str(zoe.pk)}, started_at=START,
    )  # fmt: skip

    def export_as(name: str) -> Path:
        configure(monkeypatch, SCAIWAVE_SERVER_NAME=f"{name}.example")
        life.do("add", 0, {"content": {"body": f"message of {name}"}})
        life.do("add", 1, {"content": {"body": "of another"}})
        assert life.end_day()
        configure(monkeypatch, SCAIWAVE_SERVER_NAME="localhost")
        return life.links()[-1]

    def purge() -> None:
        run_command("purge_participant", str(zoe.pk), "--with-messages", "--yes")

    def list_bodies(room: Room) -> set[str]:
        events = Event.objects.filter(room=room)
        assert events.filter(content__body="of another").exists()
        return set(events.values_list("content__body", flat=True)) - {"of another"}

    first = import_whole(pair.home, export_as("old").read_bytes())
    if is_earlier:
        purge()
    append(pair.home, export_as("older"))
    configure(monkeypatch, SCAIWAVE_SERVER_NAME="older.example")
    base = export_whole(life)
    configure(monkeypatch, SCAIWAVE_SERVER_NAME="localhost")
    again = import_whole(pair.home, base)
    if not is_earlier:
        purge()
    append(pair.home, export_as("older"))
    assert list_bodies(first) == list_bodies(again) == {""}
    RoomImport.objects.filter(room=first).delete()
    assert list_bodies(import_whole(pair.home, base)) == {""}
    # No change of an address takes over other people, here or under another name.
    known = TenantImport.objects.get().people
    old = f"@{source.creator.local_id}:old.example"
    note_renames(here, {old: "@boss:third.example", "@zoe:localhost": "@zoe:third.example"})
    note_renames(here, {old: f"@{source.creator.local_id}:LocalHost"})
    assert TenantImport.objects.get().people == known


@database
def test_fail_gap_and_strangers(pair: Copy, tmp_path: Path) -> None:
    links = []
    for text in "abc":
        pair.life.do("touch", 0, {"text": text})
        links.append(pair.end_day())
    with pytest.raises(BundleChainGap, match="Links are missing: 1, 2"):
        pair.append(links[2])
    pair.append(links[0])
    with pytest.raises(BundleChainGap, match="Links are missing: 2"):
        pair.append(links[2])
    # The second exporter of the same day.
    pair.life.day = 1
    twin = tmp_path / "twin.zip"
    export_link(pair.life, twin, pair.life.links()[:1])
    with pytest.raises(BundleChainOther, match="Another link 1 was imported"):
        pair.append(twin)
    with pytest.raises(BundleChainOther, match="has imported no room into workspace"):
        append(a_home(), links[1])
    with pytest.raises(BundleChainOther, match="not an increment"):
        pair.append(pair.life.links()[0])
    RoomImport.objects.update(tip_exported_at=None)
    with pytest.raises(ImportRefused, match="by a release without --append"):
        pair.append(links[1])


@database
def test_fail_imported_concurrently(pair: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.life.do("touch", 0, {"text": "x"})
    link = pair.end_day()

    def import_first(tenant_id: Any, count: int) -> int:
        monkeypatch.undo()
        pair.append(link)
        return reserve_positions(tenant_id, count)

    monkeypatch.setattr("rooms.imports.import_room.reserve_positions", import_first)
    with pytest.raises(ImportRunning):
        pair.append(link)
    assert not pair.append(link).applied


def list_stored(tenant: Tenant) -> list[str]:
    """Return the hashes of the files of a tenant in the store, which must be those of its rows."""
    rows = [media.sha256 for media in Media.objects.filter(tenant=tenant).order_by("sha256")]
    try:
        _, files = default_storage.listdir(f"tenant/{tenant.pk}")
    except FileNotFoundError:
        files = []
    assert sorted(files) == rows
    return rows


@pytest.fixture
def pair_with_file(pair: Copy) -> Copy:
    """A pair whose rooms have a file, and a link that removes it."""
    pair.life.do("attach", 0, {"text": "a file"})
    pair.append(pair.end_day())
    assert len(list_stored(pair.home.tenant)) == 1
    pair.life.do("detach", 0, {})
    return pair


@database
def test_success_files_go_with_their_last_room(pair_with_file: Copy) -> None:
    pair, link = pair_with_file, pair_with_file.end_day()
    pair.append(link, dry_run=True)
    assert len(list_stored(pair.home.tenant)) == 1
    assert pair.append(link).media_removed == 1
    assert list_stored(pair.home.tenant) == []
    assert not ImportIntent.objects.exists()
    # The same file may come again.
    pair.life.do("attach", 0, {"text": "a file"})
    pair.append(pair.end_day())
    assert len(list_stored(pair.home.tenant)) == 1


@database
@pytest.mark.parametrize("keeper", ["another room", "another name", "from before the room"])
def test_success_files_that_are_used_stay(pair_with_file: Copy, keeper: str) -> None:
    pair = pair_with_file
    media = Media.objects.get(tenant=pair.home.tenant)
    if keeper == "from before the room":
        Media.objects.filter(pk=media.pk).update(created_at=START - timedelta(days=1))
    else:
        is_here = keeper == "another name"
        room = (
            pair.room if is_here else row_factories.make_room(pair.home.workspace, pair.home.anna)
        )
        RoomMedia.objects.create(
            tenant=pair.home.tenant, room=room, media=media, name="mine.txt", created_at=START
        )
    assert pair.append(pair.end_day()).media_removed == 1
    assert list_stored(pair.home.tenant) == [media.sha256]


@database
def test_success_files_of_an_interrupted_import_go_later(
    pair_with_file: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, link = pair_with_file, pair_with_file.end_day()

    def end(intent: ImportIntent) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rooms.imports.intents.delete_released", end)
    with pytest.raises(KeyboardInterrupt):
        pair.append(link)
    assert not Media.objects.filter(tenant=pair.home.tenant).exists()
    assert not pair.append(link).applied
    assert list_stored(pair.home.tenant) == []


@database
def test_success_unsigned_link(pair: Copy) -> None:
    """It is refused after signed ones, and else proves nothing and makes no room public."""
    keys = list(ServerKey.objects.all())
    ServerKey.objects.all().delete()
    Room.objects.filter(pk=pair.life.room.pk).update(is_public=True)
    link = pair.end_day()
    with pytest.raises(ImportRefused, match="--require-signature"):
        pair.append(link, require_signature=True)
    for words in (("--append", "--input", str(link)), ("--chain", str(link.parent))):
        with pytest.raises(ImportRefused) as caught:
            run_import(pair, *words)
        assert str(caught.value) == (
            "The bundle is unsigned, so its origin can't be verified. A known key has signed the "
            "bundles before it."
        )
    done = pair.append(link, accept_unsigned=True)
    assert (done.signature, len(done.warnings)) == ("unsigned", 2)
    assert "is now private" in done.warnings[1]
    pair.room.refresh_from_db()
    assert not pair.room.is_public
    # The flag is for that import alone.
    pair.life.do("touch", 0, {"text": "x"})
    forged = pair.end_day()
    with pytest.raises(ImportRefused, match="A known key has signed"):
        pair.append(forged)
    # Nothing is left of it, so that the true increment can follow. An unknown key is not enough.
    forged.unlink()
    ServerKey.objects.bulk_create(keys)
    link = pair.end_day()
    ServerKey.objects.all().delete()
    with pytest.raises(ImportRefused) as caught:
        pair.append(link)
    assert "is not known here. A known key has signed the bundles before it." in str(caught.value)
    key = f"ed25519:{keys[0].public_key}"
    with pytest.raises(ImportRefused, match="is not a key of localhost"):
        pair.append(link, key=key)
    ServerKey.objects.bulk_create(keys)
    assert pair.append(link, key=key).applied


@database
def test_fail_another_server(pair: Copy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only a key that proves the new name of the source continues its chain."""
    with monkeypatch.context() as patch:
        configure(patch, SCAIWAVE_SERVER_NAME="new.example")
        link = pair.end_day()
    (key,) = ServerKey.objects.all()
    key.delete()
    public, descriptor = f"ed25519:{key.public_key}", tmp_path / "new.json"
    for options in ({"key": public}, {"accept_unsigned": True}):
        with pytest.raises(ImportRefused) as caught:
            pair.append(link, **options)
        assert (str(caught.value), caught.value.fix) == (
            "The increment names new.example, but its base localhost, and no key proves the new "
            "name.",
            "Nothing was imported. After a rename, pass the new descriptor with --descriptor.",
        )
    descriptor.write_text(json.dumps({"server_name": "new.example", "public_key": public}))
    assert pair.append(link, descriptor=descriptor, dry_run=True).warnings == []
    ServerKey.objects.bulk_create([key])
    assert pair.append(link).applied


@database
def test_success_a_true_link_after_a_forged_one(pair: Copy, tmp_path: Path) -> None:
    """The error names the way on: the base once more, in a new room."""
    base = pair.life.links()[0]
    pair.life.do("touch", 0, {"text": "x"})
    true = pair.end_day()
    forged = tmp_path / "forged.zip"
    forged.write_bytes(make_link(base.read_bytes(), []))
    assert pair.append(forged, accept_unsigned=True).applied
    pair.life.do("touch", 0, {"text": "y"})
    for link, problem in (
        (true, f"Another link 1 was imported into room {pair.room.pk} before."),
        (
            pair.end_day(),
            f"The increment does not follow link 1, which was imported into room {pair.room.pk}.",
        ),
    ):
        with pytest.raises(BundleChainOther) as caught:
            run_import(pair, "--append", "--input", str(link))
        assert (caught.value.message, caught.value.fix) == (
            problem,
            "Nothing was imported. If that link was forged, import the base again, without --once: "
            "its increments follow in that new room.",
        )
    run_import(pair, "--input", str(base))
    document = json.loads(run_import(pair, "--chain", str(true.parent), "--json"))
    assert [row["changed"] for row in document["links"]] == [False, True, True]
    assert document["links"][-1]["room"]["id"] != str(pair.room.pk)


@database
def test_fail_by_another_editor(pair: Copy) -> None:
    """Another editor with the base can write into no other room, and draws no increment away."""
    bob = make_person(pair.home.tenant, f"bob{next(_NUMBERS)}")
    WorkspaceMember.objects.create(
        tenant=pair.home.tenant, workspace=pair.home.workspace, participant=bob, role="editor",
        created_at=START,
    )  # fmt: skip
    other: dict[str, Any] = pair.home.names | {"participant": str(bob.pk)}
    pair.life.do("touch", 0, {"text": "x"})
    link = pair.end_day()
    with link.open("rb") as file, pytest.raises(BundleChainOther, match="has imported no room"):
        append_link(operator=HOST_OPERATOR, file=file, max_bytes=MAX_BYTES, now=START, **other)
    with pair.life.links()[0].open("rb") as file:
        import_room(operator=HOST_OPERATOR, file=file, max_bytes=MAX_BYTES, now=START, **other)
    assert pair.append(link).room_id == pair.room.pk


@database
@pytest.mark.parametrize(("options", "is_public"), [({}, False), ({"public": True}, True)])
def test_success_publication(pair: Copy, options: Any, is_public: bool) -> None:
    """An import that no known key has signed makes a public room only on request."""
    Room.objects.filter(pk=pair.life.room.pk).update(is_public=True)
    signed = export_whole(pair.life)
    assert import_whole(pair.home, signed).is_public
    ServerKey.objects.all().delete()
    assert import_whole(pair.home, export_whole(pair.life), **options).is_public is is_public
    assert import_whole(pair.home, signed, **options).is_public is is_public


def run_import(pair: Copy, *words: str) -> str:
    home = pair.home
    names = (home.workspace.slug, "--tenant", home.tenant.slug, "--as", str(home.anna.pk))
    return run_command("import_room", *names, *words)


@database
def test_success_command(pair: Copy) -> None:
    pair.life.do("touch", 0, {"text": "x"})
    link = pair.end_day()
    words = ("--append", "--input", str(link))
    assert "Imported link 1 into room 'Lobby': 0 added, 1 changed, 0 deleted." in run_import(
        pair, *words
    )
    assert "Link 1 was already imported into room 'Lobby'." in run_import(pair, *words)
    document = json.loads(run_import(pair, *words, "--json"))
    assert (document["room"]["name"], document["changed"]) == ("Lobby", False)
    with pytest.raises(BundleVersion, match="an increment"):
        run_import(pair, "--input", str(link))


@database
def test_success_chain_command(pair: Copy) -> None:
    for text in "abc":
        pair.life.do("touch", 0, {"text": text})
        pair.end_day()
    words = ("--chain", str(pair.life.directory))
    first = run_import(pair, *words, "--to-sequence", "1")
    assert "was already imported into workspace" in first
    assert "Imported link 1" in first
    document = json.loads(run_import(pair, *words, "--json"))
    assert [row["changed"] for row in document["links"]] == [False, False, True, True]
    # On a server that has nothing of it.
    other = Copy(pair.life, a_home(), pair.room)
    import_whole(other.home, export_whole(pair.life))
    # That room never got an increment, so that the new one does not replace it.
    document = json.loads(run_import(other, *words, "--json"))
    assert [row["changed"] for row in document["links"]] == [True] * 4
    assert "earlier base" not in str(document)
    assert Room.objects.filter(tenant=other.home.tenant).count() == 2
    # A broken link, and a new base.
    broken, whole = pair.life.links()[-1], pair.life.links()[-1].read_bytes()
    for size in (0, 700):
        broken.write_bytes(whole[:size])
        with pytest.raises(BundleNotZip) as caught:
            run_import(pair, *words)
        assert caught.value.fix == f"Nothing was imported. {BundleNotZip.advice}"
    broken.write_bytes(whole)
    base = pair.life.directory / "0004.zip"
    base.write_bytes(export_whole(pair.life))
    document = json.loads(run_import(pair, *words, "--json"))
    assert f"Room {pair.room.pk}, of an earlier base," in document["links"][0]["warnings"][-1]


@database
def test_success_times_of_no_calendar(pair: Copy) -> None:
    """An event has the time that its sender has stated, and a room is exported with it."""
    Event.objects.filter(room=pair.life.room, content__body="message 0").update(origin_ts=-(2**63))
    pair.life.do("add", 0, {"content": {"body": "new"}})
    Event.objects.filter(room=pair.life.room, content__body="new").update(origin_ts=2**63 - 1)
    done = pair.append(pair.end_day())
    assert (done.added, done.changed) == (1, 1)
    for room in (pair.room, import_whole(pair.home, export_whole(pair.life))):
        seconds = Event.objects.filter(room=room).values_list("origin_ts", flat=True)
        assert {-(2**63), 2**63 - 1} < set(seconds)


@database
@pytest.mark.parametrize(
    "words",
    [
        ("--chain", "x", "--append"),
        ("--chain", "x", "--dry-run"),
        ("--append", "--once"),
        ("--to-sequence", "1"),
        ("--keep-local",),
        ("--accept-unsigned",),
        ("--append", "--accept-unsigned", "--require-signature"),
        ("--append", "--keep-local", "--take-theirs"),
    ],
)
def test_fail_usage(pair: Copy, words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        run_import(pair, *words)


@database
def test_success_twenty_days(media_root: Path, tmp_path: Path) -> None:
    """A room lives, is exported each night, and is restored on another server."""
    random = Random(20)
    names = sorted(set(ACTS))
    home, there = a_home(), a_home()
    people = [row_factories.make_participant(home.tenant, f"person{number}") for number in range(5)]
    life = Life(row_factories.make_room(home.workspace, people[0]), tmp_path, is_careful=True)
    ids, media = set[str](), dict[str, str]()
    chain = tmp_path / str(life.room.pk)
    for day in range(20):
        life.day = day
        for number in range(random.randint(0, 12)):
            name = random.choice((*names, "add", "add", "reply", "react"))
            content = {"body": f"{day}/{number}", "n": random.random()}
            life.do(name, random.randrange(100), {"content": content, "text": f"{day}.{number}"})
            ids.update(map(str, life.room.events.values_list("pk", flat=True)))
            media.update(
                (row.sha256, str(row.pk)) for row in Media.objects.filter(tenant=home.tenant)
            )
        outcomes = export_rooms(
            operator=HOST_OPERATOR,
            tenant=home.tenant.slug,
            directory=tmp_path,
            window=WHOLE_ROOM,
            with_media=True,
            clock=lambda: life.now,
            chains=ChainOptions(30, even_if_empty=False, max_bytes=MAX_BYTES),
        )
        assert outcomes.count(ExportOutcome.FAILED) == 0
        if day in {7, 19}:
            import_directory(there, chain)
    room = Room.objects.get(tenant=there.tenant)
    other = import_whole(a_home(), export_whole(life))
    assert life.room.events.count() > 20
    assert describe_room(room, ids, media) == describe_room(other, ids, media)


def import_directory(home: ImportTargetRows, chain: Path) -> None:
    options: dict[str, Any] = {
        **home.names,
        "max_bytes": MAX_BYTES,
        "now": START,
        "cut_references": True,
    }
    import_chain(
        operator=HOST_OPERATOR,
        chain=chain,
        on_result=lambda result: None,
        local_changes=LocalChanges.REFUSE,
        progress_factory=null_progress_factory,
        **options,
    )
