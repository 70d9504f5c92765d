"""Fill an empty database as if a large platform had been running on it.

A process of its own: `python -m scripts.benchmarks.large_server --tenants 10000 …`, with the
environment of the server to fill. The first tenant, `large`, has a third of the people and all
rooms; the others share the rest. The same numbers always give the same rows, apart from IDs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from scripts.benchmarks.databases import TOP

LARGE_TENANT = "large"
NOW = min(datetime(2026, 11, 1, 12, tzinfo=UTC), datetime.now(UTC))
BATCH_SIZE = 5000
ACTIONS = ("create-tenant", "suspend-tenant", "grant-role", "export-room", "create-key")
OPERATORS = 40
MAX_TENANTS_OF_PARTNER = 100
PEOPLE_OF_GROUP = 20
PEOPLE_OF_ROOM = 3
ROOMS_WITH_EVENTS = 10
"""One room in so many has events."""


@dataclass(frozen=True)
class ServerSize:
    """Numbers of rows. Groups and members follow from them."""

    tenants: int = 10_000
    people: int = 300_000
    rooms: int = 100_000
    audit_entries: int = 1_000_000

    def scale(self, divisor: int) -> ServerSize:
        return ServerSize(*(max(1, count // divisor) for count in asdict(self).values()))


def fill_server(environment: dict[str, str], size: ServerSize) -> None:
    """Fill the database of `environment`. Raises CalledProcessError."""
    words = [f"--{name.replace('_', '-')}={count}" for name, count in asdict(size).items()]
    subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks.large_server", *words],
        cwd=TOP,
        env={
            **environment,
            "DJANGO_SETTINGS_MODULE": "scaiwave.settings",
            "SCAIWAVE_PROFILE": "full",
        },
        check=True,
        stdin=subprocess.DEVNULL,
    )


def _fill(size: ServerSize) -> None:
    from django.db import connection, transaction

    with transaction.atomic():
        tenant_ids = _fill_tenants(size.tenants)
        people = _fill_people(tenant_ids, size.people)
        _fill_groups(people)
        _fill_rooms(people[tenant_ids[0]], tenant_ids[0], size.rooms)
        _fill_audit(tenant_ids, size.audit_entries)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum and the suite's syncs do


def _fill_tenants(count: int) -> list[UUID]:
    """Return the IDs of the tenants, the large one first."""
    from tenants.models import Partner, Tenant

    stamps = {"created_at": NOW, "updated_at": NOW}
    partners = [
        Partner(
            scaikey_id=f"partner-{number}",
            slug=f"partner-{number}",
            name=f"Partner {number}",
            **stamps,
        )
        for number in range(1 + count // MAX_TENANTS_OF_PARTNER)
    ]
    Partner.objects.bulk_create(partners)
    tenants = [
        Tenant(
            slug=f"tenant-{number:06d}" if number else LARGE_TENANT,
            name=f"Tenänt {number}",
            scaikey_tenant_id=f"scaikey-tenant-{number}",
            scaikey_status="ACTIVE",
            partner=partners[number % len(partners)],
            max_participants=number % 50 or None,
            suspended_by_hand_at=NOW if number % 200 == 199 else None,
            **stamps,
        )
        for number in range(count)
    ]
    create_rows(Tenant, tenants)
    return [tenant.pk for tenant in tenants]


def _fill_people(tenant_ids: list[UUID], count: int) -> dict[UUID, list[UUID]]:
    """Return the IDs of the people of each tenant."""
    from tenants.models import Participant

    people: dict[UUID, list[UUID]] = {tenant_id: [] for tenant_id in tenant_ids}

    def build() -> Iterator[Participant]:
        for number in range(count):
            tenant_id = tenant_ids[0 if number % 3 == 0 else number % len(tenant_ids)]
            person = Participant(
                tenant_id=tenant_id,
                scaikey_id=f"person-{number}",
                scaikey_status="ACTIVE" if number % 20 else "SUSPENDED",
                local_id=f"person-{number}",
                # The order of names is not the order of creation.
                display_name=f"Pérson {number * 7919 % count:07d}",
                email=f"person-{number}@example.org",
                created_at=NOW,
                updated_at=NOW,
            )
            people[tenant_id].append(person.pk)
            yield person

    create_rows(Participant, build())
    return people


def _fill_groups(people: dict[UUID, list[UUID]]) -> None:
    """Put everyone of each tenant into one of its groups."""
    from tenants.models import Group, GroupMembership

    teams = [
        (
            Group(
                tenant_id=tenant_id,
                scaikey_id=f"group-{tenant_id}-{first}",
                name=f"Group {first:06d}",
                created_at=NOW,
                updated_at=NOW,
            ),
            ids[first : first + PEOPLE_OF_GROUP],
        )
        for tenant_id, ids in people.items()
        for first in range(0, len(ids), PEOPLE_OF_GROUP)
    ]
    create_rows(Group, (group for group, _ in teams))
    create_rows(
        GroupMembership,
        (
            GroupMembership(
                tenant_id=group.tenant_id,
                group=group,
                member_participant_id=person,
                created_at=NOW,
                updated_at=NOW,
            )
            for group, members in teams
            for person in members
        ),
    )


def _fill_rooms(people: list[UUID], tenant_id: UUID, count: int) -> None:
    """Give the large tenant rooms with a few members each, some of them with events."""
    from rooms.models import Event, Room, RoomMember, Workspace

    workspace = Workspace.objects.create(
        tenant_id=tenant_id, slug="main", name="Main", created_at=NOW, updated_at=NOW
    )
    rooms = [
        Room(
            tenant_id=tenant_id,
            workspace=workspace,
            creator_id=people[number % len(people)],
            name=f"Röom {number * 7919 % count:06d}" if number % 10 else "",
            room_type="group" if number % 10 else "dm",
            created_at=NOW,
            updated_at=NOW,
        )
        for number in range(count)
    ]
    create_rows(Room, rooms)
    create_rows(
        RoomMember,
        (
            RoomMember(
                tenant_id=tenant_id,
                room=room,
                participant_id=people[(number + step) % len(people)],
                joined_at=NOW,
            )
            for number, room in enumerate(rooms)
            for step in range(min(PEOPLE_OF_ROOM, len(people)))
        ),
    )
    create_rows(
        Event,
        (
            Event(
                tenant_id=tenant_id,
                room=room,
                sender_id=room.creator_id,
                event_type="swp.room.message",
                content={"body": f"Message {position}"},
                stream_position=position,
                origin_ts=int(NOW.timestamp()),
                created_at=NOW,
            )
            for position, room in enumerate(rooms[::ROOMS_WITH_EVENTS], 1)
        ),
    )


def _fill_audit(tenant_ids: list[UUID], count: int) -> None:
    """Write entries of three years. Their IDs have the time of the entry, as real ones do."""
    from tenants.audit.queries.entries import min_uuid7_at
    from tenants.models import AuditEntry

    step = timedelta(days=3 * 365) / count

    def build() -> Iterator[AuditEntry]:
        for number in range(count):
            at = NOW - step * (count - number)
            tenant = number % len(tenant_ids)
            yield AuditEntry(
                id=UUID(int=min_uuid7_at(at).int + (7 << 76) + number),
                at=at,
                operator=f"operator-{number % OPERATORS}",
                operator_role="super_admin",
                origin="host",
                action=ACTIONS[number % len(ACTIONS)],
                tenant_id=str(tenant_ids[tenant]),
                tenant_slug=f"tenant-{tenant:06d}" if tenant else LARGE_TENANT,
                subject_type="tenant",
                subject_id=str(tenant_ids[tenant]),
                subject_name=f"tenant-{tenant:06d}" if tenant else LARGE_TENANT,
                details={"changes": [{"field": "name", "old": "a", "new": "b"}]},
            )

    create_rows(AuditEntry, build())


def create_rows(model: Any, rows: Iterable[Any]) -> None:
    """Insert rows in batches, so that not all of them are in memory."""
    iterator = iter(rows)
    while batch := list(islice(iterator, BATCH_SIZE)):
        model.objects.bulk_create(batch)


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in asdict(ServerSize()):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, required=True)
    options = parser.parse_args()
    import django

    django.setup()
    _fill(ServerSize(**vars(options)))


if __name__ == "__main__":
    main()
