"""Which rows a hold covers, and the list of holds.

A hold on a tenant covers its rooms and people. A hold on a participant covers their row, and their
messages in every room. A hold on a room covers its events, media and members, and the rows of
everyone who is a member or has written there.

Whatever deletes or erases rows calls `block_new_holds` in its transaction, and then leaves out the
rows of `covers_q`, or of `rooms.lookup.holds` for events and rooms.
"""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from scaiwave.core.errors import UsageError
from scaiwave.core.locks import lock_in_transaction
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.paging import Page, one_more
from scaiwave.core.sql import batched
from scaiwave.extensions import PEOPLE_OF_HELD_ROOMS, ROOM_FINDER, ROOM_NAMES
from tenants.errors import OnHold, ParticipantOnHold, RoomOnHold, TenantOnHold
from tenants.lookup.resolve import look_up_participants_in, parse_uuid, resolve_tenant
from tenants.lookup.serializers import Row, get_server_name
from tenants.lookup.visibility import visible_tenants
from tenants.models import Hold, Participant, Tenant

LOCK = "holds"
BATCH_SIZE = 500


def block_new_holds() -> None:
    """Until the transaction of the caller ends, no hold is placed: rows without one stay so.

    Transactions that delete don't wait for each other.
    """
    lock_in_transaction(LOCK, is_shared=True)


def holds_in_force() -> QuerySet[Hold]:
    return Hold.objects.filter(lifted_at=None)


def covers_q(*, tenant: str = "tenant", room: str = "", person: str = "") -> Q:
    """Match rows that a hold covers; the arguments name the columns of the row.

    For example `covers_q(room="room", person="sender")` for events.
    """
    holds = holds_in_force()
    whole = holds.filter(participant=None, room_id=None)
    query = Q((f"{tenant}__in", whole.values("tenant")))
    if room:
        query |= Q((f"{room}__in", holds.filter(room_id__isnull=False).values("room_id")))
    if person:
        held = holds.filter(participant__isnull=False)
        query |= Q((f"{person}__in", held.values("participant")))
    return query


def held_people_q() -> Q:
    """Match participants whose rows a hold covers."""
    return covers_q(person="pk") | PEOPLE_OF_HELD_ROOMS.load()()


def find_hold(
    tenant_id: UUID, *, room_id: UUID | None = None, person_id: UUID | None = None
) -> Hold | None:
    """Return the oldest hold in force on this tenant, room or participant itself."""
    subjects = Q(participant=None, room_id=None)
    if room_id is not None:
        subjects |= Q(room_id=room_id)
    if person_id is not None:
        subjects |= Q(participant=person_id)
    return holds_in_force().filter(subjects, tenant=tenant_id).order_by("pk").first()


def require_person_not_held(person: Participant, effect: str) -> None:
    """Raises `OnHold`. `effect` is the refused act, such as "purge Anna"."""
    if hold := find_hold(person.tenant_id, person_id=person.pk):
        raise build_hold_error(hold, effect)
    if Participant.objects.filter(held_people_q(), pk=person.pk).exists():
        raise RoomOnHold(
            f"Can't {effect}: a room that they belong to or have written in is on hold.",
            fix="`scaiwave admin hold list` shows all holds. Lift the one on the room first.",
        )


def require_tenant_not_held(tenant: Tenant, effect: str) -> None:
    """Raises `OnHold` for a hold on the tenant, or on any of its people or rooms."""
    if hold := holds_in_force().filter(tenant=tenant).order_by("pk").first():
        raise build_hold_error(hold, effect)


def build_hold_error(hold: Hold, effect: str) -> OnHold:
    of_person = ParticipantOnHold if hold.participant_id else TenantOnHold
    kind: type[OnHold] = RoomOnHold if hold.room_id else of_person
    return kind(
        f"Can't {effect}: hold {hold.pk} is on {describe_hold(hold)}.",
        fix="If it has ended, lift it: `scaiwave admin hold lift "
        f"{quote(str(hold.pk))} --reason <text>`.",
        hold=str(hold.pk),
    )


def list_holds(
    *,
    operator: Operator,
    tenant: str | None = None,
    participant: str | None = None,
    room: str | None = None,
    with_lifted: bool = False,
    after: UUID | None = None,
    limit: int | None = None,
) -> Page:
    """Return holds, the newest first, continuing after the one with that ID.

    Only holds on the very tenant, participant or room that is named; a tenant also has those on
    its people and rooms. Raises TenantNotFound, ParticipantNotFound,
    RoomNotFound, AmbiguousName and UsageError.
    """
    operator.require(Permission.VIEW)
    holds = Hold.objects.all() if with_lifted else holds_in_force()
    if not operator.sees_everything:
        holds = holds.filter(tenant__in=visible_tenants(operator))
    if tenant is not None:
        holds = holds.filter(tenant=resolve_tenant(operator, tenant))
    if participant is not None:
        person = look_up_participants_in(operator, tenant).find(participant)
        holds = holds.filter(participant=person)
    if room is not None:
        holds = holds.filter(room_id=_find_room_id(operator, room, tenant))
    newest = holds if after is None else holds.filter(pk__lt=after)
    newest = newest.select_related("tenant", "participant").order_by("-pk")[: one_more(limit)]
    batches = batched(newest.iterator(chunk_size=BATCH_SIZE), BATCH_SIZE)
    rows = (row for batch in batches for row in build_rows(batch))
    return Page(rows, limit, count=holds.count)


def _find_room_id(operator: Operator, room: str, tenant: str | None) -> UUID:
    """A room may be gone, so that only its ID is known. Raises UsageError and RoomNotFound."""
    if (room_id := parse_uuid(room)) is not None:
        return room_id
    if tenant is None:
        raise UsageError("The alias of a room needs its tenant.", fix="Add --tenant <slug>.")
    return ROOM_FINDER.load()(operator, room, resolve_tenant(operator, tenant))


def build_rows(holds: Iterable[Hold]) -> list[Row]:
    holds = list(holds)
    names: Any = ROOM_NAMES.load()([hold.room_id for hold in holds if hold.room_id])
    return [
        {
            "id": hold.pk,
            "tenant": hold.tenant.slug,
            "tenant_id": hold.tenant_id,
            "participant": hold.participant and hold.participant.fqid(get_server_name()),
            "participant_id": hold.participant_id,
            "room": names.get(hold.room_id),
            "room_id": hold.room_id,
            "reason": hold.reason,
            "placed_by": hold.placed_by,
            "placed_at": hold.placed_at,
            "lift_reason": hold.lift_reason or None,
            "lifted_by": hold.lifted_by or None,
            "lifted_at": hold.lifted_at,
        }
        for hold in holds
    ]


def describe_hold(hold: Hold) -> str:
    """Return what the hold is on, as `room Launch of acme`."""
    (row,) = build_rows([hold])
    if row["room_id"]:
        return f"room {row['room'] or row['room_id']} of {row['tenant']}"
    return row["participant"] or f"tenant {row['tenant']}"
