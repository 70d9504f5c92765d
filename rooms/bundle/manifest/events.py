"""The events of a manifest, in batches: read fast where that is safe, else one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from rooms.bundle import strict_json
from rooms.bundle.json_stream import JsonStream

_SLOW_BATCH = 500
_LARGE = 256 * 1024
_SMALL = 8 * 1024
"""Bytes of lines that are tried at once."""


class BundleEvent(Struct, gc=False):
    """One event. Ids and times are texts in the only form that the format has for them."""

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


Batch = list[BundleEvent]
_decode = msgspec.json.Decoder(Batch).decode


class EventDecoder(Protocol):
    def fast(self, body: bytes) -> Batch | None:
        """The events of a text with commas between, or None where it is not sure of them."""

    def slow(self, stream: JsonStream) -> BundleEvent:
        """The next event."""


def iter_batches(stream: JsonStream, lane: EventDecoder) -> Iterator[Batch]:
    """The events, from the bracket before the first to the one behind the last."""
    stream.take(b"[")
    if stream.peek() == b"]":
        stream.take(b"]")
        return
    more, small_until = True, 0
    while more:
        stream.peek()
        body = stream.lines(_SMALL if stream.position < small_until else _LARGE)
        if batch := _fast(body, lane):
            stream.skip(len(body))
            yield batch
        elif len(body) > _SMALL:
            # One of them is not for the fast lane; most of the others still may be.
            small_until = stream.position + len(body)
        else:
            batch, more = _one_by_one(stream, lane, stream.position + len(body))
            yield batch


def _fast(body: bytes, lane: EventDecoder) -> Batch | None:
    """Lines of whole events with a comma behind each; anything else is for the other lane."""
    text = body.rstrip(b" \t\r\n")
    return lane.fast(text[:-1]) if text.endswith(b"},") else None


def _one_by_one(stream: JsonStream, lane: EventDecoder, until: int) -> tuple[Batch, bool]:
    """At least one event, and those before this position; and whether there are more."""
    batch = []
    while True:
        batch.append(lane.slow(stream))
        if stream.take(b",", b"]") == b"]":
            return batch, False
        if stream.position >= until or len(batch) == _SLOW_BATCH:
            return batch, True


def try_decode(body: bytes) -> Batch | None:
    try:
        return _decode(b"[%b]" % body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


class TrustedEventDecoder:
    """For a manifest that was checked before."""

    def fast(self, body: bytes) -> Batch | None:
        return try_decode(body)

    def slow(self, stream: JsonStream) -> BundleEvent:
        return msgspec.convert(strict_json.loads(stream.value()), BundleEvent)
