"""Export a room: a bundle that is built while it is read, from one snapshot of the database."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Generic, TypeVar
from uuid import UUID

import msgspec
from django.db import transaction

from federation.keys import ed25519
from federation.keys.encryption import decrypt_seed
from federation.keys.queries import signing_key
from rooms.bundle.archive.writer import join_small
from rooms.bundle.format import INFECTED, LEFT_OUT, LOST
from rooms.bundle.manifest.schema import (
    WHOLE_ROOM,
    ChainTotals,
    ManifestHeader,
    MediaEntry,
    Sender,
    TimeWindow,
    format_timestamp,
)
from rooms.bundle.signature import Signer
from rooms.bundle.writer import BundleWriter
from rooms.errors import ExportDamaged, ExportRefused, MediaFilesMissing, NotMember, RoomNotFound
from rooms.exports.events import stream_events
from rooms.exports.snapshot import snapshot
from rooms.lookup.authors import Author
from rooms.lookup.export_metadata import (
    build_room_info,
    export_blocker,
    get_media,
    get_room,
    get_senders,
)
from rooms.lookup.media import TenantMedia, mark_missing
from rooms.lookup.resolve import resolve_room
from rooms.models import Membership, Room, RoomMember
from scaiwave import __version__
from scaiwave.console.output import format_bytes
from scaiwave.console.progress import ProgressCallback, null_progress
from scaiwave.console.text import pluralize
from scaiwave.core.bulk import list_some
from scaiwave.core.operators import Operator, Permission
from tenants.accounts.callers import Caller
from tenants.audit.record import record_audit
from tenants.counters import increment_counters
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row, get_server_name
from tenants.lookup.validators import validate_reason

Result = TypeVar("Result")


@dataclass(frozen=True)
class BundleSigner:
    """This server's signing key; its ID is part of the signed text."""

    key_id: str
    seed: bytes = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        return ed25519.sign(data, self.seed)


@dataclass(frozen=True)
class ExportOptions:
    """What the bundle contains, who signs it, and details for the audit log.

    `transcript` is the format of the transcript that is made of it.
    """

    window: TimeWindow
    with_media: bool
    now: datetime
    signer: Signer | None
    progress: ProgressCallback
    read_connection: sqlite3.Connection | None = None
    """What `open_read_connection` returned, if several rooms are exported."""
    reason: str = ""
    transcript: str = ""
    started: float = field(default_factory=time.monotonic)
    """When `now` was read, by the monotonic clock."""

    @property
    def present(self) -> datetime:
        """The time after what this process has done since `now`."""
        return self.now + timedelta(seconds=time.monotonic() - self.started)


@dataclass(frozen=True)
class IncrementCounts:
    """An increment: its number in the chain, the time of the bundle before, and its events."""

    sequence: int
    since: str
    added: int
    changed: int
    deleted: int
    media_removed: int


