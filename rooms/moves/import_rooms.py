"""Import the rooms of a moved tenant: with their authors, members, types and flags.

Each bundle of a room is one transaction, so an interrupted import continues with the next one. The
room has then exactly the events of its source, at their positions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from django.db.models import Q, QuerySet

from rooms.bundle.chain import find_all
from rooms.bundle.format import IMPORTED_SENDER, INFECTED, MANIFEST, normalize_id
from rooms.bundle.manifest.events import Batch, IncrementEvent
from rooms.bundle.manifest.schema import Sender
from rooms.bundle.reader import ValidatedBundle, read_bundle
from rooms.errors import BundleDamaged, ImportRunning, TenantExportDamaged
from rooms.imports.events import find_emptied
from rooms.imports.id_mapping import BundleOrigin, EventRewriter, IdMapper
from rooms.imports.media import MediaPlan, attach_files
from rooms.imports.write_bundle import RowWriter, WriteContext
from rooms.lookup.authors import Erasure, find_erasures
from rooms.lookup.media import exists_with_size
from rooms.models import (
    Event,
    Media,
    Room,
    RoomImport,
    RoomMedia,
    ScanStatus,
    TenantImport,
)
from rooms.models.media import get_storage_name
from rooms.moves.index import BundleInfo, RoomEntry
from rooms.moves.mapping import TenantMapping
from rooms.stream_positions import END_POSITION
from scaiwave.console.columns import ColumnType
from scaiwave.core.sql import batched
from tenants.holds.queries import block_new_holds, require_tenant_not_held
from tenants.lookup.serializers import Row

_READ_MARKER = "swp.room.read_marker"
_FOREIGN_SENDER_KEYS = {"display_name", "avatar_url", "fqid"}


class MovedRewriter(EventRewriter):
    """Replaces the IDs of events, attachments and people, and cleans original senders.

    `people` has the new ID of everyone in the tenant, wherever a content has the old one. The
    original sender that an export adds to events of foreign senders is removed again.
    """

    def __init__(
        self,
        new_id: IdMapper,
        people: Mapping[str, str],
        senders: Mapping[str, Sender],
        origin: BundleOrigin,
        erasures: Mapping[str, Erasure] | None = None,
    ) -> None:
        super().__init__(new_id, senders=senders, media_ids={}, origin=origin, erasures=erasures)
        self._people = people
        self._foreign = {key: sender.fqid for key, sender in senders.items() if sender.is_foreign}

    def rewrite(self, batch: Batch) -> None:
        self._erase_messages(batch)
        self.rewrite_ids(batch)
        columns = batch.columns
        for sender_id, kind, content in zip(
            columns.sender_ids, columns.event_types, columns.contents, strict=True
        ):
            if kind == _READ_MARKER and (marked := normalize_id(content.get("event_id"))):
                content["event_id"] = self.new_id(marked)
            given: Any = content.get(IMPORTED_SENDER)
            is_plain = isinstance(given, dict) and given.keys() == _FOREIGN_SENDER_KEYS
            if is_plain and (sender_id, given["fqid"]) in self._foreign.items():
                del content[IMPORTED_SENDER]
        pending: list[Any] = [*columns.contents, *filter(None, columns.original_contents)]
        for content in pending:
            if isinstance(sender := content.get(IMPORTED_SENDER), dict):
                content[IMPORTED_SENDER] = self._clean(sender)
        self._replace_people(pending)

    def _list_addresses(self, sender_id: str) -> list[str]:
        return [self._people[sender_id], *super()._list_addresses(sender_id)]

    def _find_media(self, old: Any) -> str | None:
        return self.new_id(key) if (key := normalize_id(old)) else None

    def _replace_people(self, pending: list[Any]) -> None:
        people = self._people
        while pending:
            value = pending.pop()
            is_object = type(value) is dict
            if is_object and not people.keys().isdisjoint(value):  # Such as power levels.
                value |= {people[key]: value.pop(key) for key in people.keys() & value.keys()}
            for key, each in value.items() if is_object else enumerate(value):
                if type(each) is str:
                    if len(each) == 36 and each in people:
                        value[key] = people[each]
                elif type(each) is dict or type(each) is list:
                    pending.append(each)


@dataclass(frozen=True)
class RoomsDestination(WriteContext):
    """The tenant here, and the new ID of everyone in it, by the old one."""

    record: TenantImport
    mapping: TenantMapping
    people: Mapping[str, str]
    source_server_name: str
    origin: BundleOrigin
    max_bytes: int
    dry_run: bool


def import_moved_room(
    to: RoomsDestination, entry: RoomEntry, row: Row, paths: Sequence[Path]
) -> int:
    """Import the bundles of a room that are not imported yet; return their number.

    `row` is the row of the room here. A room whose chain has begun again is replaced. A dry run
    only checks them. Raises `BundleError`, `TenantExportDamaged`, `DiskFull` or a database error.
    """
    present = RoomImport.objects.filter(tenant=to.tenant, room__deleted_at=None)
    record = present.filter(room=row["id"]).first()
    done = [record.manifest_sha256, *record.links] if record else []
    wanted = [item.manifest_sha256 for item in entry.links]
    if done != wanted[: len(done)]:
        done = []  # The first bundle replaces the room.
    for number in range(len(done), len(wanted)):
        with _open_bundle(to, paths[number]) as bundle:
            item = _MovedBundle(to, bundle, entry, row, number)
            item.check()
            if not to.dry_run:
                item.write(item.plan_media())
    return len(wanted) - len(done)


@contextmanager
def _open_bundle(to: RoomsDestination, path: Path) -> Iterator[ValidatedBundle]:
    with path.open("rb") as file:
        with to.progress_factory(f"Checking {path.parent.name}", ColumnType.BYTES) as progress:
            opened = read_bundle(
                file,
                max_bytes=to.max_bytes,
                cut_references=True,
                progress=progress,
                find_targets=find_all,
            )
        with opened:
            yield opened


def delete_rooms(record: TenantImport, keys: Sequence[UUID]) -> None:
    """Delete rooms of the tenant with their content, in the transaction of the caller.

    Their files stay. Raises `OnHold`.
    """
    tenant = record.tenant
    block_new_holds()
    require_tenant_not_held(tenant, f"delete rooms of tenant {tenant.slug}")
    for part in batched(keys):
        note_emptied(record, Event.objects.filter(tenant=tenant, room__in=part))
        for model in (Event, RoomMedia, RoomImport):
            model.objects.filter(tenant=tenant, room__in=part).delete()
        Room.all_objects.filter(tenant=tenant, pk__in=part).delete()


def note_emptied(record: TenantImport, events: QuerySet[Event]) -> None:
    """Note which of these events were emptied since the first import, before they are deleted.

    The next bundles may have them again, in any room and under any sender. Earlier releases left
    the time of the source when they emptied an event that it had redacted.
    """
    known = set(record.emptied_events or ())
    is_ours = Q(redacted_at__gte=record.started_at) | Q(sender__messages_erased_at__isnull=False)
    found = find_emptied(events.filter(is_ours))
    if not found.keys() <= known:
        record.emptied_events = sorted(known | found.keys())
        record.save(update_fields=["emptied_events"])


@dataclass
class _MovedBundle(RowWriter):
    """One bundle of a room, which is the one with this number in its chain."""

    run: RoomsDestination
    entry: RoomEntry
    row: Row
    number: int
    senders: Mapping[str, UUID] = field(default_factory=dict, init=False)

    @property
    def info(self) -> BundleInfo:
        return self.entry.links[self.number]

    def check(self) -> None:
        """Check that it is the bundle of the index, and that its senders are in the tenant."""
        bundle, header = self.bundle, self.bundle.header
        position = header.increment.chain if header.increment else None
        expected = (
            (self.number, self.entry.links[self.number - 1].manifest_sha256)
            if self.number
            else (0, "")
        )
        found = (position.sequence, position.parent) if position else (0, "")
        entry, room = self.entry, header.room
        total = header.increment.after.events if header.increment else bundle.counts.events
        if (
            (bundle.manifest_sha256, room.id) != (self.info.manifest_sha256, entry.id)
            or found != expected
            or header.window is not None
            or (self.info == entry.links[-1] and total != entry.events)
            or room.room_type != entry.room_type
        ):
            raise TenantExportDamaged(
                f"{self.info.name} of room {self.entry.id} is not the bundle of the index."
            )
        if bundle.counts.last_position >= END_POSITION:
            raise TenantExportDamaged(
                f"{self.info.name} of room {self.entry.id} leaves no stream positions for others."
            )
        if strangers := header.senders.keys() - self.run.people.keys():
            raise TenantExportDamaged(
                f"{self.info.name} of room {self.entry.id} has a sender who is not in the export: "
                f"{min(strangers)}."
            )
        self.senders = {key: UUID(self.run.people[key]) for key in header.senders}

    def plan_media(self) -> MediaPlan:
        """Plan to store the files that are not here, except infected ones."""
        header, infected = self.bundle.header, self._find_infected()
        by_hash = {each.sha256: each for each in header.media if each.missing is None}
        to_store = [
            each
            for sha256, each in by_hash.items()
            if self.bundle.has_media(sha256)
            and sha256 not in infected
            and not exists_with_size(get_storage_name(self.run.tenant.pk, sha256), each.size)
        ]
        return MediaPlan(header.media, trusted=True, to_store=to_store)

    def _find_infected(self) -> set[str]:
        """Return the hashes of files that are infected here, and stay so."""
        present = Media.objects.filter(tenant=self.run.tenant, scan_status=ScanStatus.INFECTED)
        return set(present.values_list("sha256", flat=True))

    def open_room(self) -> Room:
        """Replace the room by the first bundle, or continue it. Raises ImportRunning."""
        if not self.bundle.header.increment:
            return self._replace_room()
        room = Room.objects.select_for_update().get(pk=self.row["id"])
        record = RoomImport.objects.get(room=room)
        if len(record.links) + 1 != self.number:
            raise ImportRunning("Another import into this room has just ended.")
        record.links = [*record.links, self.bundle.manifest_sha256]
        record.save(update_fields=["links"])
        return room

    def _replace_room(self) -> Room:
        run = self.run
        delete_rooms(run.record, [self.row["id"]])
        room = Room.objects.create(**self.row)
        RoomImport.objects.create(
            tenant=run.tenant,
            room=room,
            manifest_sha256=self.bundle.manifest_sha256,
            source_room_id=self.entry.id,
            source_server_name=run.source_server_name,
            operator=run.operator.name,
            created_at=run.now,
        )
        return room

    def write_media(self, plan: MediaPlan) -> Mapping[str, str]:
        """Write the rows of attachments, including attachments whose bytes the source has lost."""
        entries, increment = plan.entries, self.bundle.header.increment
        keys = {entry.media_id: self.run.mapping.new_id(entry.media_id) for entry in entries}
        infected = self._find_infected() | {
            entry.sha256 for entry in entries if entry.missing == INFECTED
        }
        media = {
            key: Media(
                pk=UUID(key),
                tenant=self.run.tenant,
                sha256=entry.sha256,
                size=entry.size,
                mime_type=entry.mime_type,
                scan_status=ScanStatus.INFECTED if entry.sha256 in infected else entry.scan_status,
                created_at=self.run.now,
            )
            for entry in entries
            for key in [keys[entry.media_id]]
        }
        for part in batched(media.values()):
            Media.objects.bulk_create(
                part, update_conflicts=True, unique_fields=["id"], update_fields=["scan_status"]
            )
        for removed in increment.media_removed if increment else ():
            key = UUID(self.run.mapping.new_id(removed.media_id))
            RoomMedia.objects.filter(room=self.room, media=key, name=removed.name).delete()
        attach_files(self.room, entries, keys, now=self.run.now)
        return keys

    def build_rewriter(self, media_ids: Mapping[str, str]) -> EventRewriter:
        run, senders = self.run, self.bundle.header.senders
        erasures = find_erasures(run.tenant.pk, self.senders.values())
        return MovedRewriter(run.mapping.new_id, run.people, senders, run.origin, erasures)

    def change_events(self) -> None:
        if self.bundle.header.increment:
            note_emptied(self.run.record, Event.objects.filter(room=self.room))
            self._delete_events()
        self.rewriter.emptied = set(self.run.record.emptied_events or ())

    def _delete_events(self) -> None:
        """Delete the events that an increment deletes, or has in their new form."""
        changed = (
            [
                event.id
                for event in cast(Sequence[IncrementEvent], batch)
                if event.change == "changed"
            ]
            for batch in self.bundle.content.iter_batches()
        )
        for ids in chain(self.bundle.iter_deleted(), changed):
            for part in batched(self.rewriter.new_id.map_to_hex(ids)):
                Event.objects.filter(pk__in=part, room=self.room).delete()

    def get_new_events(self) -> tuple[Iterable[Batch], int]:
        return self.bundle.content.iter_batches(), self.bundle.counts.events

    def finish(self, plan: MediaPlan, added: int) -> None:
        if not (increment := self.bundle.header.increment):
            return
        count = Event.objects.filter(room=self.room).count()
        if count != increment.after.events:
            raise BundleDamaged(
                f"Room {self.entry.id} has {count:,} events after {self.info.name}, but "
                f"{increment.after.events:,} according to its `after`.",
                entry=MANIFEST,
            )
