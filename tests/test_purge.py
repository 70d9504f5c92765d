"""A person who leaves ScaiKey, is purged, and returns: through every app, with a real sync."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from pytest_django import Settings

from identity_sync.models import PendingRemoval, SyncChange, SyncRun, SyncSkip
from rooms.bundle.manifest.schema import WHOLE_ROOM
from rooms.exports.export_room import export_room
from rooms.imports.import_room import ImportRequest, import_room
from rooms.models import Event, Room, WorkspaceMember
from rooms.search.queries import search_rooms
from scaiwave.ids import new_id
from scaiwave.sandbox import Sandbox
from tenants.models import GroupMembership, Participant
from tenants.people.purge_participant import purge_participant
from tests.identity_sync.sync.helpers import (
    HOST,
    get_changed_counts,
    pick_two_people,
    read_database,
    read_directory,
    sync,
)
from tests.rooms.round_trip import read_bundle
from tests.rooms.search.factories import backfill, make_message
from tests.scaiwave import row_factories
from tests.scaiwave.row_factories import NOW
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.sandbox(partners=1, tenants=2, people=12, groups=3),
]

NAME, EMAIL, AVATAR = "Zuzanna Qvist", "zq@example.org", "https://example.org/zq.png"


@pytest.fixture
def scaikey(sandbox: Sandbox, settings: Settings, media_root: Path) -> Sandbox:
    settings.CONFIG = make_config(sandbox)
    return sandbox


def find_traces() -> set[str]:
    """Return the tables that contain the name, the e-mail address or the avatar."""
    return {
        model._meta.db_table
        for model in apps.get_models()
        for row in model._default_manager.values_list()
        if any(text.lower() in repr(row).lower() for text in (NAME, EMAIL, AVATAR))
    }


def create_traces(scaikey: Sandbox, anna: str) -> Participant:
    """Have the person in records of syncs, in messages, in an imported room and in the index."""
    sync()
    scaikey.directory.update_user(anna, display_name=NAME, email=EMAIL, avatar_url=AVATAR)
    tenant_id = Participant.objects.get(scaikey_id=anna).tenant.scaikey_tenant_id
    group = scaikey.directory.add_group(str(tenant_id), name="Travellers")
    scaikey.directory.add_member(group, user_id=anna)
    sync(dry_run=True)
    sync()
    scaikey.directory.remove_member(group, user_id=anna)
    sync(dry_run=True)
    sync()
    person = Participant.objects.get(scaikey_id=anna)
    SyncSkip.objects.create(
        tenant=person.tenant,
        kind="memberships",
        subject_scaikey_id=f"{group} {anna}",
        subject_name=f"{NAME} in Travellers",
        reason_code="lookup_failed",
        first_skipped_at=NOW,
        last_skipped_at=NOW,
    )
    import_again(make_room(person))
    backfill()
    return person


def make_room(person: Participant) -> Room:
    workspace = row_factories.make_workspace(person.tenant)
    owner = Participant.objects.filter(tenant=person.tenant).exclude(pk=person.pk)[0]
    for member in (person, owner):
        WorkspaceMember.objects.create(
            tenant=person.tenant,
            workspace=workspace,
            participant=member,
            role="owner",
            created_at=NOW,
        )
    room = row_factories.make_room(workspace, owner)
    make_message(room, "The train leaves at noon", sender=person)
    make_message(room, "Which train?", sender=owner)
    return room


def export(room: Room) -> bytes:
    exported = export_room(
        operator=HOST,
        tenant=room.tenant.slug,
        room=str(room.pk),
        window=WHOLE_ROOM,
        with_media=True,
        now=NOW,
    )
    return b"".join(exported)


def import_again(room: Room) -> None:
    import_room(
        operator=HOST,
        request=ImportRequest(
            tenant=room.tenant.slug,
            workspace=room.workspace.slug,
            participant=str(room.creator_id),
            max_bytes=2**24,
            now=NOW,
        ),
        file=BytesIO(export(room)),
    )


def purge(person: Participant) -> None:
    result = purge_participant(
        operator=HOST,
        name=str(person.pk),
        reason="",
        confirm=lambda question: None,
        now=datetime.now(UTC) + timedelta(days=1),
    )
    assert result.changed


def list_senders() -> set[tuple[str, str]]:
    """Return (name, avatar) of the senders of all messages, in exports of every room."""
    senders = set()
    for room in Room.objects.select_related("tenant"):
        manifest = read_bundle(export(room)).manifest
        for sender in (
            *manifest["senders"].values(),
            *(event["content"].get("_imported_sender") for event in manifest["events"]),
        ):
            if sender is not None:
                senders.add((sender["display_name"], sender["avatar_url"]))
    return senders


def search(person: Participant, text: str) -> list[dict[str, Any]]:
    return list(search_rooms(operator=HOST, text=text, tenant=person.tenant.slug)[0])


def test_success_no_trace_remains_and_the_person_may_return(scaikey: Sandbox) -> None:
    anna, _ = pick_two_people(scaikey)
    person = create_traces(scaikey, anna)
    assert find_traces() >= {
        "sw_participants",
        "sw_sync_changes",
        "sw_sync_change_values",
        "sw_sync_planned_changes",
        "sw_sync_skips",
        "sw_events",
    }
    assert (NAME, AVATAR) in list_senders()
    scaikey.directory.remove_user(anna)
    sync()

    purge(person)

    assert find_traces() == set()
    assert ("Deleted user", "") in list_senders()
    assert Event.objects.filter(content___imported_sender__display_name="Deleted user").count() == 1
    (hit,) = search(person, "noon")
    assert (hit["sender"], hit["sender_id"]) == ("Deleted user", person.pk)
    assert search(person, "Qvist") == []
    edges = GroupMembership.objects.filter(member_participant=person)
    names = SyncChange.objects.filter(
        subject_id__in=[person.pk, *edges.values_list("pk", flat=True)]
    )
    assert set(names.values_list("subject_name", flat=True)) == {"Deleted user"}
    others = SyncChange.objects.exclude(pk__in=names)
    assert not others.filter(subject_name="Deleted user").exists()
    assert get_changed_counts(sync()) == {}
    assert find_traces() == set()
    assert read_database() == read_directory(scaikey)

    index = scaikey.directory.people.ids.decode(anna)
    assert index is not None
    tenant_id = str(person.tenant.scaikey_tenant_id)
    scaikey.directory.people.roster.move(index, (tenant_id, "ACTIVE"))
    scaikey.directory.clear_cache()

    assert get_changed_counts(sync())["participants"] == {"restored": 1}
    before = person.local_id
    person = Participant.objects.get(pk=person.pk)
    assert (person.display_name, person.email, person.avatar_url) == (NAME, EMAIL, AVATAR)
    assert (person.purged_at, person.is_active, person.local_id) == (None, True, before)
    assert {hit["sender"] for hit in search(person, "noon")} == {NAME}
    assert read_database() == read_directory(scaikey)


def test_success_people_of_other_rooms_and_servers_keep_their_names(scaikey: Sandbox) -> None:
    anna, bert = pick_two_people(scaikey)
    person = create_traces(scaikey, anna)
    event = Event.objects.filter(content__has_key="_imported_sender")[0]
    fqids: list[Any] = [f"@{person.local_id}:other.example", f"@{person.local_id}", None, 7, [], {}]
    for fqid in fqids:
        sender = {"display_name": "Someone", "avatar_url": "https://example.org/x", "fqid": fqid}
        row_factories.make_event(
            event.room,
            Event.objects.count() + 1000,
            content={"body": "far", "_imported_sender": sender},
        )
    odd_senders: list[Any] = [None, 7, "text", [], {}]
    for odd in odd_senders:
        row_factories.make_event(
            event.room,
            Event.objects.count() + 2000,
            content={"body": "odd", "_imported_sender": odd},
        )
    before = list(Event.objects.exclude(content___imported_sender__display_name=NAME).values_list())
    scaikey.directory.remove_user(anna)
    sync()

    purge(person)

    rest = Event.objects.exclude(content___imported_sender__display_name="Deleted user")
    assert list(rest.values_list()) == before
    other = Participant.objects.get(scaikey_id=bert)
    assert other.display_name != "Deleted user"
    assert other.purged_at is None


def test_success_original_content_of_an_edited_message(scaikey: Sandbox) -> None:
    anna, _ = pick_two_people(scaikey)
    person = create_traces(scaikey, anna)
    event = Event.objects.filter(content___imported_sender__display_name=NAME)[0]
    event.original_content = {**event.content, "body": "before", "n": 12345678901234567890}
    event.save()
    scaikey.directory.remove_user(anna)
    sync()

    purge(person)

    event.refresh_from_db()
    sender = {**event.content["_imported_sender"]}
    assert (sender["display_name"], sender["avatar_url"]) == ("Deleted user", "")
    assert event.original_content["_imported_sender"] == sender
    assert event.original_content["n"] == 12345678901234567890
    assert find_traces() == set()


def test_success_rows_that_a_sync_skipped_under_another_id(scaikey: Sandbox) -> None:
    """Such as someone whose addition to another tenant was skipped, and to a group there."""
    sync()
    anna, bert = pick_two_people(scaikey)
    person = Participant.objects.get(scaikey_id=anna)
    for kind, scaikey_id, name in (
        ("participants", anna, NAME),
        ("memberships", f"grp_1 {anna}", NAME),
        ("memberships", f"grp_1 {bert}", "Bert"),
        ("memberships", f"{anna} grp_2", "Travellers"),
    ):
        facts = {
            "tenant": person.tenant,
            "kind": kind,
            "subject_name": name,
            "reason_code": "over_limit",
        }
        run = SyncRun.objects.latest("started_at")
        SyncChange.objects.create(
            run=run, action="skipped", subject_id=new_id(), subject_scaikey_id=scaikey_id, **facts
        )
        SyncSkip.objects.create(
            subject_scaikey_id=scaikey_id, first_skipped_at=NOW, last_skipped_at=NOW, **facts
        )
    assert find_traces() == {"sw_sync_changes", "sw_sync_skips"}
    Participant.objects.filter(pk=person.pk).update(absent_since=NOW)

    purge(person)

    assert find_traces() == set()
    for model in (SyncChange, SyncSkip):
        assert {"Bert", "Travellers"} <= set(model.objects.values_list("subject_name", flat=True))


def test_success_removals_that_wait_or_have_ended(scaikey: Sandbox) -> None:
    """Those about the person, and no others."""
    sync()
    anna, bert = pick_two_people(scaikey)
    person = Participant.objects.get(scaikey_id=anna)
    other = Participant.objects.get(scaikey_id=bert)
    fields = {"loss": "removed", "cause": "removed", "limit_code": "tenant", "kind": "participants"}
    times = {"first_seen_at": NOW, "last_seen_at": NOW}
    for subject, key, name, reason, state in (
        (person.pk, anna, NAME, f"{NAME} is on leave", "kept"),
        (person.pk, anna, NAME, "", "ended"),
        (new_id(), anna, NAME, "", "pending"),  # their row in another tenant
        (other.pk, bert, "Bert", "as asked for", "kept"),
    ):
        PendingRemoval.objects.create(
            **fields,
            **times,
            tenant=person.tenant,
            subject_id=subject,
            subject_scaikey_id=key,
            person_scaikey_id=key,
            subject_name=name,
            decision_reason=reason,
            decided_by="root",
            state=state,
        )
    assert find_traces() == {"sw_pending_removals"}
    Participant.objects.filter(pk=person.pk).update(absent_since=NOW)

    purge(person)

    assert find_traces() == set()
    kept = PendingRemoval.objects.get(subject_id=other.pk)
    assert (kept.subject_name, kept.decision_reason) == ("Bert", "as asked for")
