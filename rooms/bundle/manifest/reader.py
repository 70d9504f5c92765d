"""Read the manifest once, from its first byte to its last."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeVar, cast

import msgspec

from rooms.bundle.format import (
    EXPORTABLE_ROOM_TYPES,
    FORMAT,
    INCREMENT,
    INCREMENT_VERSION,
    MANIFEST,
    MAX_DELETED,
    MAX_EVENT_BYTES,
    MAX_HEADER_BYTES,
    MAX_MEDIA,
    MAX_SENDERS,
    VERSION,
)
from rooms.bundle.json_stream import JsonStream
from rooms.bundle.manifest.event_validation import ValidatingEventDecoder
from rooms.bundle.manifest.events import Batch, IncrementEvent, iter_batches
from rooms.bundle.manifest.references import ReferenceIndex
from rooms.bundle.manifest.schema import (
    INCREMENT_KEYS,
    KEYS,
    ChainPosition,
    ChainTotals,
    Increment,
    IncrementSender,
    ManifestHeader,
    MediaEntry,
    Name,
    RemovedMedia,
    RoomInfo,
    Sender,
    TimeWindow,
    is_id,
    is_timestamp,
    manifest_error,
)
from rooms.errors import NOTHING_IMPORTED, BundleVersion, ImportRefused
from scaiwave.core import strict_json
from scaiwave.core.strict_json import StrictJSONError

_MAX_KEYS = 1000
_MAX_BATCH = 1000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# Variables, because a type checker does not accept these types as values.
_NAME: Any = Name
_OPTIONAL_WINDOW: Any = TimeWindow | None

T = TypeVar("T")


FindOutside = Callable[[ManifestHeader, Sequence[str]], Iterable[str]]
"""Returns the IDs of those events that exist outside the increment with this header."""


@dataclass(frozen=True)
class EventCounts:
    """Numbers of events. An import writes `kept`; it strips the others. `added` is of an increment.

    `stripped` counts by type, except reactions and redactions whose target is missing.
    `last_position` is the stream position of the last event, and no number of events.
    """

    events: int
    kept: int
    stripped: dict[str, int] = field(default_factory=dict)
    references_cut: int = 0
    reactions_stripped: int = 0
    redactions_stripped: int = 0
    added: int = 0
    last_position: int = field(default=0, compare=False)


class ManifestReader:
    """Reads one manifest; afterwards `references` knows what an import does with each event.

    The manifest of an increment is read only with `find_targets`, which finds the targets of
    references that are not in it.
    """

    def __init__(self, references: ReferenceIndex, find_targets: FindOutside | None = None) -> None:
        self._references = references
        self._find_targets = find_targets
        self._decoder = ValidatingEventDecoder()
        # For each sender the number and ID of its first event.
        self._first_events: dict[str, tuple[int, str]] = {}
        # Events and IDs of deleted ones are not kept in memory, so they may be of any size.
        self._listed_bytes = self._added = 0
        self._is_increment = False
        self._values: dict[str, Any] = {}
        self._increment: dict[str, Any] = {"media_removed": []}
        self._interned: dict[str, str] = {}
        self._senders: dict[str, Sender] = {}
        self._media: list[MediaEntry] = []

    def read(
        self, chunks: Iterator[bytes], *, cut_references: bool
    ) -> tuple[ManifestHeader, EventCounts]:
        """Validate the manifest. Raises `BundleError`, `ImportRefused` or `ContentTooLarge`."""
        stream = JsonStream(_refuse_byte_order_mark(chunks), max_bytes=MAX_EVENT_BYTES)
        present: set[str] = set()
        try:
            for key in stream.iter_keys(max_keys=_MAX_KEYS):
                self._read_field(stream, key)
                self._require_order(key, present)
                present.add(key)
            stream.expect_end()
        except StrictJSONError as error:
            raise manifest_error("The manifest", str(error)) from None
        for key in (*KEYS, *(INCREMENT_KEYS if self._is_increment else ())):
            if key not in present:
                raise manifest_error("The manifest", f"has no `{key}`")
        header = ManifestHeader(**self._values, senders=self._senders, media=self._media)
        if self._is_increment:
            if header.window is not None:
                raise manifest_error("The manifest of an increment", "has a `window`")
            header.increment = Increment(**self._increment)
        self._require_senders(header)
        may_cut = cut_references or header.window is not None
        find_targets = None
        if header.increment and self._find_targets:
            find_targets = partial(self._find_targets, header)
        dropped = self._references.resolve(may_cut=may_cut, find_targets=find_targets)
        if header.increment:
            header.increment.deleted = self._references.deleted_count
        return header, EventCounts(
            events=self._decoder.count,
            last_position=self._decoder.last_position,
            kept=self._decoder.count - self._references.dropped_count,
            stripped=self._references.stripped,
            added=self._added,
            **dropped,
        )

    def _require_senders(self, header: ManifestHeader) -> None:
        for sender_id, (number, event_id) in self._first_events.items():
            if sender_id not in header.senders:
                raise manifest_error(
                    f"Event {number:,} ({event_id})",
                    f"has a sender that is not in `senders`: {sender_id}",
                    event=number,
                    event_id=event_id,
                )

    def _read_field(self, stream: JsonStream, key: str) -> None:
        match key:
            case "events":
                start = stream.position
                if self._is_increment:
                    self._decoder = ValidatingEventDecoder(IncrementEvent)
                for batch in iter_batches(stream, self._decoder):
                    self._add_batch(batch)
                self._listed_bytes += stream.position - start
            case "senders":
                for sender_id in stream.iter_keys(max_keys=MAX_SENDERS):
                    self._add_sender(sender_id, stream.read_value())
                    self._check_header_size(stream)
            case "media":
                for raw in stream.iter_items(max_items=MAX_MEDIA):
                    self._add_media(raw)
                    self._check_header_size(stream)
            case "deleted" | "media_removed" if self._is_increment:
                self._read_removed(stream, key)
            case _:
                self._add_field(key, stream.read_value())
        self._check_header_size(stream)

    def _read_removed(self, stream: JsonStream, key: str) -> None:
        """Read the IDs of deleted events, in batches, since there may be very many."""
        if key == "media_removed":
            for raw in stream.iter_items(max_items=MAX_MEDIA):
                entry = _decode_field(raw, RemovedMedia, "A value of `media_removed`")
                self._increment[key].append(entry)
                self._check_header_size(stream)
            return
        start, items = stream.position, stream.iter_items(max_items=MAX_DELETED)
        while raws := list(islice(items, _MAX_BATCH)):
            ids = [raw[1:-1].decode(errors="replace") for raw in raws]
            for raw, event_id in zip(raws, ids, strict=True):
                if raw[:1] != b'"' or not is_id(event_id):
                    raise manifest_error("`deleted`", f"has an invalid ID: {raw!r:.60}")
            self._references.add_deleted(ids)
        self._listed_bytes += stream.position - start

    def _add_batch(self, batch: Batch) -> None:
        if new := set(batch.columns.sender_ids) - self._first_events.keys():
            # Remember the first event of each, because `senders` may follow the events.
            for number, event in enumerate(batch, self._decoder.count - len(batch) + 1):
                if event.sender_id in new:
                    self._first_events.setdefault(event.sender_id, (number, event.id))
            if len(self._first_events) > MAX_SENDERS:
                raise StrictJSONError(f"has events of more than {MAX_SENDERS:,} senders")
        self._references.add(batch)
        if self._is_increment:
            increments = cast(Iterable[IncrementEvent], batch)
            self._added += sum(event.change == "added" for event in increments)

    def _check_header_size(self, stream: JsonStream) -> None:
        if stream.position - self._listed_bytes > MAX_HEADER_BYTES:
            raise StrictJSONError(f"has more than {MAX_HEADER_BYTES:,} bytes besides its events")

    def _add_field(self, key: str, raw: bytes) -> None:
        """Decode a field at once; refuse a room that can't be imported."""
        subject = f"`{key}` of the manifest"
        match key:
            case "format" | "version":
                self._check_format(key, _decode_field(raw, object, subject))
            case "room":
                self._values[key] = room = _decode_field(raw, RoomInfo, subject)
                _require_importable(room)
            case "window":
                self._values[key] = _decode_field(raw, _OPTIONAL_WINDOW, subject)
            case "exported_at":
                self._values[key] = timestamp = _decode_field(raw, str, subject)
                _require_timestamp(timestamp, subject)
            case "kind" if self._is_increment:
                self._check_format(key, _decode_field(raw, str, subject))
            case "chain" | "after" if self._is_increment:
                type_: Any = ChainPosition if key == "chain" else ChainTotals
                self._increment[key] = _decode_field(raw, type_, subject)
            case "generator" | "server_name":
                self._values[key] = _decode_field(raw, _NAME, subject)
            case _:
                _decode_field(raw, object, subject)

    def _check_format(self, key: str, value: object) -> None:
        if key == "version" and value == INCREMENT_VERSION and type(value) is int:
            if self._find_targets is None:
                raise BundleVersion(
                    "The bundle is an increment: it has only the changes since another bundle.",
                    fix=f"{NOTHING_IMPORTED} Pass --append to import it into the room of that "
                    "bundle, or join both with `scaiwave room merge`.",
                    entry=MANIFEST,
                )
            self._is_increment = True
            return
        expected = {"format": FORMAT, "version": VERSION, "kind": INCREMENT}[key]
        if value != expected or type(value) is not type(expected):
            raise BundleVersion(
                f"Unsupported bundle {key}: {value!r}; this release reads {expected!r}.",
                entry=MANIFEST,
            )

    def _add_sender(self, sender_id: str, raw: bytes) -> None:
        if not is_id(sender_id):
            raise manifest_error(f"The sender {sender_id!r}", "has a key that is not an ID")
        kind = IncrementSender if self._is_increment else Sender
        self._senders[sender_id] = _decode_field(raw, kind, f"The sender {sender_id}")

    def _add_media(self, raw: bytes) -> None:
        entry = _decode_field(raw, MediaEntry, f"Row {len(self._media) + 1:,} of `media`")
        # Many rows share few values; keeping each text once saves memory.
        entry.mime_type = self._interned.setdefault(entry.mime_type, entry.mime_type)
        entry.scan_status = self._interned.setdefault(entry.scan_status, entry.scan_status)
        self._media.append(entry)

    def _require_order(self, key: str, present: set[str]) -> None:
        """Require that it is known early what an increment is. Raises `BundleBadManifest`."""
        if self._is_increment and key == "version" and not present <= {"format"}:
            raise manifest_error("The manifest of an increment", "does not begin with `version`")
        if self._is_increment and "events" in present:
            raise manifest_error("The manifest of an increment", "does not have `events` last")


def _refuse_byte_order_mark(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(chunks, b"")
    if first.startswith(_BYTE_ORDER_MARK):
        raise StrictJSONError("begins with a byte-order mark")
    yield first
    yield from chunks


def _decode_field(raw: bytes, type_: type[T], subject: str) -> T:
    """Raises `BundleBadManifest`."""
    try:
        value = msgspec.convert(strict_json.loads(raw), type_)
    except StrictJSONError as error:
        raise manifest_error(subject, str(error)) from None
    except msgspec.ValidationError as error:
        raise manifest_error(subject, f"does not match the format: {error}") from None
    for name in ("created_at", "since", "until"):
        if timestamp := getattr(value, name, None):
            _require_timestamp(timestamp, subject)
    return value


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
