"""Import an increment into the room that its base was imported as, completely or not at all.

The IDs of an imported room follow from the room and the old IDs, so an event is found without its
base. Work that was done here is protected: events of this server are never touched, redacted ones
stay redacted, and events that were edited here are changed only on request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast
from uuid import UUID

from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.fields.json import KeyTextTransform

from rooms.bundle.chain import gap_error
from rooms.bundle.chain_files import find_chain, open_chain_files
from rooms.bundle.format import IMPORTED_SENDER, INFECTED, MANIFEST, REFERENCES
from rooms.bundle.manifest.events import Batch, BundleEvent, LinkEvent
from rooms.bundle.manifest.schema import (
    Increment,
    LinkSender,
    ManifestHeader,
    MediaEntry,
    format_timestamp,
)
from rooms.bundle.reader import ValidatedBundle, read_bundle
from rooms.bundle.signature import VerificationStatus
from rooms.errors import (
    BundleChainOther,
    BundleDamaged,
    ImportLocalChanges,
    ImportRefused,
    ImportRunning,
)
from rooms.imports.events import EventDestination, update_events, write_events
from rooms.imports.id_mapping import EventRewriter, IdMapper
from rooms.imports.import_room import (
    FOLLOWED_FIELDS,
    build_origin,
    build_tip_room,
    check_signature,
    import_room,
    publication_warning,
    signature_warning,
    trusted_keys,
)
from rooms.imports.intents import (
    clean_up_abandoned,
    complete_intent,
    delete_released,
    import_intent,
    release_files,
)
from rooms.imports.media import MediaPlan, plan_media, store_files, write_media
from rooms.imports.permissions import ImportTarget, ensure_quota, resolve_target, revalidate_target
from rooms.imports.source import open_seekable
from rooms.lookup.holds import (
    contains_held,
    imported_from_q,
    is_file_held,
    require_room_not_held,
)
from rooms.models import (
    Event,
    ImportIntent,
    RemovedFile,
    Room,
    RoomImport,
    RoomMedia,
    ScanStatus,
)
from rooms.stream_positions import lock_stream, reserve_positions
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.sql import batched, execute
from tenants.audit.record import record_audit
from tenants.holds.queries import block_new_holds
from tenants.lookup.serializers import Row

_IMPORTED_VERSION = 8
"""The version of the UUIDs of imported events. Events of this server have another version."""
_MAX_LISTED = 5
_DRY_RUN_POSITION = 2**62
"""Where a dry run writes events before it takes them back."""


class LocalChanges(Enum):
    """What happens to events that were edited here since the last import."""

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
            return f"Link {self.sequence:,} was already imported into room {self.name!r}."
        verb = "Would import" if self.dry_run else "Imported"
        return (
            f"{verb} link {self.sequence:,} into room {self.name!r}: {self.added:,} added, "
            f"{self.changed:,} changed, {self.deleted:,} deleted."
        )

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


@dataclass(frozen=True)
class AppendOptions:
    """By whom and how increments are imported; `key` is trusted besides this server's own."""

    operator: Operator
    target: ImportTarget
    max_bytes: int
    now: datetime
    local_changes: LocalChanges = LocalChanges.REFUSE
    cut_references: bool = False
    dry_run: bool = False
    key: str | None = None
    require_signature: bool = False
    public: bool = False
    progress_factory: ProgressFactory = null_progress_factory


def append_link(
    *,
    operator: Operator,
    tenant: str,
    workspace: str,
    participant: str,
    file: BinaryIO,
    **options: Any,
) -> AppendResult:
    """Import one increment, from a file that may be a pipe. The options are of `AppendOptions`.

    Raises the errors of `import_room`; `BundleChainGap` or `BundleChainOther` if the increment does
    not follow the imported ones, `ImportLocalChanges`, and `OnHold` if it changes or deletes what a
    hold covers. Then nothing has changed: it can be imported once the hold is lifted.
    """
    operator.require(Permission.IMPORT_ROOMS)
    target = resolve_target(operator, tenant=tenant, workspace=workspace, participant=participant)
    if not options.get("dry_run"):
        clean_up_abandoned(options["now"])
    return _append(AppendOptions(operator, target, **options), file)


