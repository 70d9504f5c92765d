"""Read the events of a manifest in batches: many lines at once where possible, else one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, Literal, NamedTuple, Protocol

import msgspec
from msgspec import Struct

from rooms.bundle.json_stream import JsonStream
from scaiwave.core import strict_json

_MAX_BATCH_EVENTS = 500
"""In a batch of events that were decoded one by one."""
_LARGE_BATCH_BYTES = 512 * 1024
_SMALL_BATCH_BYTES = 8 * 1024


class BundleEvent(Struct, gc=False):
    """One event. IDs and timestamps are texts in the only form that the format has for them."""

    id: str
    sender_id: str
    event_type: str
    content: dict[str, Any]
    stream_position: int
    origin_ts: int
    created_at: str
    original_content: dict[str, Any] | None = None
    event_uuid: str | None = None
    edited_at: str | None = None
    redacted_at: str | None = None
    do_not_index: bool = False


class IncrementEvent(BundleEvent, gc=False, kw_only=True):
    """An event of an increment."""

    change: Literal["added", "changed"]


class Columns(NamedTuple):
    """The fields of several events, in the same order as in `BundleEvent`."""

    ids: Sequence[str]
    sender_ids: Sequence[str]
    event_types: Sequence[str]
    contents: Sequence[dict[str, Any]]
    positions: Sequence[int]
    origin_seconds: Sequence[int]
    created_times: Sequence[str]
    original_contents: Sequence[dict[str, Any] | None]
    event_uuids: Sequence[str | None]
    edited_times: Sequence[str | None]
    redacted_times: Sequence[str | None]
    do_not_index: Sequence[bool]


class Batch(list[BundleEvent]):
    """Events that follow each other."""

    @cached_property
    def columns(self) -> Columns:
        """Return the fields in columns, which takes as long as reading six fields one by one."""
        columns = zip(*map(msgspec.structs.astuple, self), strict=True)
        return Columns._make(islice(columns, len(Columns._fields)))


_DECODERS: dict[type[BundleEvent], msgspec.json.Decoder[Any]] = {
    kind: msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
    for kind in (BundleEvent, IncrementEvent)
}


class EventDecoder(Protocol):
    def decode_batch(self, body: bytes) -> Batch | None:
        """Return the events of an array, or None if it is not sure."""

    def decode_one(self, stream: JsonStream) -> BundleEvent:
        """Return the next event."""


def iter_batches(stream: JsonStream, decoder: EventDecoder) -> Iterator[Batch]:
    """Yield the events from the opening bracket to the closing one."""
    stream.expect(b"[")
    if stream.peek() == b"]":
        stream.expect(b"]")
        return
    has_more, small_until = True, 0
    while has_more:
        stream.peek()
        is_small = stream.position < small_until
        lines = stream.peek_lines(_SMALL_BATCH_BYTES if is_small else _LARGE_BATCH_BYTES)
        if batch := _decode_lines(lines, decoder):
            stream.advance(len(lines))
            yield batch
        elif len(lines) > _SMALL_BATCH_BYTES:
            # One event can't be decoded in a batch; most of the others still may be.
            small_until = stream.position + len(lines)
        else:
            batch, has_more = _decode_each(stream, decoder, stream.position + len(lines))
            yield batch


def _decode_lines(lines: memoryview, decoder: EventDecoder) -> Batch | None:
    """Decode lines of complete events, each followed by a comma; None for anything else."""
    if bytes(lines[-3:]) == b"},\n":
        # Other ways to join them copy the lines twice.
        return decoder.decode_batch(b"".join((b"[", lines[:-2], b"]")))
    text = bytes(lines).rstrip(b" \t\r\n")
    return decoder.decode_batch(b"[%b]" % text[:-1]) if text.endswith(b"},") else None


def _decode_each(stream: JsonStream, decoder: EventDecoder, until: int) -> tuple[Batch, bool]:
    """Return one event or more, up to this position, and whether others follow."""
    batch = Batch()
    while True:
        batch.append(decoder.decode_one(stream))
        if stream.expect(b",", b"]") == b"]":
            return batch, False
        if stream.position >= until or len(batch) == _MAX_BATCH_EVENTS:
            return batch, True


def try_decode(body: bytes, kind: type[BundleEvent]) -> Batch | None:
    """Decode with msgspec, which keeps the last of two equal keys and ignores unknown ones."""
    try:
        return Batch(_DECODERS[kind].decode(body))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


class TrustedEventDecoder:
    """Decodes a manifest that was validated before."""

    def __init__(self, kind: type[BundleEvent]) -> None:
        self._kind = kind

    def decode_batch(self, body: bytes) -> Batch | None:
        return try_decode(body, self._kind)

    def decode_one(self, stream: JsonStream) -> BundleEvent:
        return msgspec.convert(strict_json.loads(stream.read_value()), self._kind)


class TextDecoder:
    """Yields the events of a manifest that was validated before as they are written."""

    def decode_batch(self, body: bytes) -> Any:
        try:
            return _split(body)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            return None

    def decode_one(self, stream: JsonStream) -> Any:
        return stream.read_value()


_split = msgspec.json.Decoder(list[msgspec.Raw]).decode
