from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command

from rooms.bundle.format import CARRIED_ROOM_TYPES, IMPORTED_SENDER, REFERENCES, is_stripped
from rooms.models import Event, Media, Room, RoomMedia, RoomMember, RoomType, WorkspaceMember
from rooms.services.seeding import seed_rooms as seeding
from rooms.services.seeding.media import GeneratedFile
from rooms.services.seeding.seed_rooms import SeededRooms, Wanted, seed_rooms
from scaiwave.auth.operators import Operator, Role, host_operator
from scaiwave.errors import InsufficientPermission
from tenants.models import AuditEntry, Participant, Tenant
from tests.scaiwave import console

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
EVENTS = 1500


def seed(tenant: str = "acme", **wanted: Any) -> SeededRooms:
    return seed_rooms(
        operator=host_operator(),
        tenant=tenant,
        workspace="talks",
        wanted=Wanted(**{"events": EVENTS, "media": 30, "media_bytes": 50, **wanted}),
        now=NOW,
    )


def events(of: SeededRooms, number: int = 0) -> Iterator[Event]:
    room = of.rooms[number]["id"]
    return Event.objects.filter(room=room).order_by("stream_position").iterator()


def test_success_every_kind_of_event() -> None:
    seeded = seed()
    found = list(events(seeded))
    assert len(found) == EVENTS
    types = {event.event_type for event in found}
    assert {
        "swp.room.message", "swp.room.reaction", "swp.room.redaction", "swp.room.member",
        "swp.room.name", "swp.room.topic", "swp.room.read_marker", "swp.sidekick.suggestion",
        "swp.call.ended", "org.example.x-未知",
    } <= types  # fmt: skip
    contents = [event.content for event in found]
    assert {"swp.text", "swp.code", "swp.media"} <= {content.get("msgtype") for content in contents}
    for key in ("mentions", "reply_to_event_id", "thumbnail_id", IMPORTED_SENDER, "événement"):
        assert any(key in content for content in contents), key
    for field in ("edited_at", "redacted_at", "original_content", "event_uuid", "do_not_index"):
        assert any(getattr(event, field) for event in found), field
    spoken = " ".join(content.get("body", "") for content in contents)
    for part in ("ß", "ł", "я", "Ε", "ا", "ש", "न", "ส", "你", "東", "한", '"', "\\", "\n"):
        assert part in spoken, part
    assert "👩‍👩‍👧‍👦" in spoken
    assert "\U0010ffff" in spoken
    senders = Participant.objects.filter(pk__in={event.sender_id for event in found})
    kinds = set(senders.values_list("participant_type", flat=True))
    assert kinds == {"human", "federated", "bridge"}


def test_success_ids_and_times_go_up_with_the_position() -> None:
    found = list(events(seed()))
    assert [event.stream_position for event in found] == list(range(1, EVENTS + 1))
    for before, after in pairwise(found):
        assert before.pk < after.pk
        assert before.created_at < after.created_at
    for event in found:
        assert event.pk.version == 7
        assert event.origin_ts == int(event.created_at.timestamp())
        assert event.pk.int >> 80 == event.created_at.timestamp() * 1000 // 1
        assert NOW - timedelta(hours=4) < event.created_at < NOW
        assert event.edited_at is None or event.edited_at > event.created_at


def test_success_references_lead_to_earlier_events_and_to_files_of_the_room() -> None:
    seeded = seed()
    files = RoomMedia.objects.filter(room=seeded.rooms[0]["id"])
    shown = set(map(str, files.values_list("media", flat=True)))
    earlier: dict[str, Event] = {}
    referred = 0
    for event in events(seeded):
        key, needed = REFERENCES.get(event.event_type, ("event_id", False))
        for content in (event.content, event.original_content or {}):
            if (target := content.get(key)) is not None:
                assert not is_stripped(earlier[target].event_type)
                referred += 1
            for name in ("media_id", "thumbnail_id"):
                assert name not in content or content[name] in shown
        assert not needed or key in event.content
        if event.event_type == "swp.room.redaction":
            assert earlier[event.content["event_id"]].redacted_at
        earlier[str(event.pk)] = event
    assert referred > EVENTS / 10


def test_success_same_seed_says_the_same() -> None:
    first, again, other = seed(rooms=2), seed("beta", rooms=2), seed("gamma", seed=2)
    assert [said(first, 0), said(first, 1)] == [said(again, 0), said(again, 1)]
    assert said(first, 0) != said(first, 1)
    assert said(first, 0) != said(other, 0)


def said(of: SeededRooms, number: int) -> list[Any]:
    """What differs between two rooms of the same talk, ids and times, is taken out."""
    tenant = Tenant.objects.get(slug=of.tenant)
    people = Participant.objects.filter(tenant=tenant).order_by("pk")
    media = RoomMedia.objects.filter(room=of.rooms[number]["id"]).order_by("pk")
    known = {str(person.pk): f"person {place}" for place, person in enumerate(people)}
    known |= {str(file.media_id): f"file {place}" for place, file in enumerate(media)}
    told = []
    for place, event in enumerate(events(of, number)):
        known[str(event.pk)] = f"event {place}"
        text = json.dumps([event.event_type, event.content, event.original_content])
        for key, label in known.items():
            if key in text:
                text = text.replace(key, label)
        told.append((text, known[str(event.sender_id)], event.do_not_index))
    return told