@dataclass(frozen=True)
class ExportResult:
    """`media` counts names; `missing` counts those without bytes, by reason.

    `size` is the size of the bundle in bytes; `key_id` is None for an unsigned bundle. `after` is
    the whole room after an increment, and `room_media` all its attachments.
    """

    room_id: UUID
    name: str
    window: TimeWindow | None
    events: int
    senders: int
    media: int
    missing: Counter[str]
    size: int
    manifest_sha256: str | None
    key_id: str | None
    increment: IncrementCounts | None = None
    after: ChainTotals | None = None
    room_media: Sequence[MediaEntry] = ()
    lost: Sequence[str] = ()
    """The names of attachments whose files the media store has lost or damaged."""
    damaged: Sequence[str] = ()
    """The names of `lost` whose files had other bytes when they were read."""

    def document(self) -> Row:
        return {
            **({"increment": asdict(self.increment)} if self.increment else {}),
            "room": {"id": self.room_id, "name": self.name},
            "window": self.window
            and {"starts_at": self.window.since, "ends_at": self.window.until},
            "events": self.events,
            "senders": self.senders,
            "media": self.media,
            "missing_media": {
                "infected": self.missing[INFECTED],
                "lost": self.missing[LOST],
                "left_out": self.missing[LEFT_OUT],
            },
            "size_bytes": self.size,
            "manifest_sha256": self.manifest_sha256,
            "key_id": self.key_id,
        }

    def sentences(self) -> Iterator[str]:
        room = f"room {self.name!r}" if self.name else f"room {self.room_id}"
        if self.increment and not self.size:
            yield f"Nothing changed in {room} since {self.increment.since}; no file was written."
            return
        if self.increment:
            removed = self.increment.media_removed
            yield (
                f"Exported the changes of {room} since {self.increment.since} as increment "
                f"{self.increment.sequence:,}: {self.increment.added:,} added, "
                f"{self.increment.changed:,} "
                f"changed, {self.increment.deleted:,} deleted"
                + (f", {pluralize(removed, 'attachment')} removed." if removed else ".")
            )
        yield (
            f"Exported {room}: {pluralize(self.events, 'event')} from "
            f"{pluralize(self.senders, 'sender')}, {pluralize(self.media, 'attachment')}, "
            f"{format_bytes(self.size)}."
        )
        for reason in (INFECTED, LEFT_OUT):
            if count := self.missing[reason]:
                yield f"Without the files of {pluralize(count, 'attachment')}: {reason}."
        if self.key_id:
            yield f"Signed with key {self.key_id}."
        else:
            yield "Not signed: this server has no signing key."

    @property
    def error(self) -> MediaFilesMissing | None:
        return build_damage_error(self.damaged) if self.damaged else None

    @property
    def warnings(self) -> list[str]:
        """Return warnings about an empty period, and files that the media store has lost."""
        warnings = []
        if self.window and not self.events:
            warnings.append("The room has no events in this period, so the bundle has none.")
        if self.lost:
            warnings.append(
                f"The media store has lost the files of {pluralize(len(self.lost), 'attachment')}, "
                f"or damaged them: {list_some(self.lost)}. The bundle lists them without their "
                "files."
            )
        return warnings


def build_damage_error(names: Sequence[str]) -> MediaFilesMissing:
    return MediaFilesMissing(
        f"{pluralize(len(names), 'file is', 'files are')} damaged in the media store, and listed "
        f"as lost: {list_some(names)}.",
        fix="Restore the media store from a backup, and export again. Remove a file that is lost "
        "for good with `scaiwave room media remove`.",
    )


EXPORTS_COUNTER, EXPORT_BYTES_COUNTER = "room_exports", "room_export_bytes"
"""Bundles that were read to their end, and their bytes."""


class FileExport(Generic[Result]):
    """A file to be read once by iterating over its bytes; `close` it to stop early."""

    def __init__(self, parts: Generator[bytes], build_result: Callable[[int], Result]) -> None:
        """`build_result` gets the size of the file, once all bytes were read."""
        self._result: Result | None = None
        self._chunks = self._iter_chunks(parts, build_result)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        self._chunks.close()

    def restart(self, error: ExportDamaged) -> bool:
        """Begin again without what is damaged. Returns whether that is possible."""
        return False

    @property
    def result(self) -> Result:
        """Return the result, after all bytes were read."""
        if self._result is None:
            raise RuntimeError("The export has not finished.")
        return self._result

    def _iter_chunks(
        self, parts: Generator[bytes], build_result: Callable[[int], Result]
    ) -> Generator[bytes]:
        size = 0
        with closing(parts):
            for part in parts:
                size += len(part)
                yield part
        self._result = build_result(size)


class RoomExport(FileExport[ExportResult]):
    """A bundle.

    All rows are read from one snapshot, which lasts from the first chunk to the last event. Until
    then, this thread must not use the database between two chunks. A bundle that was not read to
    its end has no central directory, so no program can read it.

    Iterating raises `ExportDamaged`; `RoomNotFound` or `ExportRefused` if the room was just
    changed; and database errors.
    """

    def __init__(self, run: ExportRun) -> None:
        super().__init__(run.iter_parts(), self._finish)
        self.room = run.room
        self._run = run

    def restart(self, error: ExportDamaged) -> bool:
        """The manifest, which is the beginning, lists the damaged file as lost then."""
        if (sha256 := error.details.get("sha256")) is None:
            return False
        self._run.damaged.add(sha256)
        super().__init__(self._run.iter_parts(), self._finish)
        return True

    def _finish(self, size: int) -> ExportResult:
        result = self._run.build_result(size)
        increment_counters({EXPORTS_COUNTER: 1, EXPORT_BYTES_COUNTER: size})
        return result


