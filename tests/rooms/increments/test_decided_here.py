"""Increments after this server erased, held, redacted or edited what they change."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from federation.models import ServerKey
from rooms.errors import (
    BundleChainOther,
    ImportLocalChanges,
)
from rooms.imports.apply_increment import LocalChanges
from rooms.lifecycle.delete_room import delete_room
from rooms.lifecycle.remove_media import remove_media
from rooms.lookup.authors import note_renames
from rooms.models import (
    Event,
    Media,
    Room,
    RoomImport,
    RoomMedia,
    TenantImport,
)
from rooms.retention.policies import PolicyValues, set_retention
from rooms.retention.run_retention import run_retention
from scaiwave.core.sql import fetch_number
from tenants.errors import OnHold, ParticipantOnHold
from tenants.holds.hold import add_hold
from tenants.models import Hold, Participant, Tenant
from tenants.models.directory import DELETED_NAME
from tests.concurrency import run_concurrently
from tests.federation.factories import configure
from tests.rooms.bundle.factories import make_bundle
from tests.rooms.imports.factories import ImportTargetRows
from tests.rooms.increments.histories import (
    START,
    Copy,
    Life,
    append,
    change,
    export_whole,
    import_whole,
    list_stored,
    read_manifest,
    run_import,
)
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, make_person, run_command

_NUMBERS = count()
HOUR = timedelta(hours=1)
_IS_AWAITED = "SELECT bool_or(pg_backend_pid() = ANY(pg_blocking_pids(pid))) FROM pg_locks"
database = pytest.mark.django_db(transaction=True)


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
    """What the increment only adds is imported, and the rest once the hold is lifted."""
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
    """An unsigned increment would take it from the room."""
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
    """An edit here is protected from every later bundle, until one replaces it."""
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
    again.redacted_at = START - HOUR
    again.save(force_insert=True)
    pair.append(pair.end_day())
    assert Event.objects.filter(pk=here.pk).exists()
    change(pair, "still there", redacted_at=START)
    pair.append(pair.end_day())
    assert "still there" not in pair.bodies()


@database
@pytest.mark.parametrize("is_deleted_first", [False, True])
def test_success_emptied_by_an_earlier_release_stays_empty(
    pair: Copy, is_deleted_first: bool
) -> None:
    """It kept the time at which the source had redacted a message without removing its text."""
    here, author = pair.event("message 0"), pair.life.room.creator
    here.content = {"_imported_sender": here.content["_imported_sender"], "body": ""}
    here.redacted_at = START - HOUR
    here.save()
    Participant.objects.filter(pk=author.pk).update(
        tenant=pair.home.tenant, purged_at=START, messages_erased_at=pair.life.now
    )
    other = row_factories.make_participant(pair.life.room.tenant, "other")
    change(pair, "message 0", content={"body": "still there"}, sender=other, redacted_at=START)
    again = Event.objects.get(room=pair.life.room, content__body="still there")
    if is_deleted_first:
        Event.objects.filter(pk=again.pk).delete()
        pair.append(pair.end_day())
        again.save(force_insert=True)
    done = pair.append(pair.end_day())
    assert (done.added, done.changed) == (is_deleted_first, not is_deleted_first)
    assert done.warnings[-1].startswith("1 event imported without content: ")
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


def append_after_a_hold(pair: Copy, link: Path, held: Room, person: Participant) -> list[str]:
    """Return the last warning of a dry run and of the import."""
    tenant, room = held.tenant.slug, str(held.pk)
    add_hold(operator=HOST_OPERATOR, reason="case", now=START, tenant=tenant, room=room)
    with pytest.raises(ParticipantOnHold) as caught:
        append(pair.home, link)
    assert str(caught.value) == (
        f"The increment has a new address of {person.pk}, whose data was erased here, and a hold "
        "covers events with this address."
    )
    Hold.objects.update(lifted_at=START)
    return [append(pair.home, link, dry_run=is_dry).warnings[-1] for is_dry in (True, False)]


def assert_no_one_is_taken_over(tenant: Tenant, local_id: str) -> None:
    """No change of an address takes over other people, here or under another name."""
    known, old = TenantImport.objects.get().people, f"@{local_id}:old.example"
    note_renames(tenant, {old: "@boss:third.example", "@zoe:localhost": "@zoe:third.example"})
    note_renames(tenant, {old: f"@{local_id}:LocalHost"})
    assert TenantImport.objects.get().people == known


@database
@pytest.mark.parametrize(
    "order", ["purge increment base", "purge base increment", "increment base purge"]
)
def test_success_an_erasure_outlives_a_new_name_of_the_source(
    pair: Copy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, order: str
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
    link = export_as("older")
    configure(monkeypatch, SCAIWAVE_SERVER_NAME="older.example")
    base = export_whole(life)
    configure(monkeypatch, SCAIWAVE_SERVER_NAME="localhost")
    again, warnings = first, list[str]()
    for act in order.split():
        if act == "purge":
            purge()
        elif act == "base":
            again = import_whole(pair.home, base)
            # A source may redact a message without removing its text.
            again.events.filter(content__body="message of old").update(redacted_at=START)
        elif again == first:
            append(pair.home, link)
        else:
            warnings = append_after_a_hold(pair, link, again, zoe)
    if order == "purge base increment":
        new = f"@{source.creator.local_id}:older.example"
        warning = (
            f"6 events of {new}, whose messages were erased here, came with earlier imports. Run "
            f"`scaiwave admin purge-participant {zoe.pk} --with-messages` again."
        )
        assert warnings == [warning] * 2
        contents = Event.objects.filter(room=again).values_list("content", flat=True)
        senders = [content["_imported_sender"] for content in contents]
        assert {each["display_name"] for each in senders if each["fqid"] == new} == {DELETED_NAME}
        assert len(list_bodies(again)) > 1
        purge()
    append(pair.home, export_as("older"))
    append(pair.home, export_as("oldest"))  # The name before is the one of the last increment.
    known = TenantImport.objects.get().people
    assert known[f"@{source.creator.local_id}:oldest.example"] == str(zoe.pk)
    assert list_bodies(first) == list_bodies(again) == {""}
    RoomImport.objects.filter(room=first).delete()
    assert list_bodies(import_whole(pair.home, base)) == {""}
    assert_no_one_is_taken_over(here, source.creator.local_id)


@database
@pytest.mark.parametrize(
    ("is_named", "server"), [(True, ""), (True, "further.example"), (False, "")]
)
def test_success_no_server_renames_people_of_another(
    pair: Copy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_named: bool, server: str
) -> None:
    here, person = pair.home.tenant, make_person(pair.home.tenant, "zoe", absent_since=START)
    local_id = f"@zed.{pair.life.room.tenant.slug}"
    people = {f"{local_id}:far.example": str(person.pk)}
    TenantImport.objects.create(
        tenant=here, source_tenant_id=pair.life.room.tenant_id, source_server_name="far.example",
        is_new=True, people=people, started_at=START,
    )  # fmt: skip
    configure(monkeypatch, SCAIWAVE_SERVER_NAME="old.example")
    zed = row_factories.make_participant(pair.life.room.tenant, "zed", server_name="far.example")
    Event.objects.filter(room=pair.life.room).update(sender=zed)
    base = export_whole(pair.life)
    Participant.objects.filter(pk=zed.pk).update(server_name=server)
    (pair.life.directory / "0000.zip").write_bytes(base)
    link = pair.end_day()
    configure(monkeypatch, SCAIWAVE_SERVER_NAME="localhost")
    (key,) = ServerKey.objects.all()
    key.delete()
    public, descriptor = f"ed25519:{key.public_key}", tmp_path / "old.json"
    descriptor.write_text(json.dumps({"server_name": "old.example", "public_key": public}))
    trust: dict[str, Any] = {"descriptor": descriptor} if is_named else {"key": public}
    import_whole(pair.home, base, **trust)
    assert append(pair.home, link, **trust).applied
    assert TenantImport.objects.get().people == people
