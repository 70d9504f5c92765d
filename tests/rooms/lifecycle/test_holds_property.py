"""Whatever holds, rooms and people: nothing held and nothing of another tenant is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.conf import settings as django_settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from hypothesis import HealthCheck, given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from rooms.errors import FileNotInRoom, RoomNotFound
from rooms.lifecycle.delete_room import delete_room
from rooms.lifecycle.remove_media import remove_media
from rooms.models import Event, Room, RoomMedia, RoomMember
from scaiwave.operations.prune import prune
from tenants.errors import OnHold
from tenants.holds.hold import add_hold
from tenants.models import Hold, Participant, Tenant
from tenants.people.purge_participant import purge_participant
from tests.scaiwave import row_factories
from tests.tenants.factories import EARLIER, HOST_OPERATOR, NOW, make_person, make_tenant
from tests.tools import count_examples

pytestmark = pytest.mark.django_db(transaction=True)
_numbers = count()
PEOPLE = ROOMS = range(3)

# A hold on a tenant, or on a person or a room of it: the tenant, the kind, and the number.
subjects = st.tuples(
    st.integers(0, 1), st.sampled_from(("tenant", "participant", "room")), st.integers(0, 2)
)
acts = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(("delete", "file", "purge")), st.integers(0, 2)),
    max_size=8,
)
writers = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=6)


class Place(NamedTuple):
    tenant: Tenant
    people: list[Participant]
    rooms: list[Room]


@property_settings(
    max_examples=count_examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(holds=st.lists(subjects, max_size=3), acts=acts, writers=writers)
def test_success_nothing_held_goes(
    media_root: Path, holds: list[Any], acts: list[Any], writers: list[Any]
) -> None:
    places = [make_place(writers) for _ in range(2)]
    for number, kind, which in holds:
        place = places[number]
        subject = {"tenant": place.tenant.slug}
        if kind != "tenant":
            rows: Any = place.people if kind == "participant" else place.rooms
            subject[kind] = str(rows[which].pk)
        add_hold(operator=HOST_OPERATOR, reason="case", now=NOW, **subject)
    touched = {number for number, *_ in acts}
    before = [list_kept(place, everything=number not in touched)
              for number, place in enumerate(places)]  # fmt: skip
    for number, act, which in acts:
        with suppress(OnHold, RoomNotFound, FileNotInRoom):
            do(places[number], act, which)
    prune(
        operator=HOST_OPERATOR,
        config=django_settings.CONFIG,
        confirm=lambda question: None,
        now=NOW + timedelta(days=9),
    )
    after = [list_kept(place, everything=number not in touched)
             for number, place in enumerate(places)]  # fmt: skip
    assert after == before
    Hold.objects.all().delete()


def make_place(writers: list[tuple[int, int]]) -> Place:
    number = next(_numbers)
    tenant = make_tenant(f"tenant{number}")
    people = [
        make_person(tenant, f"person{number}-{each}", absent_since=EARLIER) for each in PEOPLE
    ]
    owner = make_person(tenant, f"owner{number}")
    workspace = row_factories.make_workspace(tenant)
    rooms = []
    for each in ROOMS:
        room = row_factories.make_room(workspace, owner, f"Room {each}", state="archived")
        media = tenant.media.first() if each == 1 else row_factories.make_media(tenant, str(each))
        assert media is not None
        default_storage.save(media.storage_name, ContentFile(b"bytes"))
        RoomMedia.objects.create(
            tenant=tenant, room=room, media=media, name="file.png", created_at=NOW
        )
        rooms.append(room)
    for position, (person, room_number) in enumerate(writers, 1):
        row_factories.make_event(rooms[room_number], position, sender=people[person])
    RoomMember.objects.create(tenant=tenant, room=rooms[0], participant=people[0])
    return Place(tenant, people, rooms)


def do(place: Place, act: str, which: int) -> None:
    room: dict[str, Any] = {
        "tenant": place.tenant.slug,
        "reason": "over",
        "now": NOW,
        "operator": HOST_OPERATOR,
    }
    if act == "purge":
        purge_participant(
            operator=HOST_OPERATOR,
            name=str(place.people[which].pk),
            reason="",
            confirm=lambda question: None,
            now=NOW,
        )
    elif act == "delete":
        key = str(place.rooms[which].pk)
        delete_room(name=key, confirm=lambda effect, name: None, **room)
    else:
        key = str(place.rooms[which].pk)
        remove_media(room=key, file="file.png", confirm=lambda effect, name: None, **room)


def list_kept(place: Place, *, everything: bool) -> list[Any]:
    """Return the rows of a tenant that must not change, by other code than the rules."""
    holds = list(Hold.objects.filter(tenant=place.tenant, lifted_at=None))
    whole = everything or any(not hold.participant_id and not hold.room_id for hold in holds)
    rooms = {hold.room_id for hold in holds if hold.room_id}
    people = {hold.participant_id for hold in holds if hold.participant_id}
    return sorted(map(repr, _iter_kept(place, rooms, people, whole=whole)))


def _iter_kept(
    place: Place, rooms: set[Any], people: set[Any], *, whole: bool
) -> Iterator[tuple[Any, ...]]:
    events = list(Event.objects.filter(tenant=place.tenant))
    members = list(RoomMember.objects.filter(tenant=place.tenant))
    of_rooms = {event.sender_id for event in events if event.room_id in rooms}
    of_rooms |= {member.participant_id for member in members if member.room_id in rooms}
    for person in Participant.objects.filter(tenant=place.tenant):
        if whole or person.pk in people | of_rooms:
            yield ("person", person.pk, person.display_name, person.email)
    for event in events:
        if whole or event.room_id in rooms or event.sender_id in people:
            yield ("event", event.pk, event.content)
    for member in members:
        if whole or member.room_id in rooms:
            yield ("member", member.pk)
    for link in RoomMedia.objects.filter(tenant=place.tenant).select_related("media"):
        if whole or link.room_id in rooms:
            yield ("file", link.pk, default_storage.exists(link.media.storage_name))
