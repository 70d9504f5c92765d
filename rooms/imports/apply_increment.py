"""Write what an increment changes in the room that its base was imported as.

Work that was done here is protected: events of this server are never touched, redacted ones stay
redacted, and events that were edited here are changed only on request.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import partial
from typing import Any, cast
from uuid import UUID

from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.fields.json import KeyTextTransform

from rooms.bundle.format import IMPORTED_SENDER, INFECTED, MANIFEST, REFERENCES
from rooms.bundle.manifest.events import Batch, BundleEvent, IncrementEvent
from rooms.bundle.manifest.schema import Increment, IncrementSender, MediaEntry, format_timestamp
from rooms.errors import BundleDamaged, ImportLocalChanges, ImportRefused, ImportRunning
from rooms.imports.events import find_emptied, update_events
from rooms.imports.id_mapping import IdMapper, is_bare
from rooms.imports.import_room import (
    FOLLOWED_FIELDS,
    ImportWriter,
    build_tip_room,
    erasure_warning,
    publication_warning,
)
from rooms.imports.media import MediaPlan, plan_media, write_media
from rooms.imports.permissions import ensure_quota, revalidate_target
from rooms.lookup.authors import IMPORTED_VERSION, imported_from_q, note_renames
from rooms.lookup.holds import contains_held, is_file_held, require_room_not_held
from rooms.models import Event, RemovedFile, Room, RoomImport, RoomMedia, ScanStatus
from rooms.stream_positions import END_POSITION
from scaiwave.config.server_name import normalize_server_name
from scaiwave.console.text import pluralize
from scaiwave.core.errors import UsageError
from scaiwave.core.report import Report
from scaiwave.core.sql import batched, execute
from scaiwave.extensions import PERSONAL_DATA_ERASERS, PurgedPerson
from tenants.errors import ParticipantOnHold
from tenants.holds.queries import block_new_holds
from tenants.lookup.serializers import Row
from tenants.models.directory import DELETED_NAME

_MAX_LISTED = 5
_KEPT = "kept_addresses"
"""The key in `tip_room` of addresses that senders keep, since their data was erased here."""


class LocalChanges(Enum):
    """What happens to events that were edited here."""

    REFUSE = "refuse"
    KEEP = "keep"
    REPLACE = "replace"

    @classmethod
    def from_flags(cls, *, keep_local: bool, take_theirs: bool) -> LocalChanges:
        """Raises `UsageError` if both are given."""
        if keep_local and take_theirs:
            raise UsageError(
                "Can't both keep local changes and replace them.", fix="Leave out one of the two."
            )
        if keep_local:
            return cls.KEEP
        return cls.REPLACE if take_theirs else cls.REFUSE


@dataclass
class AppendResult:
    """What one increment has changed. `applied` is False if it was imported before."""

    room_id: UUID
    name: str
    sequence: int
    signature: str
    applied: bool = False
    dry_run: bool = False
    added: int = 0
    changed: int = 0
    deleted: int = 0
    kept_local: int = 0
    references_cut: int = 0
    media_stored: int = 0
    media_removed: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def sentence(self) -> str:
        if not self.applied and not self.dry_run:
            return f"Increment {self.sequence:,} was already imported into room {self.name!r}."
        verb = "Would import" if self.dry_run else "Imported"
        removed = self.media_removed
        return (
            f"{verb} increment {self.sequence:,} into room {self.name!r}: {self.added:,} added, "
            f"{self.changed:,} changed, {self.deleted:,} deleted"
            + (f", {pluralize(removed, 'attachment')} removed." if removed else ".")
        )

    def report(self) -> Report:
        notes = []
        if self.kept_local:
            notes.append(f"{pluralize(self.kept_local, 'event')} kept as changed here.")
        if self.references_cut:
            events = pluralize(self.references_cut, "event")
            notes.append(f"{events} lost a reference to a deleted event, or were deleted.")
        return Report(self.document(), self.sentence, warnings=self.warnings, notes=notes)

    def document(self) -> Row:
        return {
            "room": {"id": self.room_id, "name": self.name},
            "changed": self.applied or self.dry_run,
            "dry_run": self.dry_run,
            "sequence": self.sequence,
            "signature": self.signature,
            "events": {
                "added": self.added,
                "changed": self.changed,
                "deleted": self.deleted,
                "kept_local": self.kept_local,
            },
            "references_cut": self.references_cut,
            "media": {"stored": self.media_stored, "removed": self.media_removed},
            "warnings": self.warnings,
        }


def find_events(room: Room, ids: Sequence[str], *, locked: bool = False) -> list[Event]:
    """Return the events of the room with these IDs, with the fields to check.

    If they are `locked`, no one edits or redacts them until the transaction ends. The room is
    compared here, because SQLite would read the whole room to look for few events.
    """
    found = Event.objects.filter(pk__in=ids).only("pk", "room_id", "edited_at", "redacted_at")
    if locked:
        found = found.select_for_update(no_key=True)
    return [event for event in found if event.room_id == room.pk]


@dataclass
class IncrementImport(ImportWriter):
    """One increment in progress."""

    imported: RoomImport
    local_changes: LocalChanges
    result: AppendResult

    def __post_init__(self) -> None:
        self.increment = cast(Increment, self.bundle.header.increment)
        self.room = self.imported.room
        self._new_id = IdMapper(self.room.pk)
        self._conflicts: list[str] = []
        self._inserted: set[str] = set()
        self._removed = 0
        # An edit that is later than the last import, or that an increment found before and left.
        tip_exported_at = cast(datetime, self.imported.tip_exported_at)
        self._edited_after = max(tip_exported_at, self.imported.created_at)
        self._edited_here = set(self.imported.edited_here)
        self._imported_at = format_timestamp(self.imported.created_at)
        self._kept: dict[str, str] = dict((self.imported.tip_room or {}).get(_KEPT, {}))
        self._renames: dict[str, str] = {}
        server = f":{normalize_server_name(self.bundle.header.server_name)}"
        before = f":{normalize_server_name(self.imported.source_server_name)}"
        # The new address of someone whose data was erased here might be no one's.
        for key, sender in self.bundle.header.senders.items():
            fqid = self.run.origin.normalize(getattr(sender, "previous_fqid", None) or "")
            new = self.run.origin.normalize(sender.fqid)
            if fqid.endswith(before) and new.endswith(server):
                self._renames[fqid] = new  # A server renames only its own people.
            if fqid in self.run.erasures:
                self._kept.setdefault(key, fqid)
            sender.fqid = self._kept.get(key, sender.fqid)

    def apply(self) -> None:
        """Write the increment; a dry run takes back the rows that it has written."""
        # The number of events after the increment, as far as this server knows it.
        events = cast(int, self.imported.tip_events) + self.bundle.counts.added
        events -= self.increment.deleted
        if self.increment.after.events != events:
            raise BundleDamaged(
                f"The room after the increment has {events:,} events, but "
                f"{self.increment.after.events:,} according to its `after`.",
                entry=MANIFEST,
            )
        # The attachments whose bytes are in this increment, or nowhere.
        carried = [
            entry
            for entry in self._list_media()
            if entry.missing is not None or self.bundle.has_media(entry.sha256)
        ]
        plan = plan_media(self.run.tenant.pk, carried, trusted=self.run.is_trusted)
        ensure_quota(self.run.tenant, added_bytes=plan.added_bytes, adds_room=False)
        self.result.media_stored = len(plan.to_store)
        if self.run.request.dry_run:
            with transaction.atomic(durable=True):
                self.write_rows(plan, END_POSITION)
                transaction.set_rollback(True)
            return
        self.write(plan)
        self.result.applied = True

    def open_room(self) -> Room:
        block_new_holds()
        revalidate_target(self.run.operator, self.run.target)
        # Every import into the room, and a purge of it, locks the room first.
        room = Room.objects.select_for_update().filter(pk=self.room.pk).first()
        if room is None:
            raise ImportRefused(f"Room {self.room} was just deleted.")
        imported = RoomImport.objects.filter(pk=self.imported.pk).first()
        if imported is None or imported.links != self.imported.links:
            raise ImportRunning("Another import into this room has just ended.")
        return room

    def write_media(self, plan: MediaPlan) -> Mapping[str, str]:
        before = self._map_media()
        write_media(plan, room=self.room, now=self.run.now)
        self._follow_media()
        media_ids = self._map_media()
        self._replace_media_ids(before, media_ids)
        return media_ids

    def finish(self, plan: MediaPlan, added: int) -> None:
        result, erased = self.result, self.rewriter.erased_events
        result.added = added
        result.references_cut += self.bundle.counts.references_cut
        result.warnings += filter(None, [erasure_warning(erased)])
        self._follow_room()
        self._record()
        self.run.check_written(plan, adds_room=False)
        self._note_renames()

    def _describe_effect(self) -> str:
        return (
            f"import increment {self.result.sequence:,} into room {self.room}, which erases "
            "something"
        )

    def _forbid_held(self, events: QuerySet[Event]) -> None:
        """Raise `OnHold` if one of these events, which would change or go, is on hold."""
        if contains_held(events):
            require_room_not_held(self.room, self._describe_effect())

    # Attachments.

    def _list_media(self) -> list[MediaEntry]:
        """Return the attachments of the increment, except files that were removed from the room
        here."""
        removed = RemovedFile.objects.filter(room=self.room).values_list("sha256", flat=True)
        hashes = frozenset(removed)
        return [entry for entry in self.bundle.header.media if entry.sha256 not in hashes]

    def _map_media(self) -> dict[str, str]:
        """Return the ID here of each attachment of the room, by its ID in the bundle."""
        rows = RoomMedia.objects.filter(room=self.room, source_media_id__isnull=False)
        return {str(old): str(new) for old, new in rows.values_list("source_media_id", "media_id")}

    def _follow_media(self) -> None:
        """Attach names whose file the room has, follow scans, and detach what the source removed.

        A hash alone never attaches a file: it must be attached to this room already.
        """
        attached = RoomMedia.objects.filter(room=self.room)
        for entry in self._list_media():
            same_file = attached.filter(media__sha256=entry.sha256).select_related("media").first()
            if same_file is None:
                continue
            if entry.missing == INFECTED and not self.run.is_trusted:
                self._detach(entry.media_id, entry.name)
                continue
            RoomMedia.objects.get_or_create(
                room=self.room,
                media=same_file.media,
                name=entry.name,
                defaults={
                    "tenant_id": self.room.tenant_id,
                    "source_media_id": entry.media_id,
                    "created_at": self.run.now,
                },
            )
            media = same_file.media
            # An infected file stays infected here.
            if self.run.is_trusted and media.scan_status != ScanStatus.INFECTED:
                media.scan_status = entry.scan_status
                media.save(update_fields=["scan_status"])
                if entry.scan_status == ScanStatus.INFECTED and not is_file_held(media):
                    transaction.on_commit(partial(default_storage.delete, media.storage_name))
        for removed in self.increment.media_removed:
            self._detach(removed.media_id, removed.name)

    def _detach(self, media_id: str, name: str) -> None:
        """A file that this server had before the room may have uses besides rooms, so it stays."""
        rows = RoomMedia.objects.filter(room=self.room, source_media_id=media_id, name=name)
        if rows.exists():
            require_room_not_held(self.room, self._describe_effect())
        own = rows.filter(media__created_at__gte=self.imported.created_at)
        self.detached.update(own.values_list("media", flat=True))
        self.result.media_removed += rows.delete()[0]

    def _replace_media_ids(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Let events refer to a file that was just attached, and no longer to one that was
        detached.

        An ID has no other meaning in a text of an event, so it is replaced there.
        """
        for key in before.keys() | after.keys():
            fallback = self._new_id(key)
            old, new = before.get(key, fallback), after.get(key, fallback)
            if old == new:
                continue
            for column in ("content", "original_content"):
                if connection.vendor == "postgresql":
                    sql = f"{column} = replace({column}::text, %s, %s)::jsonb"
                    where = f"strpos({column}::text, %s) > 0"
                else:
                    sql, where = f"{column} = replace({column}, %s, %s)", f"instr({column}, %s)"
                self._execute(sql, where, old, new, old)

    def _execute(self, assignment: str, where: str, *params: Any) -> None:
        key = self.room.pk if connection.vendor == "postgresql" else self.room.pk.hex
        table = Event._meta.db_table
        execute(
            f"UPDATE {table} SET {assignment} WHERE room_id = '{key}' AND {where}", list(params)
        )

    # Events.

    def change_events(self) -> None:
        self._rename_senders()
        self._note_edits()
        unknown = sum(map(self._update, self.bundle.iter_batches()))
        unknown += self._delete()
        if self._conflicts:
            listed = ", ".join(self._conflicts[:_MAX_LISTED])
            more = len(self._conflicts) - _MAX_LISTED
            raise ImportLocalChanges(
                f"The increment changes events that were edited here: {listed}"
                f"{f' and {more:,} more' if more > 0 else ''}.",
                events=self._conflicts[:1000],
            )
        self._require_known(unknown)
        self.rewriter.emptied.update(key for key in self._edited_here if "-" not in key)

    def get_new_events(self) -> tuple[Iterator[Batch], int]:
        return self._iter_new(), self.bundle.counts.added + len(self._inserted)

    def _update(self, batch: Batch) -> int:
        """Update the events of a batch that exist here; return how many are unexpectedly absent."""
        events = cast(Sequence[IncrementEvent], batch)
        olds = [event.id for event in events]
        by_id = dict(zip(self._new_id.map_to_hex(olds), events, strict=True))
        rows: dict[str, Event] = {}
        for part in batched(by_id):
            rows.update({row.pk.hex: row for row in find_events(self.room, part, locked=True)})
        if twice := [by_id[key].id for key in rows if by_id[key].change == "added"]:
            raise BundleDamaged(
                f"The increment adds event {twice[0]}, which exists already.",
                entry=MANIFEST,
                event_id=twice[0],
            )
        absent = {event.id for key, event in by_id.items() if key not in rows}
        absent = {event.id for event in events if event.id in absent and event.change == "changed"}
        self._inserted |= absent
        changed = [key for key, row in rows.items() if self._may_change(row, by_id[key])]
        if not changed:
            return len(absent)
        for part in batched(changed):
            self._forbid_held(events_here := Event.objects.filter(pk__in=part))
            for key, at in self._find_emptied(events_here).items():
                self.rewriter.emptied.add(key)
                by_id[key].redacted_at = at
        self.rewriter.rewrite(present := Batch(by_id[key] for key in changed))
        update_events(present, changed)
        self.result.changed += len(changed)
        return len(absent)

    def _find_emptied(self, events: QuerySet[Event]) -> dict[str, str]:
        """Return when events were emptied here, by their IDs as 32 digits.

        The source may change an event that it redacted before the import, unless a purge has
        emptied it: releases before 0.4 kept the time of the source then.
        """
        erasures = self.run.erasures
        return {
            key: at
            for key, (at, author) in find_emptied(events).items()
            if at > self._imported_at
            or key in self._edited_here
            or (author in erasures and erasures[author].until)
        }

    def _note_edits(self) -> None:
        """Note the events that were edited here before this increment, which the next ones can't
        tell.

        An edit after it is found by its time.
        """
        exported_at = datetime.fromisoformat(self.bundle.header.exported_at)
        if exported_at <= self._edited_after:
            return
        events = Event.objects.filter(room=self.room, edited_at__lte=exported_at)
        keys = events.filter(edited_at__gt=self._edited_after).values_list("pk", flat=True)
        self._edited_here.update(str(key) for key in keys if key.version == IMPORTED_VERSION)

    def _may_change(self, row: Event, event: BundleEvent | None) -> bool:
        """Return whether an event may be replaced; None as the new one means that it is deleted."""
        key = str(row.pk)
        is_redacted_here = event and row.redacted_at and not event.redacted_at
        is_edited_here = (
            row.edited_at
            and (row.edited_at > self._edited_after or key in self._edited_here)
            and (not event or event.edited_at != format_timestamp(row.edited_at))
            and self.local_changes is not LocalChanges.REPLACE
        )
        if is_redacted_here or is_edited_here:
            if not is_redacted_here and self.local_changes is LocalChanges.REFUSE:
                self._conflicts.append(key)
            self.result.kept_local += 1
            return False
        self._edited_here.discard(key)
        return True

    def _iter_new(self) -> Iterator[Batch]:
        for batch in self.bundle.iter_batches():
            events = cast(Sequence[IncrementEvent], batch)
            new = [each for each in events if each.change == "added" or each.id in self._inserted]
            if new:
                yield Batch(new)

    def _require_known(self, unknown: int) -> None:
        """Refuse an increment about more unknown events than the room lacks.

        It lacks events that an import strips, and events that were deleted here.
        """
        if not unknown:
            return
        here = sum(
            key.version == IMPORTED_VERSION
            for key in Event.objects.filter(room=self.room).values_list("pk", flat=True).iterator()
        )
        lacking = cast(int, self.imported.tip_events) - here - self._removed
        if unknown > lacking:
            raise BundleDamaged(
                f"The increment changes or deletes {pluralize(unknown - lacking, 'event')} that "
                "its base and its increments did not have.",
                entry=MANIFEST,
            )

    def _delete(self) -> int:
        """Delete events; return how many don't exist here."""
        deleted: set[UUID] = set()
        unknown = 0
        for olds in self.bundle.iter_deleted():
            for part in batched(self._new_id.map_to_hex(olds)):
                rows = find_events(self.room, part, locked=True)
                unknown += len(part) - len(rows)
                deleted.update(row.pk for row in rows if self._may_change(row, None))
        self.result.deleted = len(deleted)
        while deleted:
            self._removed += len(deleted)
            for keys in batched(deleted):
                self._forbid_held(going := Event.objects.filter(pk__in=keys))
                self._edited_here.update(self._find_emptied(going))
                going.delete()
            # A reaction to a reaction goes with it.
            deleted = self._cut_references({str(key) for key in deleted})
        return unknown

    def _cut_references(self, gone: set[str]) -> set[UUID]:
        """Cut references to events that are gone; return the events that are useless then."""
        useless: set[UUID] = set()
        for event_type, (key, is_needed) in REFERENCES.items():
            for column in ("content", "original_content"):
                rows = (
                    Event.objects.filter(room=self.room, event_type=event_type)
                    .annotate(target=KeyTextTransform(key, column))
                    .filter(target__isnull=False)
                    .values_list("pk", "target")
                )
                found = [
                    pk
                    for pk, target in rows.iterator()
                    if target in gone and pk.version == IMPORTED_VERSION
                ]
                if is_needed and column == "content":
                    useless.update(found)
                    continue
                for part in batched(found):
                    events = Event.objects.filter(pk__in=part)
                    self._forbid_held(events)
                    for row in events.select_for_update(no_key=True):
                        if content := getattr(row, column):  # It may have been redacted since.
                            content.pop(key, None)
                            row.save(update_fields=[column])
                self.result.references_cut += len(found)
        self.result.references_cut += len(useless)
        return useless

    def _rename_senders(self) -> None:
        """Apply changed descriptions of senders to all events that name them by their address."""
        for key, sender in self.bundle.header.senders.items():
            if not isinstance(sender, IncrementSender) or sender.change != "changed":
                continue
            before = self._kept.get(key) or sender.previous_fqid or sender.fqid
            fqid = self.run.origin.normalize(before)
            self._forbid_held(Event.objects.filter(imported_from_q([fqid]), room=self.room))
            description = json.dumps(self.rewriter.senders[key])
            for column in ("content", "original_content"):
                if connection.vendor == "postgresql":
                    assignment = (
                        f"{column} = {column} || jsonb_build_object('{IMPORTED_SENDER}', %s::jsonb)"
                    )
                    where = f"{column} -> '{IMPORTED_SENDER}' ->> 'fqid' = %s"
                else:
                    assignment = f"{column} = json_set({column}, '$.{IMPORTED_SENDER}', json(%s))"
                    where = f"json_extract({column}, '$.{IMPORTED_SENDER}.fqid') = %s"
                self._execute(assignment, where, description, fqid)

    def _note_renames(self) -> None:
        """Note new addresses of people, and erase names that earlier imports brought with them."""
        tenant = self.run.tenant
        # A bundle that proves no name has a say in its own room alone.
        renames = note_renames(tenant, self._renames) if self.run.is_named else {}
        for fqid, person in renames.items():
            events = Event.objects.filter(imported_from_q([fqid]), tenant=tenant)
            if not person.purged_at or not events.exists():
                continue
            if contains_held(events):
                raise ParticipantOnHold(
                    f"The increment has a new address of {person.pk}, whose data was erased here, "
                    "and a hold covers events with this address."
                )
            subject = PurgedPerson(person.pk, person.scaikey_id or "", frozenset(), frozenset())
            for eraser in PERSONAL_DATA_ERASERS:
                eraser.load()([subject], DELETED_NAME)
            texts = events.exclude(event_type__in=("swp.room.member", "swp.room.redaction"))
            rows = texts.values_list("content", "original_content").iterator()
            left = sum(not is_bare(*row) for row in rows)
            if person.messages_erased_at and left:
                self.result.warnings.append(
                    f"{pluralize(left, 'event')} of {fqid}, whose messages were erased here, came "
                    "with earlier imports. Run `scaiwave admin purge-participant "
                    f"{person.pk} --with-messages` again."
                )

    # The room and the record.

    def _follow_room(self) -> None:
        """Take over the fields of the room that were not changed here."""
        room, source = self.room, build_tip_room(self.bundle.header.room)
        before = self.imported.tip_room or {}
        for name in FOLLOWED_FIELDS:
            if getattr(room, name) == before.get(name) != source[name]:
                if name == "is_public" and source[name]:
                    source[name] = self.run.may_be_public
                    warning = publication_warning(source["name"], is_public=source[name])
                    self.result.warnings.append(warning)
                setattr(room, name, source[name])
        room.updated_at = self.run.now
        room.save(update_fields=[*FOLLOWED_FIELDS, "updated_at"])
        self.result.name = room.name

    def _record(self) -> None:
        header, imported, result = self.bundle.header, self.imported, self.result
        imported.links = [*imported.links, self.bundle.manifest_sha256]
        if self.run.is_named:
            imported.source_server_name = header.server_name
        imported.tip_exported_at = datetime.fromisoformat(header.exported_at)
        imported.tip_events = self.increment.after.events
        imported.tip_room = {**build_tip_room(header.room), _KEPT: self._kept}
        imported.edited_here = sorted(self._edited_here)
        imported.is_signed |= self.run.is_trusted
        imported.save()
        self.run.record(
            self.room,
            link=result.sequence,
            added=result.added,
            changed=result.changed,
            deleted=result.deleted,
        )
