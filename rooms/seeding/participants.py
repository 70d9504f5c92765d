"""Create the senders of the sample data: people of this server, of other servers, and bridges."""

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
from rooms.seeding.text import NAMES
from scaiwave.core.operators import Operator
from tenants.errors import TenantNotFound
from tenants.lookup.resolve import resolve_tenant
from tenants.models import Participant, ParticipantType, Tenant
from tenants.people.create_tenant import create_tenant

# Every 11th member has left, and so on; all others have joined.
_MEMBERSHIP_INTERVALS = {Membership.LEAVE: 11, Membership.BAN: 13, Membership.INVITE: 17}


@dataclass(frozen=True)
class SeededParticipants:
    """The first sender is always of this server and owns the workspace."""

    workspace: Workspace
    senders: list[Participant]

    @property
    def owner(self) -> Participant:
        return self.senders[0]


def ensure_tenant(operator: Operator, slug: str, now: datetime) -> Tenant:
    """Return the tenant of this slug; create a local tenant if it does not exist."""
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
    """Return the workspace of this slug and its senders; create what does not exist."""
    times = {"created_at": now, "updated_at": now}
    seeded_workspace, _ = Workspace.objects.get_or_create(
        tenant=tenant, slug=workspace, defaults={"name": workspace, **times}
    )
    participants = list(_build_participants(tenant, senders, round(senders * foreign_share), now))
    Participant.objects.bulk_create(participants, ignore_conflicts=True, batch_size=500)
    saved = Participant.objects.filter(tenant=tenant, local_id__endswith=_local_id_suffix(tenant))
    by_name = {(person.local_id, person.server_name): person for person in saved}
    seeded = SeededParticipants(
        seeded_workspace,
        [by_name[person.local_id, person.server_name] for person in participants],
    )
    WorkspaceMember.objects.get_or_create(
        tenant=tenant,
        workspace=seeded_workspace,
        participant=seeded.owner,
        defaults={"role": WorkspaceRole.OWNER, "created_at": now},
    )
    return seeded


def _local_id_suffix(tenant: Tenant) -> str:
    """Use the id: local ids are unique on the server, and slugs can pass to another tenant."""
    return f".{tenant.pk.hex[-12:]}"


def _build_participants(
    tenant: Tenant, senders: int, foreign: int, now: datetime
) -> Iterator[Participant]:
    for number in range(senders):
        participant_type, server_name = ParticipantType.HUMAN, ""
        local_id = f"seed{number}{_local_id_suffix(tenant)}"
        if number >= max(1, senders - foreign):
            if number % 4 == 3:
                participant_type, local_id = ParticipantType.BRIDGE, f"irc-{local_id}"
            else:
                participant_type = ParticipantType.FEDERATED
                server_name = f"peer{number % 3}.example.org"
        name = NAMES[number % len(NAMES)]
        yield Participant(
            tenant=tenant,
            participant_type=participant_type,
            local_id=local_id,
            server_name=server_name,
            display_name=name if number < len(NAMES) else f"{name} {number}",
            email="" if server_name else f"{local_id}@example.org",
            avatar_url=f"https://example.org/avatars/{number}.png" if number % 2 else "",
            created_at=now,
            updated_at=now,
        )


def add_members(room: Room, participants: list[Participant], now: datetime) -> None:
    """Make everyone a member, in varying memberships; the creator has power level 100."""
    RoomMember.objects.bulk_create(
        (
            RoomMember(
                tenant=room.tenant,
                room=room,
                participant=participant,
                membership=_choose_membership(number, room),
                power_level=100 if number == 0 else 50 if number % 9 == 8 else 0,
                joined_at=now - timedelta(minutes=number),
                notification_mode="" if number % 4 else "mentions",
            )
            for number, participant in enumerate(participants)
        ),
        batch_size=500,
    )


def _choose_membership(number: int, room: Room) -> Membership:
    if number and room.room_type != RoomType.DM:
        for membership, interval in _MEMBERSHIP_INTERVALS.items():
            if number % interval == interval - 1:
                return membership
    return Membership.JOIN
