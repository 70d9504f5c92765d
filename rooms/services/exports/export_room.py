"""Carry a room out: a bundle that is made while it is read, from one moment of the database."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from django.db import transaction

from rooms.bundle.signing_document import Counts, Signer
from rooms.bundle.time_window import Window
from rooms.bundle.writer import Attachment, BundleWriter, Head, Sender
from rooms.errors import ExportRefused, RoomNotFound
from rooms.models import Room
from rooms.queries.export_events import stream_events
from rooms.queries.export_metadata import get_media, get_room, get_senders, serialize_room
from rooms.queries.exportable import export_blocker
from rooms.queries.media import iter_bytes, mark_missing
from rooms.queries.resolve import resolve_room
from rooms.queries.snapshot import snapshot
from rooms.services.bundle_signer import own_signer
from rooms.services.exported_room import ExportResult
from scaiwave import __version__
from scaiwave.auth.operators import Operator, Permission
from scaiwave.console.progress import ProgressCallback, null_progress
from tenants.queries.resolve import resolve_tenant
from tenants.queries.serializers import get_server_name
from tenants.services.audit import record_audit


@dataclass(frozen=True)
class ExportOptions:
    """What is to be in a bundle, and who signs it."""

    window: Window
    with_media: bool
    now: datetime
    signer: Signer | None
    progress: ProgressCallback


class RoomExport:
    """A bundle on its way out: iterate over its bytes, once; `close` it if that ends early.

    All rows are read from one snapshot, which lasts from the first chunk to the last event: until
    then this thread must not use the database between two chunks. What was taken before the last
    one has no central directory, so that nothing reads it.

    Iterating raises ExportDamaged, RoomNotFound and ExportRefused (when the room has changed just
    now), and what the database raises.
    """

    def __init__(self, room: Room, wanted: ExportOptions) -> None:
        self.room = room
        self._result: ExportResult | None = None
        self._chunks = self._made(wanted)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        self._chunks.close()

    @property
    def result(self) -> ExportResult:
        """What was exported; known when all of it was taken, and not before."""
        if self._result is None:
            raise RuntimeError("The export is not through.")
        return self._result

    def _made(self, wanted: ExportOptions) -> Generator[bytes]:
        bundle, size = _Bundle(self.room, wanted), 0
        with closing(bundle.parts()) as parts:
            for part in parts:
                size += len(part)
                yield part
        self._result = bundle.result(size)


class _Bundle:
    """One export while it is being made."""

    def __init__(self, room: Room, wanted: ExportOptions) -> None:
        self.room = room
        self.wanted = wanted
        self.server_name = get_server_name()
        self.senders: list[Sender] = []
        self.media: list[Attachment] = []
        self.events = 0

    def parts(self) -> Generator[bytes]:
        wanted = self.wanted
        with snapshot() as beside:
            self.room = room = _still_exportable(self.room)
            self.writer = BundleWriter(_head(room, wanted, self.server_name))
            self.senders, total = get_senders(room, wanted.window, self.server_name)
            self.media = mark_missing(room.tenant_id, get_media(room), with_bytes=wanted.with_media)
            with closing(self._rows(total, beside)) as rows:
                yield from self.writer.manifest(self.senders, self.media, rows)
        yield from self._attachments()
        yield from self.writer.end(self._counts(), wanted.signer)

    def _rows(self, total: int, beside: sqlite3.Connection | None) -> Generator[bytes]:
        def count(number: int) -> None:
            self.events += number
            self.wanted.progress(self.events, total)

        yield from stream_events(
            self.room.pk, self.wanted.window, senders=self.senders, count=count, beside=beside
        )

    def _attachments(self) -> Iterator[bytes]:
        """Each once, however many names it has."""
        present = (attachment for attachment in self.media if attachment.missing is None)
        for _, names in groupby(present, lambda attachment: attachment.media_id):
            attachment = next(names)
            with closing(iter_bytes(self.room.tenant_id, attachment)) as chunks:
                yield from self.writer.attachment(attachment, chunks)

    def _counts(self) -> Counts:
        missing = sum(attachment.missing is not None for attachment in self.media)
        return Counts(self.events, len(self.senders), len(self.media), missing)

    def result(self, size: int) -> ExportResult:
        signer = self.wanted.signer
        return ExportResult(
            room_id=self.room.pk,
            name=self.room.name,
            window=self.wanted.window.document(),
            events=self.events,
            senders=len(self.senders),
            media=len(self.media),
            missing=Counter(found.missing for found in self.media if found.missing),
            size=size,
            manifest_sha256=self.writer.manifest_sha256,
            key_id=signer.key_id if signer else None,
        )


def export_room(
    *,
    operator: Operator,
    tenant: str,
    room: str,
    window: Window,
    with_media: bool,
    now: datetime,
    progress: ProgressCallback = null_progress,
) -> RoomExport:
    """Begin to export the room of that id or alias. It is audited before its first byte.

    Raises TenantNotFound, RoomNotFound, AmbiguousName, ExportRefused, KeyUnreadable, KeyDamaged.
    """
    operator.require(Permission.CARRY_ROOMS)
    found = resolve_room(operator, room, tenant=resolve_tenant(operator, tenant))
    wanted = ExportOptions(window, with_media, now, own_signer(now), progress)
    return start_export(operator=operator, room=found, wanted=wanted)


def start_export(*, operator: Operator, room: Room, wanted: ExportOptions) -> RoomExport:
    """For a room that the operator was found to see. Raises ExportRefused."""
    operator.require(Permission.CARRY_ROOMS)
    ensure_exportable(room)
    with transaction.atomic():
        record_audit(
            operator=operator,
            action="export-room",
            subject=room,
            tenant=room.tenant,
            now=wanted.now,
            details={"window": wanted.window.document(), "media": wanted.with_media},
        )
    return RoomExport(room, wanted)


def ensure_exportable(room: Room) -> None:
    if (why := export_blocker(room)) is not None:
        raise ExportRefused(
            f"Room {room.pk} can't be exported, since {why}.",
            fix="Such a room stays on its server; `scaiwave room list` shows which can be carried.",
        )


def _still_exportable(room: Room) -> Room:
    """The room as the snapshot has it."""
    found = get_room(room.pk)
    if found is None:
        raise RoomNotFound(f"Room {room.pk} was deleted just now.")
    ensure_exportable(found)
    return found


def _head(room: Room, wanted: ExportOptions, server_name: str) -> Head:
    return Head(
        generator=f"scaiwave {__version__}",
        server_name=server_name,
        exported_at=wanted.now,
        room=serialize_room(room),
        window=wanted.window.document(),
    )
