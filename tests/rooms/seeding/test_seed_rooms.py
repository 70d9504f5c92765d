from __future__ import annotations

import json
import os
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

from rooms.bundle.format import EXPORTABLE_ROOM_TYPES, IMPORTED_SENDER, REFERENCES, is_stripped
from rooms.models import Event, Media, Room, RoomMedia, RoomMember, RoomType, WorkspaceMember
from rooms.seeding import seed_rooms as seeding
from rooms.seeding.media import GeneratedFile
from rooms.seeding.seed_rooms import SeedOptions, seed_rooms
from scaiwave.core.errors import InsufficientPermission
from scaiwave.core.operators import Operator, OperatorRole, get_host_operator
from scaiwave.core.report import Report
from tenants.models import AuditEntry, Participant, Tenant
from tests.scaiwave import cli_helpers

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media_root")]
NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
EVENTS = 1500


def seed_tenant(tenant: str = "acme", **options: Any) -> Report:
    return seed_rooms(
        operator=get_host_operator(),
        tenant=tenant,
        workspace="talks",
        options=SeedOptions(**{"events": EVENTS, "media": 30, "media_bytes": 50, **options}),
        now=NOW,
    )


def list_events(seeded: Report, number: int = 0) -> Iterator[Event]:
    room = seeded.figures["rooms"][number]["id"]
    return Event.objects.filter(room=room).order_by("stream_position").iterator()


def test_success_every_kind_of_event() -> None:
    seeded = seed_tenant()
    events = list(list_events(seeded))
    assert len(events) == EVENTS
    types = {event.event_type for event in events}
    assert {
        "swp.room.message", "swp.room.reaction", "swp.room.redaction", "swp.room.member",
        "swp.room.name", "swp.room.topic", "swp.room.read_marker", "swp.sidekick.suggestion",
        "swp.call.ended", "org.example.x-未知",
    } <= types  # fmt: skip
    contents = [event.content for event in events]
    assert {"swp.text", "swp.code", "swp.media"} <= {content.get("msgtype") for content in contents}
    for key in ("mentions", "reply_to_event_id", "thumbnail_id", IMPORTED_SENDER, "événement"):
        assert any(key in content for content in contents), key
    for field in ("edited_at", "redacted_at", "original_content", "event_uuid", "do_not_index"):
        assert any(getattr(event, field) for event in events), field
    text = " ".join(content.get("body", "") for content in contents)
    for part in ("ß", "ł", "я", "Ε", "ا", "ש", "न", "ส", "你", "東", "한", '"', "\\", "\n"):
        assert part in text, part
    assert "👩‍👩‍👧‍👦" in text
    assert "\U0010ffff" in text
    senders = Participant.objects.filter(pk__in={event.sender_id for event in events})
    kinds = set(senders.values_list("participant_type", flat=True))
    assert kinds == {"human", "federated", "bridge"}


def test_success_ids_and_times_go_up_with_the_position() -> None:
    events = list(list_events(seed_tenant()))
    assert [event.stream_position for event in events] == list(range(1, EVENTS + 1))
    for before, after in pairwise(events):
        assert before.pk < after.pk
        assert before.created_at < after.created_at
    for event in events:
        assert event.pk.version == 7
        assert event.origin_ts == int(event.created_at.timestamp())
        assert event.pk.int >> 80 == event.created_at.timestamp() * 1000 // 1
        assert NOW - timedelta(hours=4) < event.created_at < NOW
        assert event.edited_at is None or event.created_at < event.edited_at <= NOW


def test_success_references_are_to_earlier_events_and_attached_files() -> None:
    seeded = seed_tenant()
    files = RoomMedia.objects.filter(room=seeded.figures["rooms"][0]["id"])
    attached = set(map(str, files.values_list("media", flat=True)))
    earlier: dict[str, Event] = {}
    referred = 0
    for event in list_events(seeded):
        key, needed = REFERENCES.get(event.event_type, ("event_id", False))
        for content in (event.content, event.original_content or {}):
            if (target := content.get(key)) is not None:
                assert not is_stripped(earlier[target].event_type)
                referred += 1
            for name in ("media_id", "thumbnail_id"):
                assert name not in content or content[name] in attached
        assert not needed or key in event.content
        if event.event_type == "swp.room.redaction":
            assert earlier[event.content["event_id"]].redacted_at
        earlier[str(event.pk)] = event
    assert referred > EVENTS / 10


def test_success_same_seed_gives_the_same_events() -> None:
    first, again, other = (
        seed_tenant(rooms=2),
        seed_tenant("beta", rooms=2),
        seed_tenant("gamma", seed=2),
    )
    assert [normalize_events(first, 0), normalize_events(first, 1)] == [
        normalize_events(again, 0),
        normalize_events(again, 1),
    ]
    assert normalize_events(first, 0) != normalize_events(first, 1)
    assert normalize_events(first, 0) != normalize_events(other, 0)


def normalize_events(seeded: Report, number: int) -> list[Any]:
    """Return the events without ids and times, in which rooms of one seed differ."""
    tenant = Tenant.objects.get(slug=seeded.figures["tenant"])
    people = Participant.objects.filter(tenant=tenant).order_by("pk")
    media = RoomMedia.objects.filter(room=seeded.figures["rooms"][number]["id"]).order_by("pk")
    labels = {str(person.pk): f"person {index}" for index, person in enumerate(people)}
    labels |= {str(file.media_id): f"file {index}" for index, file in enumerate(media)}
    normalized = []
    for index, event in enumerate(list_events(seeded, number)):
        labels[str(event.pk)] = f"event {index}"
        text = json.dumps([event.event_type, event.content, event.original_content])
        for key, label in labels.items():
            if key in text:
                text = text.replace(key, label)
        normalized.append((text, labels[str(event.sender_id)], event.do_not_index))
    return normalized