def export_room(
    *,
    operator: Operator,
    tenant: str,
    room: str,
    window: TimeWindow,
    with_media: bool,
    now: datetime,
    progress: ProgressCallback = null_progress,
    reason: str = "",
    transcript: str = "",
) -> RoomExport:
    """Start the export of a room, named by its ID or alias. A `reason` is recorded.

    `transcript` is the format of the transcript that is made of it, and recorded too.

    Raises `TenantNotFound`, `RoomNotFound`, `AmbiguousName`, `InvalidName` for a reason that can't
    be printed, `ExportRefused`, `KeyUnreadable` or `KeyDamaged`.
    """
    # 1. Check the permission and the reason, and find the room.
    operator.require(Permission.EXPORT_ROOMS)
    validate_reason(reason)
    resolved = resolve_room(operator, room, tenant=resolve_tenant(operator, tenant))
    # 2. Decrypt the signing key.
    signer = load_signer(now)
    options = ExportOptions(window, with_media, now, signer, progress, None, reason, transcript)
    # 3. Refuse a room that must not leave its server, and audit the export. The bundle is built
    #    while it is read, by `ExportRun.iter_parts`.
    return start_export(operator=operator, room=resolved, options=options)


def export_as_participant(*, caller: Caller, room: str, now: datetime) -> RoomExport:
    """Start the export of a whole room for one of its members, of any power level.

    (ScaiWave docs, tutorials/export-and-import-rooms.)

    Raises `NotMember`, before anything about the room is checked, and the errors of `export_room`.
    """
    resolved = resolve_own_room(caller, room)
    options = ExportOptions(WHOLE_ROOM, True, now, load_signer(now), null_progress)
    return start_export(operator=caller.operator, room=resolved, options=options)


def resolve_own_room(caller: Caller, room: str) -> Room:
    """Return a room that the caller has joined. Raises `RoomNotFound` or `NotMember`."""
    caller.operator.require(Permission.EXPORT_ROOMS)
    resolved = resolve_room(caller.operator, room, tenant=caller.tenant)
    members = RoomMember.objects.filter(room=resolved, membership=Membership.JOIN)
    if not members.filter(participant=caller.participant).exists():
        raise NotMember(f"You are not a member of room {resolved.pk}.")
    return resolved


def start_export(*, operator: Operator, room: Room, options: ExportOptions) -> RoomExport:
    """Audit the export of a room that the operator may see. Raises `ExportRefused`."""
    audit_export(operator=operator, room=room, options=options)
    return RoomExport(ExportRun(room, options))


def audit_export(
    *, operator: Operator, room: Room, options: ExportOptions, since: str = ""
) -> None:
    """Record an export before its first byte; `since` is the bundle before an increment.

    Raises `ExportRefused`.
    """
    operator.require(Permission.EXPORT_ROOMS)
    ensure_exportable(room)
    window = msgspec.to_builtins(options.window.for_manifest)
    details = {"window": window, "media": options.with_media}
    extra = {"since_bundle": since, "reason": options.reason, "transcript": options.transcript}
    details |= {key: text for key, text in extra.items() if text}
    with transaction.atomic():
        record_audit(
            operator=operator,
            action="export-room",
            subject=room,
            tenant=room.tenant,
            now=options.now,
            details=details,
            is_change=False,
        )


def ensure_exportable(room: Room) -> None:
    if (reason := export_blocker(room)) is not None:
        raise ExportRefused(
            f"Can't export room {room.pk}: {reason}.",
            fix="Choose another room: `scaiwave room list` shows which rooms can be exported.",
        )


def load_signer(now: datetime) -> BundleSigner | None:
    """Decrypt the current signing key; None if the server has none.

    Raises `KeyUnreadable` or `KeyDamaged`.
    """
    key = signing_key(now)
    return BundleSigner(key.key_id, decrypt_seed(key)) if key else None


