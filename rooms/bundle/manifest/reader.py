"""Read the manifest once, from its first byte to its last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from rooms.bundle import strict_json
from rooms.bundle.format import (
    EXPORTABLE_ROOM_TYPES,
    FORMAT,
    MANIFEST,
    MAX_EVENT_BYTES,
    MAX_HEADER_BYTES,
    MAX_MEDIA,
    MAX_SENDERS,
    VERSION,
)
from rooms.bundle.json_stream import JsonStream
from rooms.bundle.manifest.event_validation import ValidatingEventDecoder
from rooms.bundle.manifest.events import Batch, iter_batches
from rooms.bundle.manifest.references import ReferenceIndex
from rooms.bundle.manifest.schema import (
    KEYS,
    ManifestHeader,
    MediaEntry,
    Name,
    RoomInfo,
    Sender,
    TimeWindow,
    is_id,
    is_timestamp,
    manifest_error,
)
from rooms.bundle.strict_json import StrictJSONError
from rooms.errors import BundleVersion, ImportRefused

_MAX_KEYS = 1000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# Variables, because a type checker does not accept these types as values.
_NAME: Any = Name
_OPTIONAL_WINDOW: Any = TimeWindow | None

T = TypeVar("T")


@dataclass(frozen=True)
class EventCounts:
    """Numbers of events. An import writes `kept`; it strips the others.

    `stripped` counts by type, except reactions and redactions whose target is missing.
    """

    events: int
    kept: int
    stripped: dict[str, int] = field(default_factory=dict)
    references_cut: int = 0
    reactions_stripped: int = 0
    redactions_stripped: int = 0


class ManifestReader:
    """Reads one manifest; afterwards `references` knows what an import does with each event."""

    def __init__(self, references: ReferenceIndex) -> None:
        self._header = _HeaderParser()
        self._references = references
        self._decoder = ValidatingEventDecoder()
        # For each sender the number and ID of its first event.
        self._senders: dict[str, tuple[int, str]] = {}
        self._events_bytes = 0

    def read(
        self, chunks: Iterator[bytes], *, cut_references: bool
    ) -> tuple[ManifestHeader, EventCounts]:
        """Validate the manifest. Raises `BundleError`, `ImportRefused` or `ContentTooLarge`."""
        stream = JsonStream(_refuse_byte_order_mark(chunks), max_bytes=MAX_EVENT_BYTES)
        present = set()
        try:
            for key in stream.iter_keys(max_keys=_MAX_KEYS):
                self._read_field(stream, key)
                present.add(key)
            stream.expect_end()
        except StrictJSONError as error:
            raise manifest_error("The manifest", str(error)) from None
        for key in KEYS:
            if key not in present:
                raise manifest_error("The manifest", f"has no `{key}`")
        header = self._header.build()
        for sender_id, (number, event_id) in self._senders.items():
            if sender_id not in header.senders:
                raise manifest_error(
                    f"Event {number:,} ({event_id})",
                    f"has a sender that is not in `senders`: {sender_id}",
                    event=number,
                    event_id=event_id,
                )
        dropped = self._references.resolve(may_cut=cut_references or header.window is not None)
        return header, EventCounts(
            events=self._decoder.count,
            kept=self._decoder.count - self._references.dropped_count,
            stripped=self._references.stripped,
            references_cut=dropped.references,
            reactions_stripped=dropped.reactions,
            redactions_stripped=dropped.redactions,
        )

    def _read_field(self, stream: JsonStream, key: str) -> None:
        match key:
            case "events":
                start = stream.position
                for batch in iter_batches(stream, self._decoder):
                    if new := set(batch.columns.sender_ids) - self._senders.keys():
                        self._add_senders(batch, new)
                    self._references.add(batch)
                self._events_bytes = stream.position - start
            case "senders":
                for sender_id in stream.iter_keys(max_keys=MAX_SENDERS):
                    self._header.add_sender(sender_id, stream.read_value())
                    self._check_header_size(stream)
            case "media":
                for raw in stream.iter_items(max_items=MAX_MEDIA):
                    self._header.add_media(raw)
                    self._check_header_size(stream)
            case _:
                self._header.add_field(key, stream.read_value())
        self._check_header_size(stream)

    def _add_senders(self, batch: Batch, new: set[str]) -> None:
        """Remember the first event of each, because `senders` may follow the events."""
        first_number = self._decoder.count - len(batch) + 1
        for number, event in enumerate(batch, first_number):
            if event.sender_id in new:
                self._senders.setdefault(event.sender_id, (number, event.id))
        if len(self._senders) > MAX_SENDERS:
            raise StrictJSONError(f"has events of more than {MAX_SENDERS:,} senders")

    def _check_header_size(self, stream: JsonStream) -> None:
        if stream.position - self._events_bytes > MAX_HEADER_BYTES:
            raise StrictJSONError(f"has more than {MAX_HEADER_BYTES:,} bytes besides its events")


def _refuse_byte_order_mark(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(chunks, b"")
    if first.startswith(_BYTE_ORDER_MARK):
        raise StrictJSONError("begins with a byte-order mark")
    yield first
    yield from chunks


class _HeaderParser:
    """Decodes the fields as they are read; refuses a room that can't be imported at once."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._interned: dict[str, str] = {}
        self._senders: dict[str, Sender] = {}
        self._media: list[MediaEntry] = []

    def add_field(self, key: str, raw: bytes) -> None:
        subject = f"`{key}` of the manifest"
        match key:
            case "format" | "version":
                value = _decode_field(raw, object, subject)
                expected = FORMAT if key == "format" else VERSION
                if value != expected or type(value) is not type(expected):
                    raise BundleVersion(
                        f"Unsupported bundle {key}: {value!r}; this release reads {expected!r}.",
                        entry=MANIFEST,
                    )
            case "room":
                self._values[key] = room = _decode_field(raw, RoomInfo, subject)
                _require_importable(room)
            case "window":
                self._values[key] = _decode_field(raw, _OPTIONAL_WINDOW, subject)
            case "exported_at":
                self._values[key] = timestamp = _decode_field(raw, str, subject)
                _require_timestamp(timestamp, subject)
            case "generator" | "server_name":
                self._values[key] = _decode_field(raw, _NAME, subject)
            case _:
                _decode_field(raw, object, subject)

    def add_sender(self, sender_id: str, raw: bytes) -> None:
        if not is_id(sender_id):
            raise manifest_error(f"The sender {sender_id!r}", "has a key that is not an ID")
        self._senders[sender_id] = _decode_field(raw, Sender, f"The sender {sender_id}")

    def add_media(self, raw: bytes) -> None:
        entry = _decode_field(raw, MediaEntry, f"Row {len(self._media) + 1:,} of `media`")
        # Many rows share few values; keeping each text once saves memory.
        entry.mime_type = self._interned.setdefault(entry.mime_type, entry.mime_type)
        entry.scan_status = self._interned.setdefault(entry.scan_status, entry.scan_status)
        self._media.append(entry)

    def build(self) -> ManifestHeader:
        """Return the header, after the manifest has ended."""
        return ManifestHeader(**self._values, senders=self._senders, media=self._media)