def test_success_files_are_there_once(media_root: Path) -> None:
    seed()
    media = Media.objects.all()
    assert RoomMedia.objects.count() == 30
    assert media.count() == 27  # every tenth file has the bytes of the one before
    infected = media.get(scan_status="infected")
    assert not default_storage.exists(infected.storage_name)
    for clean in media.exclude(pk=infected.pk):
        with default_storage.open(clean.storage_name) as file:
            content = file.read()
        assert (len(content), sha256(content).hexdigest()) == (50, clean.sha256)
    seed()
    assert RoomMedia.objects.count() == 60
    assert media.count() == 27
    assert not list((media_root / "incoming").iterdir())


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 1024 * 1024, 2_500_000])
def test_success_made_up_bytes(size: int) -> None:
    content = GeneratedFile(label="a", size=size)
    joined = b"".join(content.chunks())
    assert len(joined) == size
    assert sha256(joined).hexdigest() == content.sha256()
    assert size == 0 or joined != b"".join(GeneratedFile(label="b", size=size).chunks())


def test_success_second_run_adds() -> None:
    first = seed(rooms=2, events=20, media=0)
    second = seed(rooms=2, events=20, media=0)
    assert (Room.objects.count(), Event.objects.count()) == (4, 80)
    assert first.owner == second.owner
    assert Participant.objects.count() == 12
    owner = WorkspaceMember.objects.get()
    assert (owner.participant, owner.role, owner.workspace.slug) == (first.owner, "owner", "talks")
    entries = AuditEntry.objects.order_by("pk").values_list("action", "subject_name", "details")
    details = {"rooms": 2, "events": 20, "media": 0}
    assert list(entries)[1:] == [("manage seed_rooms", "talks", details)] * 2


@pytest.mark.parametrize("room_type", RoomType.values)
def test_success_room_types(room_type: str) -> None:
    seeded = seed(room_type=room_type, events=50, media=0, rooms=2)
    room = Room.objects.get(pk=seeded.rooms[1]["id"])
    assert room.room_type == room_type
    assert (room.scope_kind == "incognito") is (room_type == "incognito")
    assert bool(room.room_alias) is (room_type == "public")
    members = RoomMember.objects.filter(room=room)
    assert members.count() == (2 if room_type == "dm" else 12)
    creator = members.get(participant=room.creator)
    assert (creator.membership, creator.power_level) == ("join", 100)
    assert room_type not in CARRIED_ROOM_TYPES or not room.is_federated


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_success_small_rooms(count: int) -> None:
    seeded = seed(events=count, senders=1, foreign_share=1, media=1)
    assert len(list(events(seeded))) == count
    assert seeded.owner.participant_type == "human"


def test_success_a_room_is_there_whole_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second room fails after its rows were written; the first stays."""
    write = seeding._write
    written = []

    def failing(rows: Any) -> None:
        write(rows)
        written.append(Event.objects.count())
        if len(written) == 2:
            raise OSError("made to fail")

    monkeypatch.setattr(seeding, "_write", failing)
    with pytest.raises(OSError, match="made to fail"):
        seed(rooms=2, events=10, media=0)
    assert written == [10, 20]
    assert (Room.objects.count(), Event.objects.count()) == (1, 10)


def test_fail_not_the_platforms_operator() -> None:
    with pytest.raises(InsufficientPermission):
        seed_rooms(
            operator=Operator("anna", Role.TENANT_ADMIN),
            tenant="acme",
            workspace="talks",
            wanted=Wanted(),
            now=NOW,
        )


def test_success_command(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("seed_rooms", tenant="acme", events=20, media=2, json=True, stdout=StringIO())
    document = json.loads(capsys.readouterr().out)
    [room] = document.pop("rooms")
    assert Event.objects.filter(room=room["id"]).count() == room["events"] == 20
    assert (document["tenant"], document["workspace"]) == ("acme", "seeded")
    call_command("seed_rooms", tenant="acme", events=20)
    shown, talk = capsys.readouterr()
    assert shown.startswith("Room ")
    assert talk == "In workspace seeded of acme, owned by Anna Berg.\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--events", "-1"),
            "argument --events: '-1' is not a whole number from 0 to 100,000,000",
        ),
        (
            ("--senders", "0"),
            "argument --senders: '0' is not a whole number from 1 to 100,000,000",
        ),
        (("--foreign-share", "1.5"), "argument --foreign-share: '1.5' is not a number from 0 to 1"),
        (
            ("--workspace", "Sales Team"),
            "argument --workspace: 'Sales Team' is not made of a–z, 0–9 and single hyphens",
        ),
        (
            ("--type", "loud"),
            "argument --type: 'loud' is none of group, dm, incognito, sidekick, public, bridge",
        ),
    ],
)
def test_fail_usage(words: tuple[str, ...], message: str) -> None:
    ended = console.scaiwave("manage", "seed_rooms", "--tenant", "acme", *words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[-1] == f"scaiwave manage seed_rooms: error: {message}"
