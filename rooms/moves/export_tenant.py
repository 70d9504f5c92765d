"""Export a tenant into a directory: its tables, its rooms as chains of bundles, a signed index.

The rooms are exported first, then the tables from one snapshot, so that everyone who wrote in a
room is in them. An export that ends early leaves the earlier index, and the files it lists, as they
were; the next one continues.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from uuid import UUID

from django.db import transaction
from django.db.models import Count, Max

from federation.errors import NoSigningKey
from rooms.bundle.chain_files import find_last_base, list_bundles, open_chain_files
from rooms.bundle.format import SIGNATURE_ALGORITHM
from rooms.bundle.manifest.schema import WHOLE_ROOM, format_timestamp
from rooms.errors import ExportIncomplete, TenantExportBusy, TenantReferenced
from rooms.exports.export_room import BundleSigner, load_signer
from rooms.exports.export_rooms import (
    ChainOptions,
    ExportOutcome,
    RoomOutcome,
    create_directory,
    iter_room_exports,
)
from rooms.exports.sinks import lock_directory
from rooms.exports.snapshot import snapshot
from rooms.imports.intents import clean_up_abandoned
from rooms.lookup.export_metadata import export_blocker, get_media, get_room
from rooms.lookup.media import mark_missing
from rooms.models import Event, ImportIntent, Room, RoomMember
from rooms.moves.index import (
    AUDIT,
    INDEX,
    BundleInfo,
    FileInfo,
    RoomEntry,
    TenantIndex,
    TenantInfo,
    find_index,
    hash_file,
    name_rows,
    write_index,
)
from rooms.moves.result import add_missing, list_not_exported, with_missing
from rooms.moves.rows import ROOM_COLUMNS, iter_tenant_tables, load_tables, write_rows
from scaiwave import __version__
from scaiwave.console.progress import ProgressFactory
from scaiwave.console.text import pluralize
from scaiwave.core.errors import FileExists, UsageError
from scaiwave.core.files import (
    atomic_directory,
    make_directories,
    remove_drafts_in,
    translate_write_errors,
)
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from tenants.audit.export_audit import iter_tenant_audit
from tenants.audit.record import record_audit
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row, get_server_name
from tenants.lookup.validators import validate_reason
from tenants.models import Tenant
from tenants.people.suspension import suspend_tenant

FULL_EVERY = 30
_NOT_FROZEN = (
    "People could write while the tenant was exported. For the move, export again with --freeze "
    "--incremental."
)
_CREATED_LATER = "it was created during the export; export again with --incremental"


@dataclass(frozen=True)
class ExportTenantOptions:
    directory: Path
    incremental: bool
    freeze: bool
    reason: str
    max_bytes: int
    clock: Callable[[], datetime]
    confirm: Callable[[str], None]
    progress_factory: ProgressFactory
    missing_files: int = 0
    """How many files may be missing in the media store without an error."""


def _build_result(tenant: Tenant, rooms: list[RoomEntry], *, frozen: bool, dry_run: bool) -> Report:
    """Return the rooms that are, or would be, in the export, and the others with the reason."""
    others = list_not_exported(rooms)
    not_exported = sum(room["events"] for room in others)
    figures = {
        "tenant": tenant.slug,
        "rooms": len(rooms) - len(others),
        "rooms_not_exported": len(others),
        "events": sum(room.events for room in rooms) - not_exported,
        "events_not_exported": not_exported,
        "frozen": frozen,
    }
    what = f"tenant {tenant.slug} with {pluralize(len(rooms) - len(others), 'room')}"
    sentence = f"Would export {what}. No changes were made." if dry_run else f"Exported {what}."
    warnings = [] if frozen or dry_run else [_NOT_FROZEN]
    return Report(figures, sentence, {"not_exported": others}, warnings, changed=True)


def export_tenant(
    *, operator: Operator, tenant: str, options: ExportTenantOptions, dry_run: bool = False
) -> Report:
    """Write the export, or with `incremental` the changes since the last one.

    With `freeze`, the tenant is suspended first and no one may write until the end. Rooms that must
    not leave the server are listed with the reason. Raises `TenantNotFound`, `NoSigningKey`,
    `FileExists`, `ExportRunning`, `ExportIncomplete`, `TenantExportBusy`, `TenantReferenced` and
    the errors of `export_rooms`.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    validate_reason(options.reason)
    resolved, directory = resolve_tenant(operator, tenant), options.directory
    previous = find_index(directory)
    if previous is not None and previous.tenant.id != str(resolved.pk):
        raise UsageError(
            f"{directory} has the export of another tenant, {previous.tenant.slug}.",
            fix="Pass another directory.",
        )
    if previous is not None and not options.incremental:
        raise FileExists(
            f"{directory / INDEX} already exists. It is unchanged.",
            fix="Pass --incremental to add the changes since, or another directory.",
        )
    if (signer := load_signer(options.clock())) is None:
        raise NoSigningKey("This server has no signing key, so no one could trust the export.")
    rooms = _list_rooms(resolved)
    _require_own_members(resolved, rooms)
    if dry_run:
        result = _build_result(resolved, rooms, frozen=options.freeze, dry_run=True)
        return with_missing(result, _find_missing(resolved, rooms), options.missing_files)
    if options.freeze:
        suspend_tenant(
            operator=operator,
            name=str(resolved.pk),
            reason=options.reason or "frozen for a move",
            confirm=options.confirm,
            now=options.clock(),
        )
        # An import that has not announced itself yet finds the tenant suspended.
        clean_up_abandoned(options.clock())
        if ImportIntent.objects.filter(tenant=resolved, is_deletion=False).exists():
            raise TenantExportBusy(
                f"An import into tenant {resolved.slug} is in progress.",
                fix="Wait for its end, then run the same command again.",
            )
    create_directory(directory)
    with translate_write_errors(directory), lock_directory(directory):
        export = _Export(operator, resolved, options, signer, previous)
        index = export.run()
    result = _build_result(resolved, index.rooms, frozen=index.frozen, dry_run=False)
    return with_missing(result, export.missing, options.missing_files)