def import_chain(
    *,
    operator: Operator,
    tenant: str,
    workspace: str,
    participant: str,
    chain: Path,
    to_sequence: int | None = None,
    on_result: Callable[[Any], None],
    **options: Any,
) -> None:
    """Import the chain of a directory: its base, unless it was imported before, and each link.

    The whole chain is validated first. `on_result` gets the result of each bundle. An interrupted
    import leaves the last whole link, and the next one continues there. Raises the errors of
    `append_link`.
    """
    operator.require(Permission.IMPORT_ROOMS)
    options |= {
        "operator": operator,
        "tenant": tenant,
        "workspace": workspace,
        "participant": participant,
    }
    with open_chain_files(
        find_chain(chain),
        max_bytes=options["max_bytes"],
        progress_factory=options["progress_factory"],
        to_sequence=to_sequence,
    ) as opened:
        files = [Path(link.name) for link in opened.links]
    base_options = {**options, "once": True}
    del base_options["local_changes"]
    with files[0].open("rb") as file:
        on_result(import_room(file=file, **base_options))
    for path in files[1:]:
        with path.open("rb") as file:
            on_result(append_link(file=file, **options))


def _append(options: AppendOptions, file: BinaryIO) -> AppendResult:
    finder = _RoomFinder(options.target)
    with open_seekable(
        file, max_bytes=options.max_bytes, progress_factory=options.progress_factory
    ) as source:
        with options.progress_factory("Checking", ColumnType.BYTES) as progress:
            bundle = read_bundle(
                source.file,
                max_bytes=options.max_bytes,
                cut_references=options.cut_references,
                progress=progress,
                find_targets=finder.find_targets,
            )
        with bundle:
            if (increment := bundle.header.increment) is None:
                raise BundleChainOther(
                    "The bundle is a whole one, not an increment.",
                    fix="Import it without --append, as a new room.",
                )
            imported = finder.find(bundle.header)
            status = check_signature(
                bundle.signature, trusted_keys(options.key), required=options.require_signature
            )
            result = AppendResult(
                imported.room.pk,
                imported.room.name,
                increment.chain.sequence,
                status.value,
                dry_run=options.dry_run,
            )
            if _is_applied(imported, bundle.header, bundle.manifest_sha256):
                result.dry_run = False
                return result
            if warning := signature_warning(bundle.signature, status):
                result.warnings.append(warning)
            run = _AppendRun(options, bundle, increment, imported, status, result)
            run.write(source.require_unchanged)
    return result


def find_events(room: Room, ids: Sequence[str]) -> list[Event]:
    """Return the events of the room with these IDs, with the fields to check.

    The room is compared here, because SQLite would read the whole room to look for few events.
    """
    found = Event.objects.filter(pk__in=ids).only("pk", "room_id", "edited_at", "redacted_at")
    return [event for event in found if event.room_id == room.pk]


class _RoomFinder:
    """Finds the room of an increment, and events in it."""

    def __init__(self, target: ImportTarget) -> None:
        self._target = target
        self._found: RoomImport | None = None

    def find(self, header: ManifestHeader) -> RoomImport:
        """Return the newest import of the base into the workspace. Raises `BundleChainOther`."""
        if self._found is None:
            root = cast(Increment, header.increment).chain.root
            self._found = (
                RoomImport.objects.filter(
                    tenant=self._target.tenant,
                    manifest_sha256=root,
                    room__workspace=self._target.workspace,
                    room__deleted_at=None,
                )
                .select_related("room")
                .order_by("-created_at", "-pk")
                .first()
            )
            if self._found is None:
                raise BundleChainOther(
                    f"No room of workspace {self._target.workspace.slug} was imported from the "
                    f"base of this increment, whose manifest has the SHA-256 {root}.",
                    fix="Import the base first, or the whole chain with --chain.",
                )
            if self._found.source_room_id != header.room.id:
                raise BundleChainOther("The increment is of another room than its base.")
        return self._found

    def find_targets(self, header: ManifestHeader, targets: Sequence[str]) -> Iterator[str]:
        """Yield the IDs, as the bundle has them, of events that exist in the room."""
        room = self.find(header).room
        valid = [target for target in targets if len(target) == 36]
        new_ids = dict(zip(IdMapper(room.pk).map_to_hex(valid), valid, strict=True))
        for part in batched(new_ids):
            for event in find_events(room, part):
                yield new_ids[event.pk.hex]


def _is_applied(imported: RoomImport, header: ManifestHeader, manifest_sha256: str) -> bool:
    """Return whether a link was imported before. Raises an error if it is not the next one."""
    if imported.tip_exported_at is None:
        raise ImportRefused(
            f"Room {imported.room_id} was imported by a release without --append.",
            fix="Nothing was imported. Import the chain again, as a new room.",
        )
    increment = cast(Increment, header.increment)
    links, sequence = imported.links, increment.chain.sequence
    if sequence <= len(links):
        if links[sequence - 1] != manifest_sha256:
            raise BundleChainOther(f"Another link {sequence:,} was imported before.")
        return True
    if sequence > len(links) + 1:
        raise gap_error(range(len(links) + 1, sequence), sequence - len(links) - 1)
    if increment.chain.parent != (links[-1] if links else imported.manifest_sha256):
        raise BundleChainOther(f"The increment does not follow link {len(links):,} of this room.")
    tip = format_timestamp(imported.tip_exported_at)
    if not tip == increment.chain.since <= header.exported_at:
        raise BundleChainOther(f"The increment was exported before link {len(links):,}.")
    return False