class ExportRun:
    """One export in progress. With an `author`, only the events that they wrote."""

    author: Author | None = None

    def __init__(self, room: Room, options: ExportOptions) -> None:
        self.room = room
        self.options = options
        self.event_count = 0
        self.damaged: set[str] = set()

    def iter_parts(self) -> Generator[bytes]:
        """Yield the bytes of the bundle in pieces."""
        self.event_count = 0
        # 1. Begin a snapshot, and read the senders and attachments, which the manifest lists before
        #    the events.
        with self.open_snapshot() as read_connection:
            # 2. Write the manifest while the database encodes the events.
            self.writer = BundleWriter(self.header)
            with closing(self._stream_events(self.event_total, read_connection)) as events:
                yield from self.writer.encode_manifest(events)
        # 3. Write the attachments, which need no snapshot, and the end.
        yield from self.iter_rest(self.header.media)

    @contextmanager
    def open_snapshot(self) -> Iterator[sqlite3.Connection | None]:
        """Begin a snapshot, check the room as it is there, and build the header."""
        with snapshot(self.options.read_connection) as read_connection:
            current = get_room(self.room.pk)
            if current is None:
                raise RoomNotFound(f"Room {self.room.pk} was deleted after the export started.")
            ensure_exportable(current)
            self.room = current
            self.header, self.event_total = self._build_header()
            yield read_connection

    def _build_header(self) -> tuple[ManifestHeader, int]:
        """Return the header and the number of events."""
        senders, event_total = get_senders(self.room, self.options.window, get_server_name())
        media = get_media(self.room, self.options.window)
        return self.make_header(senders, media), event_total

    def get_time(self) -> datetime:
        """Return the time that the bundle states."""
        return self.options.now

    def make_header(self, senders: dict[str, Sender], media: list[MediaEntry]) -> ManifestHeader:
        """Return a header with these senders and attachments, whose files are looked up."""
        mark_missing(self.room.tenant_id, media, with_bytes=self.options.with_media)
        self.mark_damaged(media)
        return ManifestHeader(
            generator=f"scaiwave {__version__}",
            server_name=get_server_name(),
            exported_at=format_timestamp(self.get_time()),
            room=build_room_info(self.room),
            window=self.options.window.for_manifest,
            senders=senders,
            media=media,
        )

    def mark_damaged(self, media: Iterable[MediaEntry]) -> None:
        """Mark the files that an earlier attempt has found damaged as lost."""
        for entry in media:
            if entry.sha256 in self.damaged and entry.missing is None:
                entry.missing = LOST

    def _stream_events(
        self, total: int, read_connection: sqlite3.Connection | None
    ) -> Generator[bytes]:
        def count(number: int) -> None:
            self.event_count += number
            self.options.progress(self.event_count, total)

        yield from stream_events(
            self.room.pk,
            self.options.window,
            senders=self.header.senders,
            on_events=count,
            read_connection=read_connection,
            author=self.author,
        )

    def iter_rest(self, media: Iterable[MediaEntry]) -> Generator[bytes]:
        """Write the files and the end.

        There may be many small files, and each part costs its reader a system call.
        """
        with closing(self._encode_rest(media)) as rest:
            yield from map(bytes, join_small(rest))

    def _encode_rest(self, media: Iterable[MediaEntry]) -> Generator[bytes]:
        """Write each file once, under the first of its names, and the end."""
        stored = TenantMedia(self.room.tenant_id)
        present = (entry for entry in media if entry.missing is None)
        for _, entries in groupby(present, attrgetter("media_id")):
            entry = next(entries)
            with closing(stored.iter_bytes(entry)) as chunks:
                yield from self.writer.encode_attachment(entry, chunks)
        yield from self.writer.encode_end(events=self.event_count, signer=self.options.signer)

    def build_result(self, size: int) -> ExportResult:
        header, signer = self.header, self.options.signer
        return ExportResult(
            room_id=self.room.pk,
            name=self.room.name,
            window=header.window,
            events=self.event_count,
            senders=len(header.senders),
            media=len(header.media),
            missing=Counter(entry.missing for entry in header.media if entry.missing),
            size=size,
            manifest_sha256=self.writer.manifest_sha256 if size else None,
            key_id=signer.key_id if signer else None,
            room_media=header.media,
            lost=[entry.name for entry in header.media if entry.missing == LOST],
            damaged=[entry.name for entry in header.media if entry.sha256 in self.damaged],
        )