def _require_own_members(tenant: Tenant, rooms: list[RoomEntry]) -> None:
    """Raises `TenantReferenced`: no one could import a room with people who are not exported."""
    others = [UUID(room.id) for room in rooms if room.reason is not None]
    members = RoomMember.objects.filter(tenant=tenant).exclude(participant__tenant=tenant)
    if member := members.exclude(room__in=others).select_related("participant").first():
        raise TenantReferenced(
            f"Room {member.room_id} has a member of another tenant: {member.participant}.",
            fix="Nothing was exported. Remove people of other tenants from its rooms first.",
        )


def _list_rooms(tenant: Tenant) -> list[RoomEntry]:
    """Return the rooms as they are, without bundles."""
    counts = dict(
        Event.objects.filter(tenant=tenant).order_by().values_list("room").annotate(Count("pk"))
    )
    return [
        RoomEntry(
            str(room.pk),
            str(room),
            room.room_type,
            counts.get(room.pk, 0),
            reason="it is deleted" if room.deleted_at else export_blocker(room),
        )
        for room in Room.all_objects.filter(tenant=tenant).order_by("pk")
    ]


def _find_missing(tenant: Tenant, rooms: list[RoomEntry]) -> dict[str, Row]:
    """Return the files of exported rooms that the media store lacks now."""
    missing: dict[str, Row] = {}
    for entry in rooms:
        if entry.reason is None and (room := get_room(UUID(entry.id))):
            mark_missing(tenant.pk, media := get_media(room), with_bytes=True)
            add_missing(missing, entry.id, media)
    return missing