def test_success_equal_files_are_stored_once(media_root: Path) -> None:
    seed_tenant()
    media = Media.objects.all()
    assert RoomMedia.objects.count() == 30
    assert media.count() == 27  # every tenth file has the bytes of the one before
    infected = media.get(scan_status="infected")
    assert not default_storage.exists(infected.storage_name)
    for clean in media.exclude(pk=infected.pk):
        with default_storage.open(clean.storage_name) as file:
            content = file.read()
        assert (len(content), sha256(content).hexdigest()) == (50, clean.sha256)
    seed_tenant()
    assert RoomMedia.objects.count() == 60
    assert media.count() == 27
    assert not list((media_root / "incoming").iterdir())


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 1024 * 1024, 2_500_000])
def test_success_generated_bytes(size: int) -> None:
    content = GeneratedFile(label="a", size=size)
    joined = content.read()
    assert len(joined) == size
    assert sha256(joined).hexdigest() == content.sha256()
    assert size == 0 or joined != GeneratedFile(label="b", size=size).read()


def test_success_generated_bytes_from_any_position() -> None:
    """A bucket's client reads a part again if its upload failed."""
    content = GeneratedFile(label="a", size=2_500_000)
    joined = content.read()
    for position in (0, 1, 31, 40, 1024 * 1024 - 1, 1024 * 1024, 2_499_999, 2_500_000, 3_000_000):
        assert content.seek(position) == position
        assert content.read() == joined[position:]
    assert content.seek(-1, os.SEEK_END) == 2_499_999
    content.seek(1, os.SEEK_CUR)
    assert content.read() == b""


def test_success_second_run_adds() -> None:
    first = seed_tenant(rooms=2, events=20, media=0)
    second = seed_tenant(rooms=2, events=20, media=0)
    assert (Room.objects.count(), Event.objects.count()) == (4, 80)
    assert first.figures["owner_id"] == second.figures["owner_id"]
    assert Participant.objects.count() == 12
    owner = WorkspaceMember.objects.get()
    assert owner.participant_id == first.figures["owner_id"]
    assert (owner.role, owner.workspace.slug) == ("owner", "talks")
    entries = AuditEntry.objects.order_by("pk").values_list("action", "subject_name", "details")
    details = {"rooms": 2, "events": 20, "media": 0}
    assert list(entries)[1:] == [("manage seed_rooms", "talks", details)] * 2


@pytest.mark.parametrize("room_type", RoomType.values)
def test_success_room_types(room_type: str) -> None:
    seeded = seed_tenant(room_type=room_type, events=50, media=0, rooms=2)
    room = Room.objects.get(pk=seeded.figures["rooms"][1]["id"])
    assert room.room_type == room_type
    assert (room.scope_kind == "incognito") is (room_type == "incognito")
    assert bool(room.room_alias) is (room_type == "public")
    members = RoomMember.objects.filter(room=room)
    assert members.count() == (2 if room_type == "dm" else 12)
    creator = members.get(participant=room.creator)
    assert (creator.membership, creator.power_level) == ("join", 100)
    assert room_type not in EXPORTABLE_ROOM_TYPES or not room.is_federated


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_success_small_rooms(count: int) -> None:
    seeded = seed_tenant(events=count, senders=1, foreign_share=1, media=1)
    assert len(list(list_events(seeded))) == count
    assert Participant.objects.get(pk=seeded.figures["owner_id"]).participant_type == "human"


def test_success_a_room_is_created_completely_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second room fails after its rows were written; the first is kept."""
    write = seeding._write_events
    written = []

    def fail_second(rows: Any) -> None:
        write(rows)
        written.append(Event.objects.count())
        if len(written) == 2:
            raise OSError("made to fail")

    monkeypatch.setattr(seeding, "_write_events", fail_second)
    with pytest.raises(OSError, match="made to fail"):
        seed_tenant(rooms=2, events=10, media=0)
    assert written == [10, 20]
    assert (Room.objects.count(), Event.objects.count()) == (1, 10)


def test_fail_not_the_platforms_operator() -> None:
    with pytest.raises(InsufficientPermission):
        seed_rooms(
            operator=Operator("anna", OperatorRole.TENANT_ADMIN),
            tenant="acme",
            workspace="talks",
            options=SeedOptions(),
            now=NOW,
        )


def test_success_command(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("seed_rooms", tenant="acme", events=20, media=2, json=True, stdout=StringIO())
    document = json.loads(capsys.readouterr().out)
    [room] = document.pop("rooms")
    assert Event.objects.filter(room=room["id"]).count() == room["events"] == 20
    assert (document["tenant"], document["workspace"]) == ("acme", "seeded")
    call_command("seed_rooms", tenant="acme", events=20)
    table, message = capsys.readouterr()
    assert table.startswith("ID ")
    assert message == "Added to workspace seeded of tenant acme, owned by Anna Berg.\n"


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
            "argument --workspace: 'Sales Team' may contain only a–z, 0–9 and single hyphens",
        ),
        (
            ("--type", "loud"),
            "argument --type: 'loud' is not one of group, dm, incognito, sidekick, public, bridge",
        ),
    ],
)
def test_fail_usage(words: tuple[str, ...], message: str) -> None:
    ended = cli_helpers.run_scaiwave("manage", "seed_rooms", "--tenant", "acme", *words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.splitlines()[-1] == f"scaiwave manage seed_rooms: error: {message}"
