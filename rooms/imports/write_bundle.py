"""Write a bundle into the database: a new room, an increment, or a part of a room that moves here.

The files are announced and stored, then all rows are written in one transaction, which also deletes
the announcement. The subclasses are the policy: which room, which files, who the senders are, and
what happens to events that are here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F

from rooms.bundle.manifest.events import Batch
from rooms.bundle.reader import ValidatedBundle
from rooms.imports.events import EventDestination, write_events
from rooms.imports.id_mapping import EventRewriter
from rooms.imports.intents import complete_intent, import_intent, release_on_commit
from rooms.imports.media import MediaPlan, store_files
from rooms.lookup.export_metadata import find_avatars, find_media_ids
from rooms.models import Event, Room, RoomMedia
from rooms.stream_positions import reserve_positions
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressFactory
from scaiwave.core.operators import Operator
from tenants.models import Tenant


@dataclass(frozen=True)
class WriteContext:
    """Who writes, into which tenant, and when."""

    operator: Operator
    tenant: Tenant
    now: datetime
    progress_factory: ProgressFactory


@dataclass
class RowWriter(ABC):
    """One bundle. Its methods without a body are called in their order, in the transaction.

    With `senders`, the IDs here of all senders, the events keep their authors, positions and flags;
    without, the creator of the room sends them at new positions. `detached` are files that the room
    no longer has: they are deleted if no other has them.
    """

    run: WriteContext
    bundle: ValidatedBundle
    senders: Mapping[str, UUID] | None = field(default=None, init=False)
    detached: set[UUID] = field(default_factory=set, init=False)
    room: Room = field(init=False)
    rewriter: EventRewriter = field(init=False)

    def write(self, plan: MediaPlan) -> None:
        """Store the files, and write the bundle completely or not at all."""
        run, bundle, first_position = self.run, self.bundle, 0
        hashes = [entry.sha256 for entry in plan.to_store]
        with import_intent(hashes, operator=run.operator, tenant=run.tenant, now=run.now) as intent:
            with run.progress_factory("Storing attachments", ColumnType.BYTES) as progress:
                store_files(
                    plan, tenant_id=run.tenant.pk, open_media=bundle.open_media, progress=progress
                )
            if self.senders is None:  # Before the transaction, so that no other writer has to wait.
                first_position = reserve_positions(run.tenant.pk, bundle.counts.kept)
            with transaction.atomic(durable=True):
                self.write_rows(plan, first_position)
                complete_intent(intent)

    def write_rows(self, plan: MediaPlan, first_position: int) -> None:
        run = self.run
        self.room = room = self.open_room()
        # The events need the new IDs of the files.
        self.rewriter = self.build_rewriter(self.write_media(plan))
        self.change_events()
        batches, total = self.get_new_events()
        destination = EventDestination(room, first_position, self.rewriter, self.senders)
        with run.progress_factory("Writing events") as progress:
            added = write_events(batches, destination, total=total, progress=progress)
        release_on_commit(
            self.detached | _detach_erased(room, self.rewriter),
            operator=run.operator,
            tenant_id=run.tenant.pk,
            now=run.now,
        )
        self.finish(plan, added)

    @abstractmethod
    def open_room(self) -> Room:
        """Write the room; or lock it, and check that no one has written into it since."""

    @abstractmethod
    def write_media(self, plan: MediaPlan) -> Mapping[str, str]:
        """Write the rows of the files; return their new IDs by their IDs in the bundle."""

    @abstractmethod
    def build_rewriter(self, media_ids: Mapping[str, str]) -> EventRewriter: ...

    def change_events(self) -> None:
        """Change and delete events of an increment."""
        return

    def get_new_events(self) -> tuple[Iterable[Batch], int]:
        """Return the events to insert, and their number."""
        return self.bundle.iter_batches(), self.bundle.counts.kept

    @abstractmethod
    def finish(self, plan: MediaPlan, added: int) -> None:
        """Check the result with this many new events, and record the import."""


def _detach_erased(room: Room, rewriter: EventRewriter) -> set[UUID]:
    """Detach files that only erased content refers to; return the imported ones."""
    if not (keys := {UUID(key) for key in rewriter.erased_media}):
        return set()
    events = Event.objects.filter(room=room)
    keys -= find_media_ids(events) | find_avatars(room, events)
    attached = RoomMedia.objects.filter(room=room, media__in=keys)
    # A file that this server had before may have uses besides rooms.
    own = set(
        attached.filter(media__created_at__gte=F("created_at")).values_list("media", flat=True)
    )
    attached.delete()
    return own
