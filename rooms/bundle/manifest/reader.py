"""The manifest, read once from its first byte to its last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rooms.bundle.format import MOST_EVENT_BYTES, MOST_HEAD_BYTES, MOST_MEDIA, MOST_SENDERS
from rooms.bundle.json_stream import JsonStream
from rooms.bundle.manifest.event_validation import ValidatingEventDecoder
from rooms.bundle.manifest.events import Batch, iter_batches
from rooms.bundle.manifest.references import DroppedReferences, ReferenceIndex
from rooms.bundle.manifest.schema import KEYS, Head, ManifestHeaderParser, manifest_error
from rooms.bundle.strict_json import StrictJSONError

_MOST_KEYS = 1000
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class EventCounts:
    """Events. `kept` are those that an import writes; `stripped` counts the others by type, but
    for the reactions and redactions whose target is not there."""

    events: int
    kept: int
    stripped: dict[str, int] = field(default_factory=dict)
    references_cut: int = 0
    reactions_stripped: int = 0
    redactions_stripped: int = 0


def read_manifest(
    chunks: Iterator[bytes], references: ReferenceIndex, *, cut_references: bool
) -> tuple[Head, EventCounts]:
    """What is in it; `references` knows afterwards what becomes of each event.

    Raises what `BundleError` has for manifests, `ImportRefused` and `ContentTooLarge`.
    """
    return _ManifestReader(references).read(chunks, cut_references=cut_references)


class _ManifestReader:
    def __init__(self, references: ReferenceIndex) -> None:
        self._reader = ManifestHeaderParser()
        self._references = references
        self._lane = ValidatingEventDecoder()
        self._senders: dict[str, tuple[int, str]] = {}
        self._events_bytes = 0

    def read(self, chunks: Iterator[bytes], *, cut_references: bool) -> tuple[Head, EventCounts]:
        stream = JsonStream(_without_mark(chunks), most=MOST_EVENT_BYTES)
        present = set()
        try:
            for key in stream.members(most=_MOST_KEYS):
                self._member(stream, key)
                present.add(key)
            stream.end()
        except StrictJSONError as error:
            raise manifest_error("The manifest", str(error)) from None
        for key in KEYS:
            if key not in present:
                raise manifest_error("The manifest", f"has no `{key}`")
        head = self._reader.head()
        self._require_senders(head)
        may_cut = cut_references or head.window is not None
        return head, self._counted(self._references.settle(may_cut=may_cut))

    def _member(self, stream: JsonStream, key: str) -> None:
        match key:
            case "events":
                begin = stream.position
                for batch in iter_batches(stream, self._lane):
                    self._take(batch)
                self._events_bytes = stream.position - begin
            case "senders":
                for sender_id in stream.members(most=MOST_SENDERS):
                    self._reader.take_sender(sender_id, stream.value())
                    self._check_head(stream)
            case "media":
                for raw in stream.items(most=MOST_MEDIA):
                    self._reader.take_media(raw)
                    self._check_head(stream)
            case _:
                self._reader.take(key, stream.value())
        self._check_head(stream)

    def _check_head(self, stream: JsonStream) -> None:
        if stream.position - self._events_bytes > MOST_HEAD_BYTES:
            raise StrictJSONError(f"has more than {MOST_HEAD_BYTES:,} bytes beside its events")

    def _take(self, batch: Batch) -> None:
        known = self._senders
        if new := {event.sender_id for event in batch} - known.keys():
            self._add_senders(batch, new)
        self._references.take(batch)

    def _add_senders(self, batch: Batch, new: set[str]) -> None:
        """Remember the first event of each, since the senders may stand behind the events."""
        first = self._lane.count - len(batch) + 1
        for number, event in enumerate(batch, first):
            if event.sender_id in new:
                self._senders.setdefault(event.sender_id, (number, event.id))
        if len(self._senders) > MOST_SENDERS:
            raise StrictJSONError(f"has events of more than {MOST_SENDERS:,} senders")

    def _require_senders(self, head: Head) -> None:
        for sender_id, (number, event_id) in self._senders.items():
            if sender_id not in head.senders:
                raise manifest_error(
                    f"Event {number:,} ({event_id})",
                    f"has a sender that `senders` does not have, {sender_id}",
                    event=number,
                    event_id=event_id,
                )

    def _counted(self, cuts: DroppedReferences) -> EventCounts:
        return EventCounts(
            events=self._lane.count,
            kept=self._lane.count - self._references.gone,
            stripped=self._references.stripped,
            references_cut=cuts.references,
            reactions_stripped=cuts.reactions,
            redactions_stripped=cuts.redactions,
        )


def _without_mark(chunks: Iterator[bytes]) -> Iterator[bytes]:
    first = next(chunks, b"")
    if first.startswith(_BYTE_ORDER_MARK):
        raise StrictJSONError("begins with a byte-order mark")
    yield first
    yield from chunks
