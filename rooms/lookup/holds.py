"""Which rooms and events a hold covers, by themselves or through their contents."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from django.db.models import Q, QuerySet

from rooms.lookup.authors import IMPORTED_FQID, find_people, imported_from_q, pair_fqids
from rooms.lookup.resolve import resolve_room
from rooms.models import Event, Media, Room, RoomImport, RoomMedia, RoomMember
from scaiwave.core.operators import Operator
from tenants.holds.queries import build_hold_error, covers_q, find_hold, holds_in_force
from tenants.models import Hold, Tenant


def held_events_q() -> Q:
    """Match events that a hold covers: on their tenant, on their room, or on who has sent them.

    An imported event is also of the person whom it names by their address. Build it again for each
    transaction, after `block_new_holds`.
    """
    query = covers_q(room="room", person="sender")
    if fqids := [fqid for fqid, _ in _list_held_people()]:
        query |= imported_from_q(fqids)
    return query


def contains_held(events: QuerySet[Event]) -> bool:
    """Whether a hold covers one of these events, without reading them if there are no holds."""
    return holds_in_force().exists() and events.filter(held_events_q()).exists()


def find_hold_on_room(room: Room) -> Hold | None:
    """Return a hold that keeps the room as a whole: on its tenant, on it, or on a participant who
    belongs to it or has written in it."""
    if hold := find_hold(room.tenant_id, room_id=room.pk):
        return hold
    people = dict(_list_held_people())
    if not people:
        return None
    holds = people.values()
    keys = [hold.participant_id for hold in holds]
    members = RoomMember.objects.filter(room=room, participant__in=keys)
    events = Event.objects.filter(room=room)
    found = (
        members.values_list("participant", flat=True).first()
        or events.filter(sender__in=keys).values_list("sender", flat=True).order_by().first()
    )
    if found:
        return next(hold for hold in holds if hold.participant_id == found)
    imported = events.filter(imported_from_q(people)).order_by()
    fqid = imported.values_list(IMPORTED_FQID, flat=True).first()
    return people.get(fqid) if fqid else None


def require_room_not_held(room: Room, effect: str) -> None:
    """Raises `OnHold`. `effect` is the refused act, such as "delete room Lobby"."""
    if hold := find_hold_on_room(room):
        raise build_hold_error(hold, effect)


def is_file_held(media: Media) -> bool:
    """Whether a room on hold has the file, under any name."""
    return RoomMedia.objects.filter(covers_q(room="room"), media=media).exists()


def held_rooms() -> QuerySet[Room]:
    """Return the rooms that are on hold themselves, or with their tenant."""
    return Room.all_objects.filter(covers_q(room="pk"))


def people_of_held_rooms() -> Q:
    """Match participants who belong to a room on hold, or have written in one."""
    rooms = held_rooms().values("pk")
    events = Event.objects.filter(room__in=rooms).order_by()
    imported = events.filter(room__in=RoomImport.objects.values("room"))
    named = set(map(str, imported.values_list(IMPORTED_FQID, flat=True).distinct()))
    return (
        Q(pk__in=RoomMember.objects.filter(room__in=rooms).values("participant"))
        | Q(pk__in=events.values("sender"))
        | Q(pk__in=find_people(named))
    )


def load_room_names(room_ids: Collection[UUID]) -> Mapping[UUID, str]:
    return {room.pk: str(room) for room in Room.all_objects.filter(pk__in=room_ids)}


def find_room_id(operator: Operator, name: str, tenant: Tenant) -> UUID:
    return resolve_room(operator, name, tenant=tenant, with_deleted=True).pk


def _list_held_people() -> list[tuple[str, Hold]]:
    """Return the addresses of participants on hold."""
    holds = holds_in_force().filter(participant__isnull=False).select_related("participant")
    by_person = {hold.participant: hold for hold in holds if hold.participant}
    return [(fqid, by_person[person]) for fqid, person in pair_fqids(by_person)]