def _decode_field(raw: bytes, type_: type[T], subject: str) -> T:
    """Raises `BundleBadManifest`."""
    try:
        value = msgspec.convert(strict_json.loads(raw), type_)
    except StrictJSONError as error:
        raise manifest_error(subject, str(error)) from None
    except msgspec.ValidationError as error:
        raise manifest_error(subject, f"does not match the format: {error}") from None
    _check_dates(value, subject)
    return value


def _check_dates(value: Any, subject: str) -> None:
    match value:
        case RoomInfo(created_at=timestamp):
            timestamps = [timestamp]
        case TimeWindow(since=since, until=until):
            timestamps = [timestamp for timestamp in (since, until) if timestamp]
        case _:
            return
    for timestamp in timestamps:
        _require_timestamp(timestamp, subject)


def _require_timestamp(text: str, subject: str) -> None:
    if not is_timestamp(text):
        raise manifest_error(subject, f"has an invalid timestamp: {text!r:.60}")


def _require_importable(room: RoomInfo) -> None:
    """Raises `ImportRefused` for a room that has to stay on its server."""
    if room.room_type not in EXPORTABLE_ROOM_TYPES:
        reason = f"rooms of type {room.room_type!r}"
    elif room.scope_kind is not None:
        reason = f"rooms with scope {room.scope_kind!r}"
    elif room.is_federated:
        reason = "federated rooms"
    else:
        return
    raise ImportRefused(f"Can't import {reason}.", entry=MANIFEST)
