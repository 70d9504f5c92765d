"""A bundle has what is declared as carried, and nothing else of the room's rows."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db.models import (
    BigIntegerField,
    BooleanField,
    DateTimeField,
    Field,
    JSONField,
    Model,
    PositiveSmallIntegerField,
    UUIDField,
)

from rooms.models import (
    Event,
    Media,
    Room,
    RoomMedia,
    RoomMember,
    Workspace,
    WorkspaceMember,
)
from tests.field_origins import Origin, get_fields, get_names
from tests.rooms.imports.factories import ImportTargetRows, make_home
from tests.rooms.random_rooms import Drawn, create_room
from tests.rooms.round_trip import read_bundle
from tests.rooms.test_round_trip import export_bytes
from tests.scaiwave import row_factories

pytestmark = pytest.mark.django_db(transaction=True)
MOMENT = datetime(2020, 2, 2, tzinfo=UTC)
OTHER_UUID = UUID("0190b0c0-0000-4000-8000-00000000beef")
MODELS = (Workspace, WorkspaceMember, Room, RoomMember, Event, Media, RoomMedia)
OWNERS = {"tenant", "room", "workspace", "participant"}
"""What a row belongs to: with another, it would not be a row of this room."""
IDS = {"id", "media"}
REFUSED = {"is_federated", "scope_kind"}
"""In the bundle so that an import can refuse them; a room with another value is not exported."""
HIDING = {"deleted_at"}
"""A room with another value is not found."""
CHOICES = {
    "room_type": "public",
    "state": "archived",
    "scan_status": "clean",
    "role": "viewer",
    "membership": "leave",
    "sha256": "0" * 64,
}


@pytest.fixture
def home(media_root: Path) -> ImportTargetRows:
    return make_home()


@pytest.fixture
def room(home: ImportTargetRows) -> Room:
    """A room of which every field has a value; its first event is edited and redacted."""
    moment = row_factories.NOW
    file = {"data": b"abc", "names": ["a.png"], "status": "pending", "is_there": True}
    event = {
        "event_type": "swp.room.message", "content": {"body": "a"}, "target": None, "files": [0],
        "original_content": {"body": "before"}, "sender": 0, "origin_ts": 1_700_000_000,
        "event_uuid": UUID(int=7), "created_at": moment, "edited_at": moment,
        "redacted_at": moment, "do_not_index": True,
    }  # fmt: skip
    described = {"name": "Lobby", "topic": "All", "room_alias": "lobby", "visibility": "listed"}
    events = [copy.deepcopy(event)]
    room = create_room(Drawn(described, events, [{**file, "mime_type": "image/png"}], None), home)
    RoomMember.objects.create(
        tenant=home.tenant, room=room, participant=home.anna, joined_at=moment
    )
    return room


def read_manifest(home: ImportTargetRows, room: Room) -> dict[str, Any]:
    manifest = read_bundle(export_bytes(home, str(room.pk))).manifest
    assert manifest.pop("exported_at")
    return manifest


def get_row(model: type[Model], room: Room) -> Model:
    """Return the only row of the model, or that of the room's workspace."""
    if model is Workspace:
        return room.workspace
    return model._default_manager.get()


def make_other_value(field: Field[Any, Any], value: Any, home: ImportTargetRows) -> Any:
    if field.name in {"creator", "sender"}:
        return row_factories.make_participant(home.tenant, "Bert").pk
    match field:
        case _ if field.name in CHOICES:
            other: Any = CHOICES[field.name]
        case DateTimeField():
            other = MOMENT
        case BooleanField():
            other = not value
        case BigIntegerField() | PositiveSmallIntegerField():
            other = value + 7
        case JSONField():
            other = ["other"] if isinstance(value, list) else {"body": "other"}
        case UUIDField():
            other = OTHER_UUID
        case _:
            other = f"{value}x"
    return other


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_success_only_carried_fields_change_the_manifest(
    model: type[Model], home: ImportTargetRows, room: Room
) -> None:
    row = get_row(model, room)
    carried = set(get_names(model, Origin.CARRIED)) - IDS - REFUSED - OWNERS
    before = read_manifest(home, room)
    seen = set()
    for name, field in get_fields(model).items():
        if name in IDS | REFUSED | HIDING | OWNERS:
            continue
        column = field.attname
        value = getattr(row, column)
        other = make_other_value(field, value, home)
        assert other != value
        rows = type(row)._default_manager.filter(pk=row.pk)
        rows.update(**{column: other})
        if not is_equal(read_manifest(home, room), before):
            seen.add(name)
        rows.update(**{column: value})
    assert seen == carried
    assert is_equal(read_manifest(home, room), before)


def is_equal(one: Any, other: Any) -> bool:
    return json.dumps(one, default=str) == json.dumps(other, default=str)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_success_ids_that_are_carried_are_in_the_manifest(
    model: type[Model], home: ImportTargetRows, room: Room
) -> None:
    row = get_row(model, room)
    fields = get_fields(model)
    text = json.dumps(read_manifest(home, room), default=str)
    for name in sorted((IDS | OWNERS) & fields.keys()):
        is_carried = name in get_names(model, Origin.CARRIED)
        value = str(getattr(row, fields[name].attname))
        if is_carried or name == "id":
            assert (value in text) is is_carried, name


def test_success_what_is_never_exported_is_in_the_manifest(
    home: ImportTargetRows, room: Room
) -> None:
    assert read_manifest(home, room)["room"].keys() >= REFUSED
