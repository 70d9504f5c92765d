"""Add rooms with sample data of any size to a workspace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction

from rooms.models import Event, Room, RoomMedia, RoomType
from rooms.models.rooms import INCOGNITO_SCOPE
from rooms.seeding.events import COLUMNS, EVENT_INTERVAL_MS, EventGenerator, RoomPlan, Row
from rooms.seeding.media import store_files
from rooms.seeding.participants import (
    SeededParticipants,
    add_members,
    ensure_participants,
    ensure_tenant,
)
from rooms.seeding.text import ROOM_NAMES, make_random, make_sentences
from rooms.stream_positions import reserve_positions
from scaiwave.console.progress import ProgressCallback, null_progress
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from tenants.audit.record import record_audit

_TABLE = f"{Event._meta.db_table} ({', '.join(COLUMNS)})"
PROGRESS_INTERVAL = 1000
"""Events between two calls of the progress callback."""


@dataclass(frozen=True)
class SeedOptions:
    """`events` and `media` are numbers per room; `media_bytes` is the size of each file."""

    rooms: int = 1
    events: int = 1000
    media: int = 0
    media_bytes: int = 10_000
    senders: int = 12
    foreign_share: float = 0.25
    room_type: RoomType = RoomType.GROUP
    seed: int = 1


def seed_rooms(
    *,
    operator: Operator,
    tenant: str,
    workspace: str,
    options: SeedOptions,
    now: datetime,
    progress: ProgressCallback = null_progress,
) -> Report:
    """Create rooms, each in its own transaction, and the tenant, workspace and senders they need.

    `tenant` and `workspace` are slugs. Apart from ids and times, the content depends only on the
    seed and the number of the room; the last event is sent at `now`. The tenant's limits are not
    enforced.

    Raises `InvalidSlug` for a tenant that can't be created.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    seeded_tenant = ensure_tenant(operator, tenant, now)
    with transaction.atomic():
        participants = ensure_participants(
            seeded_tenant,
            workspace=workspace,
            senders=options.senders,
            foreign_share=options.foreign_share,
            now=now,
        )
        record_audit(
            operator=operator,
            action="manage seed_rooms",
            subject=participants.workspace,
            tenant=seeded_tenant,
            now=now,
            details={"rooms": options.rooms, "events": options.events, "media": options.media},
        )
    seeder = _RoomSeeder(participants, options, now, progress)
    rooms = [seeder.create_room(number) for number in range(options.rooms)]
    slug, owner = participants.workspace.slug, participants.owner
    figures = {
        "tenant": seeded_tenant.slug,
        "workspace": slug,
        "owner_id": owner.pk,
        "rooms": rooms,
    }
    sentence = f"Added to workspace {slug} of tenant {seeded_tenant.slug}, owned by {owner}."
    return Report(figures, sentence)


@dataclass
class _RoomSeeder:
    participants: SeededParticipants
    options: SeedOptions
    now: datetime
    progress: ProgressCallback
    done: int = 0

    def __post_init__(self) -> None:
        self.sentences = make_sentences(self.options.seed)

    def create_room(self, number: int) -> dict[str, Any]:
        """Create one room.

        Files are stored and positions reserved before the transaction, so that a large room keeps
        no other writer waiting.
        """
        options, now = self.options, self.now
        room = self._build_room(number)
        files = store_files(
            room,
            files=options.media,
            size=options.media_bytes,
            label=f"{options.seed}/{number}/{options.media_bytes}",
            now=now,
        )
        senders = self.participants.senders[: 2 if options.room_type == RoomType.DM else None]
        plan = RoomPlan(
            tenant_id=room.tenant_id,
            room_id=room.pk,
            senders=[str(sender.pk) for sender in senders],
            media=[str(file.media_id) for file in files],
            events=options.events,
            first_position=reserve_positions(room.tenant_id, options.events),
            until=now,
        )
        generator = EventGenerator(
            plan, sentences=self.sentences, rng=make_random("talk", options.seed, number)
        )
        with transaction.atomic():
            room.save(force_insert=True)
            add_members(room, senders, now)
            RoomMedia.objects.bulk_create(files, batch_size=500)
            _write_events(self._report_progress(generator.iter_rows()))
        return {
            "id": room.pk,
            "name": room.name,
            "alias": room.room_alias,
            "events": options.events,
            "media": len(files),
            "members": len(senders),
        }

    def _build_room(self, number: int) -> Room:
        options, name = self.options, ROOM_NAMES[number % len(ROOM_NAMES)]
        room = Room(
            tenant=self.participants.workspace.tenant,
            workspace=self.participants.workspace,
            creator=self.participants.owner,
            room_type=options.room_type,
            name="" if options.room_type == RoomType.DM else f"{name} {number + 1}",
            topic='Everything about "it"\nand more' if number % 2 else "",
            scope_kind=INCOGNITO_SCOPE if options.room_type == RoomType.INCOGNITO else None,
            created_at=self.now - timedelta(milliseconds=(options.events + 1) * EVENT_INTERVAL_MS),
            updated_at=self.now,
        )
        if options.room_type == RoomType.PUBLIC:
            room.is_public = True
            room.visibility = "listed"
            room.read_role_slugs = ["staff", "gäste"]
            room.room_alias = f"room-{room.pk.hex}"
        return room

    def _report_progress(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            if self.done % PROGRESS_INTERVAL == 0:
                self.progress(self.done, self.options.rooms * self.options.events)
            self.done += 1
            yield row


def _write_events(rows: Iterable[Row]) -> None:
    """Insert rows as they are generated, in the caller's transaction."""
    with connection.wrap_database_errors:  # Django does so for its own methods only.
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor, cursor.copy(f"COPY {_TABLE} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            placeholders = ", ".join("?" * len(COLUMNS))
            connection.connection.executemany(f"INSERT INTO {_TABLE} VALUES ({placeholders})", rows)