@dataclass
class _Export:
    operator: Operator
    tenant: Tenant
    options: ExportTenantOptions
    signer: BundleSigner
    previous: TenantIndex | None
    created_later: bool = False
    """Whether a room was created during the export."""
    missing: dict[str, Row] = field(default_factory=dict)
    """Files that the media store lacks, by their IDs."""

    def run(self) -> TenantIndex:
        begun_at = self.options.clock()
        with transaction.atomic():
            record_audit(
                operator=self.operator,
                action="export-tenant",
                subject=self.tenant,
                tenant=self.tenant,
                now=begun_at,
                details={
                    "incremental": self.options.incremental,
                    "freeze": self.options.freeze,
                    **({"reason": self.options.reason} if self.options.reason else {}),
                },
                is_change=False,
            )
        last_position = self._find_last_position()
        bundled = self._export_rooms()
        sequence = self.previous.sequence + 1 if self.previous else 0
        rows = self.options.directory / name_rows(sequence, AUDIT)
        make_directories(rows.parent.parent)
        remove_drafts_in(rows.parent.parent)
        # What an export that was interrupted has left under this number is not in any index.
        with atomic_directory(rows.parent, overwrite=True) as draft:
            now = self.options.clock()
            files, entries = self._write_tables(draft, bundled, now)
        has_changed = self._find_last_position() != last_position or self.created_later
        open_tenants = Tenant.objects.filter(suspended_by_hand_at=None)
        if self.options.freeze and (has_changed or open_tenants.contains(self.tenant)):
            raise TenantExportBusy(
                "Someone wrote in the tenant, or resumed it, while it was exported."
            )
        index = TenantIndex(
            format="scaiwave-tenant-export", version=1, generator=f"scaiwave {__version__}",
            server_name=get_server_name(), sequence=sequence, begun_at=format_timestamp(begun_at),
            snapshot_at=format_timestamp(now), frozen=self.options.freeze,
            tenant=TenantInfo(
                str(self.tenant.pk), self.tenant.slug, self.tenant.name,
                self.tenant.scaikey_tenant_id,
            ),
            files=files, rooms=entries,
            elsewhere={each.model: each.reason for each in iter_tenant_tables() if each.reason},
            key_id=self.signer.key_id, algorithm=SIGNATURE_ALGORITHM,
        )  # fmt: skip
        write_index(self.options.directory, index, self.signer)
        for other in rows.parent.parent.iterdir():
            # Nothing but rows of earlier exports: other files are someone else's.
            if other != rows.parent and other.name.isdecimal() and other.is_dir():
                shutil.rmtree(other)
        return index

    def _find_last_position(self) -> int | None:
        rows = Event.objects.filter(tenant=self.tenant)
        position: int | None = rows.aggregate(last=Max("stream_position"))["last"]
        return position

    def _export_rooms(self) -> dict[str, RoomEntry]:
        """Export every room, and return the entries of the index of those with bundles."""
        options, before = self.options, self.previous.exported if self.previous else []
        known = {room.id: room for room in before}
        entries, failed = {}, []
        with options.progress_factory("Exporting rooms") as progress:
            outcomes = iter_room_exports(
                operator=self.operator,
                tenant=self.tenant,
                directory=options.directory / "rooms",
                window=WHOLE_ROOM,
                with_media=True,
                clock=options.clock,
                chains=ChainOptions(FULL_EVERY, even_if_empty=False, max_bytes=options.max_bytes),
                progress=progress,
            )
            with closing(outcomes):
                for outcome in outcomes:
                    if outcome.outcome is ExportOutcome.FAILED:
                        failed.append(outcome)
                    elif outcome.outcome is not ExportOutcome.REFUSED:
                        key = str(outcome.room.pk)
                        entries[key] = self._describe(outcome, known.get(key))
                        add_missing(self.missing, key, outcome.media)
        if failed:
            raise ExportIncomplete(
                f"Export failed for {pluralize(len(failed), 'room')}, first {failed[0].room.pk}: "
                f"{failed[0].reason}",
                fix="Fix the reason. If it is a bundle, delete its room's directory below rooms/. "
                "Then run the same command again; it keeps complete bundles.",
            )
        return entries

    def _describe(self, outcome: RoomOutcome, before: RoomEntry | None) -> RoomEntry:
        """Return the entry of a room, from the last index and the export if they have it."""
        room, result, file = outcome.room, outcome.result, outcome.file
        if file is None:
            raise RuntimeError("A room that was exported has no file.")
        last = before.links[-1].name if before and before.links else ""
        base = {"id": str(room.pk), "name": str(room), "room_type": room.room_type}
        if before and result is None and last == file.name:
            return RoomEntry(**base, events=before.events, media=before.media, links=before.links)
        if result and result.manifest_sha256:
            item = _describe_bundle(file, result.manifest_sha256)
            if result.increment is None:
                return RoomEntry(**base, events=result.events, media=result.media, links=[item])
            after = result.after
            if before and after and last and int(last[:-4]) + 1 == int(file.stem):
                bundles = [*before.links, item]
                return RoomEntry(**base, events=after.events, media=after.media, links=bundles)
        # An export that was interrupted has written bundles that no index lists.
        files = list_bundles(file.parent)
        files = files[find_last_base(files) :]
        with open_chain_files(files, max_bytes=self.options.max_bytes) as chain:
            bundles = [
                _describe_bundle(path, item.bundle.manifest_sha256)
                for path, item in zip(files, chain.bundles, strict=True)
            ]
            totals = chain.totals[-1]
        return RoomEntry(**base, events=totals.events, media=totals.media, links=bundles)

    def _write_tables(
        self, directory: Path, bundled: dict[str, RoomEntry], now: datetime
    ) -> tuple[dict[str, FileInfo], list[RoomEntry]]:
        """Write all tables from one snapshot; return the files, and the rooms of the index."""
        files: dict[str, FileInfo] = {}
        with snapshot():
            entries = []
            for entry in _list_rooms(self.tenant):
                if entry.reason is None and (found := bundled.get(entry.id)):
                    entries.append(found)
                else:
                    reason = entry.reason or _CREATED_LATER
                    self.created_later |= entry.reason is None
                    entries.append(
                        RoomEntry(entry.id, "", entry.room_type, entry.events, reason=reason)
                    )
            exported = {entry.id for entry in entries if entry.reason is None}
            for table in load_tables().values():
                selected = cast(Generator[Any], table.select(self.tenant.pk).iterator(2000))
                with closing(selected):  # A full disk must not leave the query open.
                    rows: Iterator[Any] = selected
                    if room_column := ROOM_COLUMNS.get(table.name):
                        rows = (row for row in selected if str(row[room_column]) in exported)
                    files[table.name] = write_rows(directory / f"{table.name}.jsonl", rows)
            path = directory / f"{AUDIT}.jsonl"
            files[AUDIT] = write_rows(path, iter_tenant_audit(self.tenant.pk, now))
        return files, entries


def _describe_bundle(file: Path, manifest_sha256: str) -> BundleInfo:
    with file.open("rb") as opened:
        return BundleInfo(file.name, *hash_file(opened), manifest_sha256)
