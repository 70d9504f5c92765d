"""Fills a workspace with made-up rooms of any size, to try, to test and to measure with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from rooms.models import Event, Room, RoomMedia, RoomType
from rooms.models.rooms import INCOGNITO_SCOPE
from rooms.services.seeding.events import COLUMNS, STEP, EventGenerator, RoomPlan, Row
from rooms.services.seeding.media import keep_files
from rooms.services.seeding.participants import (
    SeededParticipants,
    add_members,
    ensure_participants,
    ensure_tenant,
)
from rooms.services.seeding.text import ROOM_NAMES, chance, sentences
from rooms.services.stream_positions import reserve_positions
from scaiwave.auth.operators import Operator, Permission
from scaiwave.console.output import Column, ColumnType
from scaiwave.console.progress import ProgressCallback, null_progress
from tenants.models import Participant, Tenant
from tenants.services.audit import record_audit

_TABLE = f"{Event._meta.db_table} ({', '.join(COLUMNS)})"
_TOLD_EVERY = 1000
"""Events between two calls of the progress."""

SEEDED_COLUMNS = (
    Column("id", "Room"),
    Column("name", "Name"),
    Column("alias", "Alias"),
    Column("events", "Events", ColumnType.COUNT),
    Column("media", "Media", ColumnType.COUNT),
    Column("members", "Members", ColumnType.COUNT),
)


@dataclass(frozen=True)
class Wanted:
    """How many of what. `media_bytes` is the size of each file; `media` counts them per room."""

    rooms: int = 1
    events: int = 1000
    media: int = 0
    media_bytes: int = 10_000
    senders: int = 12
    foreign_share: float = 0.25
    room_type: RoomType = RoomType.GROUP
    seed: int = 1


@dataclass(frozen=True)
class SeededRooms:
    tenant: str
    workspace: str
    owner: Participant
    rooms: list[dict[str, Any]]

    def document(self) -> dict[str, Any]:
        return {
            "tenant": self.tenant,
            "workspace": self.workspace,
            "owner_id": self.owner.pk,
            "rooms": self.rooms,
        }


def seed_rooms(
    *,
    operator: Operator,
    tenant: str,
    workspace: str,
    wanted: Wanted,
    now: datetime,
    progress: ProgressCallback = null_progress,
) -> SeededRooms:
    """Make rooms, each in a transaction of its own, and what they need as far as it is missing.

    `tenant` and `workspace` are slugs. What is said depends on the seed and on the number of the
    room alone, apart from ids and times: it ends `now`. The tenant's limits are not looked at.

    Raises InvalidSlug for a tenant that can't be made.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    of = ensure_tenant(operator, tenant, now)
    cast = _seated(operator, of, workspace, wanted, now)
    seeding = _Seeding(cast, wanted, now, progress)
    made = [seeding.make(number) for number in range(wanted.rooms)]
    return SeededRooms(of.slug, cast.workspace.slug, cast.owner, made)


def _seated(
    operator: Operator, of: Tenant, workspace: str, wanted: Wanted, now: datetime
) -> SeededParticipants:
    """Who will be talking, and the audit of it."""
    with transaction.atomic():
        cast = ensure_participants(
            of,
            workspace=workspace,
            senders=wanted.senders,
            foreign_share=wanted.foreign_share,
            now=now,
        )
        record_audit(
            operator=operator,
            action="manage seed_rooms",
            subject=cast.workspace,
            tenant=of,
            now=now,
            details={"rooms": wanted.rooms, "events": wanted.events, "media": wanted.media},
        )
    return cast


class _Seeding:
    def __init__(
        self, cast: SeededParticipants, wanted: Wanted, now: datetime, progress: ProgressCallback
    ) -> None:
        self.cast = cast
        self.wanted = wanted
        self.now = now
        self.progress = progress
        self.done = 0
        self.sentences = sentences(wanted.seed)

    def make(self, number: int) -> dict[str, Any]:
        """Files first and positions before the transaction: nobody waits for a large room."""
        wanted, now = self.wanted, self.now
        room = self._room(number)
        files = keep_files(
            room,
            files=wanted.media,
            size=wanted.media_bytes,
            label=f"{wanted.seed}/{number}/{wanted.media_bytes}",
            now=now,
        )
        first = reserve_positions(room.tenant_id, wanted.events)
        senders = self.cast.senders[: 2 if wanted.room_type == RoomType.DM else None]
        with transaction.atomic():
            room.save(force_insert=True)
            add_members(room, senders, now)
            RoomMedia.objects.bulk_create(files, batch_size=500)
            plan = RoomPlan(
                tenant_id=room.tenant_id,
                room_id=room.pk,
                senders=[str(sender.pk) for sender in senders],
                media=[str(file.media_id) for file in files],
                events=wanted.events,
                first_position=first,
                until=now,
            )
            talk = EventGenerator(
                plan, sentences=self.sentences, rng=chance("talk", wanted.seed, number)
            )
            _write(self._counted(talk.rows()))
        counts = {"events": wanted.events, "media": len(files), "members": len(senders)}
        return {"id": room.pk, "name": room.name, "alias": room.room_alias, **counts}

    def _room(self, number: int) -> Room:
        wanted, name = self.wanted, ROOM_NAMES[number % len(ROOM_NAMES)]
        room = Room(
            tenant=self.cast.workspace.tenant,
            workspace=self.cast.workspace,
            creator=self.cast.owner,
            room_type=wanted.room_type,
            name="" if wanted.room_type == RoomType.DM else f"{name} {number + 1}",
            topic='Everything about "it"\nand more' if number % 2 else "",
            scope_kind=INCOGNITO_SCOPE if wanted.room_type == RoomType.INCOGNITO else None,
            created_at=self.now - timedelta(milliseconds=(wanted.events + 1) * STEP),
            updated_at=self.now,
        )
        if wanted.room_type == RoomType.PUBLIC:
            room.is_public = True
            room.visibility = "listed"
            room.read_role_slugs = ["staff", "gäste"]
            room.room_alias = f"room-{room.pk.hex}"
        return room

    def _counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            if self.done % _TOLD_EVERY == 0:
                self.progress(self.done, self.wanted.rooms * self.wanted.events)
            self.done += 1
            yield row


def _write(rows: Iterable[Row]) -> None:
    """In the caller's transaction, and a few rows at a time."""
    with connection.wrap_database_errors:  # Django does so for its own methods only.
        if connection.vendor == "postgresql":
            _copy(rows)
        else:
            marks = ", ".join("?" * len(COLUMNS))
            connection.connection.executemany(f"INSERT INTO {_TABLE} VALUES ({marks})", rows)


def _copy(rows: Iterable[Row]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {_TABLE} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