@dataclass
class _AppendRun:
    """One increment in progress."""

    options: AppendOptions
    bundle: ValidatedBundle
    increment: Increment
    imported: RoomImport
    status: VerificationStatus
    result: AppendResult

    def __post_init__(self) -> None:
        self._is_trusted = self.status is VerificationStatus.VALID
        self._origin = build_origin(self.bundle.signature if self._is_trusted else None)
        self.room: Room = self.imported.room
        self._new_id = IdMapper(self.room.pk)
        self._conflicts: list[str] = []
        self._inserted: set[str] = set()
        self._removed = 0
        self._unlinked: set[UUID] = set()
        self._released: ImportIntent | None = None

    def write(self, require_unchanged: Callable[[], None]) -> None:
        """Store the files, then write all rows in one transaction."""
        options, bundle, result = self.options, self.bundle, self.result
        tenant = options.target.tenant
        self._require_total()
        plan = plan_media(tenant.pk, self._list_carried(), trusted=self._is_trusted)
        ensure_quota(tenant, added_bytes=plan.added_bytes, adds_room=False)
        result.media_stored = len(plan.to_store)
        if options.dry_run:
            with transaction.atomic(durable=True):
                self._write_rows(plan, _DRY_RUN_POSITION)
                transaction.set_rollback(True)
            return
        hashes = [entry.sha256 for entry in plan.to_store]
        with import_intent(
            hashes, operator=options.operator, tenant=tenant, now=options.now
        ) as intent:
            with options.progress_factory("Storing attachments", ColumnType.BYTES) as progress:
                store_files(
                    plan, tenant_id=tenant.pk, open_media=bundle.open_media, progress=progress
                )
            first_position = reserve_positions(tenant.pk, bundle.counts.kept)
            with transaction.atomic(durable=True):
                self._write_rows(plan, first_position)
                require_unchanged()
                lock_stream(tenant.pk)
                ensure_quota(tenant, added_bytes=plan.added_bytes, written=True, adds_room=False)
                complete_intent(intent)
        result.applied = True
        if self._released:
            delete_released(self._released)

    def _write_rows(self, plan: MediaPlan, first_position: int) -> None:
        block_new_holds()
        revalidate_target(self.options.operator, self.options.target)
        self._lock()
        before = self._map_media()
        write_media(plan, room=self.room, now=self.options.now)
        self._follow_media()
        media_ids = self._map_media()
        self._replace_media_ids(before, media_ids)
        self._write_events(first_position, media_ids)
        self._released = release_files(
            self._unlinked,
            operator=self.options.operator,
            tenant_id=self.options.target.tenant.pk,
            now=self.options.now,
        )
        self._follow_room()
        self._record()

    def _require_total(self) -> None:
        """Check the number of events after the link, as far as this server can."""
        events = cast(int, self.imported.tip_events) + self.bundle.counts.added
        events -= self.increment.deleted
        if self.increment.after.events != events:
            raise BundleDamaged(
                f"The room after the increment has {events:,} events, but "
                f"{self.increment.after.events:,} according to its `after`.",
                entry=MANIFEST,
            )

    def _lock(self) -> None:
        """Lock the record of the import. Raises `ImportRunning` if it has changed."""
        locked = RoomImport.objects.select_for_update().filter(pk=self.imported.pk).first()
        if locked is None or locked.links != self.imported.links:
            raise ImportRunning("Another import into this room has just ended.")
        room = Room.objects.select_for_update().filter(pk=self.room.pk).first()
        if room is None:
            raise ImportRefused(f"Room {self.room} was just deleted.")
        self.room = room
        if self.increment.media_removed:
            require_room_not_held(self.room, self._describe_effect())

    def _describe_effect(self) -> str:
        return f"import link {self.result.sequence:,} into room {self.room}, which erases something"

    def _forbid_held(self, events: QuerySet[Event]) -> None:
        """Raise `OnHold` if one of these events, which would change or go, is on hold."""
        if contains_held(events):
            require_room_not_held(self.room, self._describe_effect())

    # Attachments.

    def _list_media(self) -> list[MediaEntry]:
        """Return the attachments of the link, except files that were removed from the room here."""
        removed = RemovedFile.objects.filter(room=self.room).values_list("sha256", flat=True)
        hashes = frozenset(removed)
        return [entry for entry in self.bundle.header.media if entry.sha256 not in hashes]

    def _list_carried(self) -> list[MediaEntry]:
        """Return the attachments whose bytes are in this link, or nowhere."""
        return [
            entry
            for entry in self._list_media()
            if entry.missing is not None or self.bundle.has_media(entry.sha256)
        ]

    def _map_media(self) -> dict[str, str]:
        """Return the ID here of each attachment of the room, by its ID in the bundle."""
        rows = RoomMedia.objects.filter(room=self.room, source_media_id__isnull=False)
        return {str(old): str(new) for old, new in rows.values_list("source_media_id", "media_id")}

    def _follow_media(self) -> None:
        """Link names whose file the room has, follow scans, and unlink what the source removed.

        A hash alone never links a file: it must be attached to this room already.
        """
        links = RoomMedia.objects.filter(room=self.room)
        for entry in self._list_media():
            same_file = links.filter(media__sha256=entry.sha256).select_related("media").first()
            if same_file is None:
                continue
            if entry.missing == INFECTED and not self._is_trusted:
                self._unlink(entry.media_id, entry.name)
                continue
            RoomMedia.objects.get_or_create(
                room=self.room,
                media=same_file.media,
                name=entry.name,
                defaults={
                    "tenant_id": self.room.tenant_id,
                    "source_media_id": entry.media_id,
                    "created_at": self.options.now,
                },
            )
            media = same_file.media
            # An infected file stays infected here.
            if self._is_trusted and media.scan_status != ScanStatus.INFECTED:
                media.scan_status = entry.scan_status
                media.save(update_fields=["scan_status"])
                if entry.scan_status == ScanStatus.INFECTED and not is_file_held(media):
                    transaction.on_commit(partial(default_storage.delete, media.storage_name))
        for removed in self.increment.media_removed:
            self._unlink(removed.media_id, removed.name)

    def _unlink(self, media_id: str, name: str) -> None:
        """A file that this server had before the room may have uses besides rooms, so it stays."""
        rows = RoomMedia.objects.filter(room=self.room, source_media_id=media_id, name=name)
        own = rows.filter(media__created_at__gte=self.imported.created_at)
        self._unlinked.update(own.values_list("media", flat=True))
        self.result.media_removed += rows.delete()[0]

    def _replace_media_ids(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Let events refer to a file that was just linked, and no longer to one that was unlinked.

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

    def _write_events(self, first_position: int, media_ids: Mapping[str, str]) -> None:
        build_rewriter = partial(
            EventRewriter,
            self._new_id,
            senders=self.bundle.header.senders,
            media_ids=media_ids,
            origin=self._origin,
        )
        rewriter = build_rewriter()
        self._rename_senders(rewriter)
        unknown = 0
        for batch in self.bundle.iter_batches():
            unknown += self._update(batch, rewriter)
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
        new_rewriter = build_rewriter()
        total = self.bundle.counts.added + len(self._inserted)
        with self.options.progress_factory("Writing events") as progress:
            self.result.added = write_events(
                self._iter_new(),
                EventDestination(self.room, first_position, new_rewriter),
                total=total,
                progress=progress,
            )
        self.result.references_cut += self.bundle.counts.references_cut

    def _update(self, batch: Batch, rewriter: EventRewriter) -> int:
        """Update the events of a batch that exist here; return how many are unexpectedly absent."""
        events = cast(Sequence[LinkEvent], batch)
        olds = [event.id for event in events]
        by_id = dict(zip(self._new_id.map_to_hex(olds), events, strict=True))
        rows: dict[str, Event] = {}
        for part in batched(by_id):
            rows.update({row.pk.hex: row for row in self._find(part)})
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
            self._forbid_held(Event.objects.filter(pk__in=part))
        rewriter.rewrite(present := Batch(by_id[key] for key in changed))
        update_events(present, changed)
        self.result.changed += len(changed)
        return len(absent)

    def _find(self, new_ids: Sequence[str]) -> list[Event]:
        return find_events(self.room, new_ids)

    def _may_change(self, row: Event, event: BundleEvent | None) -> bool:
        """Return whether an event may be replaced; None as the new one means that it is deleted."""
        tip = self.imported.tip_exported_at
        edited_at = format_timestamp(row.edited_at) if row.edited_at else None
        is_edited_here = bool(
            row.edited_at
            and tip
            and row.edited_at > tip
            and (not event or event.edited_at != edited_at)
        )
        if is_edited_here and self.options.local_changes is LocalChanges.REFUSE:
            self._conflicts.append(str(row.pk))
        is_redacted_here = bool(event and row.redacted_at and not event.redacted_at)
        is_kept = is_edited_here and self.options.local_changes is not LocalChanges.REPLACE
        self.result.kept_local += is_kept or is_redacted_here
        return not is_kept and not is_redacted_here

    def _iter_new(self) -> Iterator[Batch]:
        for batch in self.bundle.iter_batches():
            events = cast(Sequence[LinkEvent], batch)
            new = [each for each in events if each.change == "added" or each.id in self._inserted]
            if new:
                yield Batch(new)

    def _require_known(self, unknown: int) -> None:
        """Refuse a link about more unknown events than the room lacks.

        It lacks events that an import strips, and events that were deleted here.
        """
        if not unknown:
            return
        here = sum(
            key.version == _IMPORTED_VERSION
            for key in Event.objects.filter(room=self.room).values_list("pk", flat=True).iterator()
        )
        lacking = cast(int, self.imported.tip_events) - here - self._removed
        if unknown > lacking:
            raise BundleDamaged(
                f"The increment changes or deletes {unknown - lacking:,} events that its base and "
                "its links did not have.",
                entry=MANIFEST,
            )

    def _delete(self) -> int:
        """Delete events; return how many don't exist here."""
        deleted: set[UUID] = set()
        unknown = 0
        for olds in self.bundle.iter_deleted():
            for part in batched(self._new_id.map_to_hex(olds)):
                rows = list(self._find(part))
                unknown += len(part) - len(rows)
                deleted.update(row.pk for row in rows if self._may_change(row, None))
        self.result.deleted = len(deleted)
        while deleted:
            self._removed += len(deleted)
            for keys in batched(deleted):
                self._forbid_held(Event.objects.filter(pk__in=keys))
                Event.objects.filter(pk__in=keys).delete()
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
                    if target in gone and pk.version == _IMPORTED_VERSION
                ]
                if is_needed and column == "content":
                    useless.update(found)
                    continue
                for part in batched(found):
                    self._forbid_held(Event.objects.filter(pk__in=part))
                    for row in Event.objects.filter(pk__in=part):
                        getattr(row, column).pop(key)
                        row.save(update_fields=[column])
                self.result.references_cut += len(found)
        self.result.references_cut += len(useless)
        return useless

    def _rename_senders(self, rewriter: EventRewriter) -> None:
        """Apply changed descriptions of senders to all events that name them by their address."""
        for key, sender in self.bundle.header.senders.items():
            if not isinstance(sender, LinkSender) or sender.change != "changed":
                continue
            fqid = sender.previous_fqid or sender.fqid
            self._forbid_held(Event.objects.filter(imported_from_q([fqid]), room=self.room))
            description = json.dumps(rewriter.senders[key])
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

    # The room and the record.

    def _follow_room(self) -> None:
        """Take over the fields of the room that were not changed here."""
        room, source = self.room, build_tip_room(self.bundle.header.room)
        before = self.imported.tip_room or {}
        may_be_public = self._is_trusted or self.options.public
        for name in FOLLOWED_FIELDS:
            if getattr(room, name) == before.get(name) != source[name]:
                if name == "is_public" and source[name]:
                    self.result.warnings.append(
                        publication_warning(source["name"], is_public=may_be_public)
                    )
                    source[name] = may_be_public
                setattr(room, name, source[name])
        room.updated_at = self.options.now
        room.save(update_fields=[*FOLLOWED_FIELDS, "updated_at"])
        self.result.name = room.name

    def _record(self) -> None:
        header, imported, options = self.bundle.header, self.imported, self.options
        imported.links = [*imported.links, self.bundle.manifest_sha256]
        imported.tip_exported_at = datetime.fromisoformat(header.exported_at)
        imported.tip_events = self.increment.after.events
        imported.tip_room = build_tip_room(header.room)
        imported.save(update_fields=["links", "tip_exported_at", "tip_events", "tip_room"])
        result = self.result
        record_audit(
            operator=options.operator,
            action="import-room",
            subject=self.room,
            tenant=options.target.tenant,
            now=options.now,
            details={
                "workspace": options.target.workspace.slug,
                "participant": str(options.target.participant.pk),
                "from_room": header.room.id,
                "from_server": header.server_name,
                "manifest_sha256": self.bundle.manifest_sha256,
                "link": result.sequence,
                "added": result.added,
                "changed": result.changed,
                "deleted": result.deleted,
            },
        )
