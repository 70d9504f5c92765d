"""Checks a bundle as a whole, before the first row is written, and then gives its events.

Memory does not grow with the number of events. What is wrong is raised as `BundleError`,
`ImportRefused` or `ContentTooLarge`; nothing is left on the disk whatever happens.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, NoReturn, Self, cast

import msgspec

from rooms.bundle.archive.reader import Archive, Limits
from rooms.bundle.entry_names import media_hash
from rooms.bundle.format import MANIFEST, MOST_EVENT_BYTES, MOST_HEAD_BYTES
from rooms.bundle.json_stream import JsonStream
from rooms.bundle.manifest.events import Batch, BundleEvent, TrustedEventDecoder, iter_batches
from rooms.bundle.manifest.reader import EventCounts
from rooms.bundle.manifest.references import STRIP, ReferenceIndex, cut
from rooms.bundle.manifest.schema import Head, MediaRow, RoomInfo, Sender, Window, WorkspaceInfo
from rooms.bundle.signature import SignatureDocument
from rooms.bundle.strict_json import StrictJSONError
from rooms.bundle.unpack import ZipEntryReader
from rooms.bundle.validator import BundleValidator
from rooms.errors import BundleDamaged
from scaiwave.console.progress import ProgressCallback

__all__ = [
    "BundleEvent",
    "EventCounts",
    "Head",
    "Limits",
    "MediaRow",
    "RoomInfo",
    "Sender",
    "ValidatedBundle",
    "Window",
    "WorkspaceInfo",
    "check_bundle",
]


@dataclass(frozen=True)
class ValidatedBundle:
    """A bundle that is good. Close it, or use it in `with`; its file stays open.

    `signature` is what signature.json says, None without one; it agrees with the archive, but
    nobody has looked yet whether it is a signature (`rooms.bundle.signature`).
    """

    head: Head
    counts: EventCounts
    manifest_sha256: str
    signature: SignatureDocument | None
    _archive: Archive
    _references: ReferenceIndex

    def events(self) -> Iterator[BundleEvent]:
        """The events that an import writes, in their order, without the references to be cut."""
        todo = self._references.todo()
        next_number, places = next(todo, _NO_MORE)
        number = 0
        for batch in self._batches():
            if next_number > number + len(batch):
                number += len(batch)
                yield from batch
                continue
            for event in batch:
                number += 1
                if number != next_number:
                    yield event
                    continue
                if places != STRIP:
                    yield cut(event, places)
                next_number, places = next(todo, _NO_MORE)

    def open_media(self, sha256: str) -> BinaryIO:
        """The bytes of an attachment. Raises `KeyError` for one that is not in the archive."""
        chunks = self._archive.chunks(self._media_names[sha256])
        return cast(BinaryIO, io.BufferedReader(ZipEntryReader(chunks)))

    @cached_property
    def _media_names(self) -> dict[str, str]:
        """The entry of each hash."""
        return {hash_: name for name in self._archive.entries if (hash_ := media_hash(name))}

    def close(self) -> None:
        self._references.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _batches(self) -> Iterator[Batch]:
        chunks = self._archive.chunks(MANIFEST)
        stream = JsonStream(chunks, most=MOST_EVENT_BYTES)
        try:
            for key in stream.members(most=MOST_HEAD_BYTES):
                if key == "events":
                    yield from iter_batches(stream, TrustedEventDecoder())
                else:
                    stream.pass_over()
            stream.end()
        except (StrictJSONError, msgspec.ValidationError):
            raise BundleDamaged(
                f"The bundle's {MANIFEST} was changed while it was read.", entry=MANIFEST
            ) from None


_NO_MORE = (2**63, STRIP)


def check_bundle(
    file: BinaryIO,
    *,
    limits: Limits,
    cut_references: bool = False,
    progress: ProgressCallback | None = None,
) -> ValidatedBundle:
    """Read all of a bundle, from a file that is seekable. `progress` is in bytes unpacked.

    Raises BundleError, ImportRefused and ContentTooLarge, for the first thing that is wrong.
    """
    archive = Archive(file, limits)
    references = ReferenceIndex()
    try:
        found = BundleValidator(archive, _raise, progress)
        whole = found.run(references, cut_references=cut_references)
    except BaseException:
        references.close()
        raise
    head, counts = cast(tuple[Head, EventCounts], whole)
    return ValidatedBundle(head, counts, found.manifest_sha256, found.signed, archive, references)


def _raise(error: Exception) -> NoReturn:
    raise error
