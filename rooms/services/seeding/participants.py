"""Who speaks in made-up rooms: people of our own, people of other servers, and a bridge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from rooms.models import (
    Membership,
    Room,
    RoomMember,
    RoomType,
    Workspace,
    WorkspaceMember,
    WorkspaceRole,
)
from rooms.services.seeding.text import NAMES
from scaiwave.auth.operators import Operator
from tenants.errors import TenantNotFound
from tenants.models import Participant, ParticipantType, Tenant
from tenants.queries.resolve import resolve_tenant
from tenants.services.create_tenant import create_tenant

_OTHERS = {Membership.LEAVE: 11, Membership.BAN: 13, Membership.INVITE: 17}


@dataclass(frozen=True)
class SeededParticipants:
    """The first sender is always one of our own and owns the workspace."""

    workspace: Workspace
    senders: list[Participant]

    @property
    def owner(self) -> Participant:
        return self.senders[0]


def ensure_tenant(operator: Operator, slug: str, now: datetime) -> Tenant:
    """The tenant of this slug, made locally if there is none."""
    try:
        return resolve_tenant(operator, slug)
    except TenantNotFound:
        create_tenant(
            operator=operator,
            slug=slug,
            name=slug,
            scaikey_tenant_id=None,
            partner=None,
            lookup=None,
            now=now,
        )
        return resolve_tenant(operator, slug)


def ensure_participants(
    tenant: Tenant, *, workspace: str, senders: int, foreign_share: float, now: datetime
) -> SeededParticipants:
    """The workspace of this slug and its people, made as far as they are not there yet."""
    times = {"created_at": now, "updated_at": now}
    place, _ = Workspace.objects.get_or_create(
        tenant=tenant, slug=workspace, defaults={"name": workspace, **times}
    )
    wanted = list(_people(tenant, senders, round(senders * foreign_share), now))
    Participant.objects.bulk_create(wanted, ignore_conflicts=True, batch_size=500)
    seeded = Participant.objects.filter(tenant=tenant, local_id__endswith=_mark(tenant))
    there = {(person.local_id, person.server_name): person for person in seeded}
    cast = SeededParticipants(
        place, [there[person.local_id, person.server_name] for person in wanted]
    )
    WorkspaceMember.objects.get_or_create(
        tenant=tenant,
        workspace=place,
        participant=cast.owner,
        defaults={"role": WorkspaceRole.OWNER, "created_at": now},
    )
    return cast


def _mark(tenant: Tenant) -> str:
    """Names are unique on the whole server, and a tenant's slug may be another's one day."""
    return f".{tenant.pk.hex[-12:]}"


def _people(tenant: Tenant, senders: int, foreign: int, now: datetime) -> Iterator[Participant]:
    for number in range(senders):
        kind, server, local_id = ParticipantType.HUMAN, "", f"seed{number}{_mark(tenant)}"
        if number >= max(1, senders - foreign):
            if number % 4 == 3:
                kind, local_id = ParticipantType.BRIDGE, f"irc-{local_id}"
            else:
                kind, server = ParticipantType.FEDERATED, f"peer{number % 3}.example.org"
        name = NAMES[number % len(NAMES)]
        yield Participant(
            tenant=tenant,
            participant_type=kind,
            local_id=local_id,
            server_name=server,
            display_name=name if number < len(NAMES) else f"{name} {number}",
            email="" if server else f"{local_id}@example.org",
            avatar_url=f"https://example.org/avatars/{number}.png" if number % 2 else "",
            created_at=now,
            updated_at=now,
        )


def add_members(room: Room, people: list[Participant], now: datetime) -> None:
    """Everybody is or was in the room; who made it has power 100."""
    RoomMember.objects.bulk_create(
        (
            RoomMember(
                tenant=room.tenant,
                room=room,
                participant=person,
                membership=_membership(number, room),
                power_level=100 if number == 0 else 50 if number % 9 == 8 else 0,
                joined_at=now - timedelta(minutes=number),
                notification_mode="" if number % 4 else "mentions",
            )
            for number, person in enumerate(people)
        ),
        batch_size=500,
    )


def _membership(number: int, room: Room) -> Membership:
    if number and room.room_type != RoomType.DM:
        for membership, every in _OTHERS.items():
            if number % every == every - 1:
                return membership
    return Membership.JOIN
