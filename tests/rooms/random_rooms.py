"""Rooms of every kind, as hypothesis makes them up, and how to put one into the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from hypothesis import strategies as st

from rooms.models import Event, Room, RoomMedia
from scaiwave.ids import new_id
from tenants.models import Participant
from tests.rooms.imports.factories import ImportTargetRows
from tests.scaiwave import row_factories

SENDERS = ("human", "model", "federated", "bridge")

texts = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
) | st.sampled_from(
    ['"\\', "line\nbreak", "\u2028", "👩‍👩‍👧‍👦", "\U0010ffff", "</script>", "\x1f\x7f"]
)
doubles = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | doubles | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
extras = st.dictionaries(texts, values, max_size=3)
moments = st.integers(0, 4_102_444_800_000_000).map(
    lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)
avatars = st.sampled_from(("", "https://a.example/1.png"))
imported_senders: st.SearchStrategy[dict[str, str]] = st.fixed_dictionaries(
    {"display_name": texts, "avatar_url": avatars, "fqid": texts}
) | st.just({})
# A position in the room, whose length is not known yet; an event may refer to later ones.
places = st.integers(0, 99)

TYPES = (
    "swp.room.message", "swp.room.message", "swp.room.reaction", "swp.room.redaction",
    "swp.room.member", "swp.room.name", "swp.room.read_marker", "swp.sidekick.note",
    "swp.sidekickish", "swp.call.ended",
)  # fmt: skip


@st.composite
def drawn_events(draw: st.DrawFn) -> dict[str, Any]:
    """One event as its fields, with places where references belong."""
    event_type = draw(st.sampled_from(TYPES) | texts.filter(bool))
    content = draw(extras)
    original = draw(st.none() | extras)
    if event_type == "swp.room.message":
        content |= {"msgtype": draw(st.sampled_from(["swp.text", "swp.media", "x"])), "body": "…"}
    if draw(st.integers(0, 3)) == 0:
        content["_imported_sender"] = draw(imported_senders)
    return {
        "event_type": event_type,
        "content": content,
        "original_content": original,
        "target": draw(places if event_type in _NEEDS_TARGET else st.none() | places),
        "files": draw(st.lists(places, max_size=2)),
        "sender": draw(places),
        "origin_ts": draw(st.integers(0, 20)),
        "event_uuid": draw(st.none() | st.uuids()),
        "created_at": draw(moments),
        "edited_at": draw(st.none() | moments),
        "redacted_at": draw(st.none() | moments),
        "do_not_index": draw(st.booleans()),
    }


_NEEDS_TARGET = {"swp.room.reaction", "swp.room.redaction"}
_REFERENCE = dict.fromkeys(_NEEDS_TARGET, "event_id") | {"swp.room.message": "reply_to_event_id"}


@dataclass(frozen=True)
class Drawn:
    room: dict[str, Any]
    events: list[dict[str, Any]]
    files: list[dict[str, Any]]
    window: tuple[int, int] | None


files = st.fixed_dictionaries(
    {
        "data": st.binary(max_size=40),
        "names": st.lists(texts, min_size=1, max_size=3, unique=True),
        "status": st.sampled_from(["pending", "clean", "clean", "infected"]),
        "is_there": st.sampled_from([True, True, True, False]),
        "mime_type": texts,
    }
)
rooms = st.builds(
    Drawn,
    room=st.fixed_dictionaries(
        {
            "name": texts,
            "topic": texts,
            "room_type": st.sampled_from(["group", "public", "dm"]),
            "state": st.sampled_from(["open", "archived", "closed"]),
            "is_public": st.booleans(),
            "room_alias": texts,
            "visibility": texts,
            "read_role_slugs": st.lists(texts, max_size=2),
            "created_at": moments,
        }
    ),
    events=st.lists(drawn_events(), max_size=8),
    files=st.lists(files, max_size=3, unique_by=lambda file: file["data"]),
    window=st.none() | st.tuples(st.integers(0, 10), st.integers(11, 20)),
)


def create_room(drawn: Drawn, home: ImportTargetRows) -> Room:
    """The room in the database, its files in the store."""
    people = [_person(home, kind) for kind in SENDERS]
    room = row_factories.make_room(home.workspace, home.anna, **drawn.room)
    media = [_media(room, file) for file in drawn.files]
    ids = [new_id() for _ in drawn.events]
    for position, (key, given) in enumerate(zip(ids, drawn.events, strict=True), 1):
        fields = {**given}
        reference = _REFERENCE.get(given["event_type"])
        target, shown = fields.pop("target"), fields.pop("files")
        for content in filter(None, (fields["content"], fields["original_content"])):
            if reference and target is not None:
                content[reference] = str(ids[target % len(ids)])
            if media:
                keys = ("media_id", "thumbnail_id")
                content |= {
                    name: media[place % len(media)]
                    for name, place in zip(keys, shown, strict=False)
                }
        sender = people[fields.pop("sender") % len(people)]
        Event.objects.create(
            id=key,
            tenant=home.tenant,
            room=room,
            sender=sender,
            stream_position=position * 3,
            **fields,
        )
    return room


def _person(home: ImportTargetRows, kind: str) -> Participant:
    server = "far.example" if kind == "federated" else ""
    given = {
        "participant_type": kind,
        "server_name": server,
        "avatar_url": f"https://x.example/{kind}",
    }
    return row_factories.make_participant(home.tenant, f'"{kind}" \\ 東', **given)


def _media(room: Room, file: dict[str, Any]) -> str:
    digest = sha256(file["data"]).hexdigest()
    media = row_factories.make_media(
        room.tenant,
        sha256=digest,
        size=len(file["data"]),
        mime_type=file["mime_type"],
        scan_status=file["status"],
    )
    for name in file["names"]:
        RoomMedia.objects.create(
            tenant=room.tenant, room=room, media=media, name=name, created_at=row_factories.NOW
        )
    if file["is_there"] and file["status"] != "infected":
        default_storage.save(media.storage_name, ContentFile(file["data"]))
    return str(media.pk)
