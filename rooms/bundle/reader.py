"""Validate a bundle as a whole, before the first row is written, and then return its events.

Memory does not grow with the number of events. Raises `BundleError`, `ImportRefused` or
`ContentTooLarge`; nothing is left on disk in any case.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import BinaryIO, NoReturn, Protocol, Self, cast

import msgspec

from rooms.bundle.archive.reader import Archive, ZipEntryReader
from rooms.bundle.format import MANIFEST, MAX_EVENT_BYTES, MAX_HEADER_BYTES, media_hash
from rooms.bundle.json_stream import JsonStream
from rooms.bundle.manifest.events import (
    Batch,
    BundleEvent,
    EventDecoder,
    IncrementEvent,
    TextDecoder,
    TrustedEventDecoder,
    iter_batches,
)
from rooms.bundle.manifest.reader import EventCounts, FindOutside
from rooms.bundle.manifest.references import STRIP, ReferenceIndex, strip_references
from rooms.bundle.manifest.schema import ManifestHeader
from rooms.bundle.signature import SignatureDocument
from rooms.bundle.validator import BundleValidator
from rooms.errors import BundleDamaged
from scaiwave.console.progress import ProgressCallback
from scaiwave.core import strict_json
from scaiwave.core.strict_json import StrictJSONError

_UNLIMITED = 2**63
_NO_MORE_EDITS = (2**63, STRIP)


class RoomContent(Protocol):
    """A room to be read as a whole bundle has it."""

    @property
    def header(self) -> ManifestHeader: ...

    def iter_batches(self) -> Iterator[Batch]:
        """Yield all events in order. Can be called again."""

    def iter_media(self, sha256: str) -> Iterator[bytes]:
        """Yield the bytes of an attachment. Raises `KeyError` if they are not there."""


@dataclass(frozen=True)
class BundleContent:
    """All that a bundle without errors contains, as it is written there; its file stays open."""

    header: ManifestHeader
    archive: Archive

    def iter_batches(self) -> Iterator[Batch]:
        """Yield all events in order. Can be called again, also before the end."""
        kind = IncrementEvent if self.header.increment else BundleEvent
        yield from self._iter_all(TrustedEventDecoder(kind))

    def iter_texts(self) -> Iterator[list[memoryview]]:
        """Yield all events as they are written, in order."""
        return cast(Iterator[list[memoryview]], self._iter_all(TextDecoder()))

    def _iter_all(self, decoder: EventDecoder) -> Iterator[Batch]:
        stream = JsonStream(self.archive.iter_entry(MANIFEST), max_bytes=MAX_EVENT_BYTES)
        try:
            for key in stream.iter_keys(max_keys=MAX_HEADER_BYTES):
                if key == "events":
                    yield from iter_batches(stream, decoder)
                else:
                    stream.skip_value()
            stream.expect_end()
        except (StrictJSONError, msgspec.ValidationError):
            raise BundleDamaged(
                f"The bundle's {MANIFEST} was changed while it was read.", entry=MANIFEST
            ) from None

    def iter_media(self, sha256: str) -> Iterator[bytes]:
        """Yield the bytes of an attachment. Raises `KeyError` if it is not in the archive."""
        return self.archive.iter_entry(self.media_names[sha256])

    @cached_property
    def media_names(self) -> dict[str, str]:
        """Entry names by hash."""
        return {hash_: name for name in self.archive.entries if (hash_ := media_hash(name))}


@dataclass(frozen=True)
class ValidatedBundle:
    """A bundle without errors. Close it, or use it in `with`; its file stays open.

    `signature` is the content of signature.json, None without one. It matches the archive, but the
    signature itself is not verified yet (`rooms.bundle.signature`).
    """

    content: BundleContent
    counts: EventCounts
    manifest_sha256: str
    signature: SignatureDocument | None
    _references: ReferenceIndex

    @property
    def header(self) -> ManifestHeader:
        return self.content.header

    def iter_batches(self) -> Iterator[Batch]:
        """Yield the events that an import writes, in order and without dropped references."""
        edits = self._references.iter_pending_edits()
        next_number, places = next(edits, _NO_MORE_EDITS)
        first = 1
        for batch in self.content.iter_batches():
            end, kept, start = first + len(batch), Batch(), 0
            while next_number < end:
                index = next_number - first
                kept += batch[start:index]
                if places != STRIP:
                    kept.append(strip_references(batch[index], places))
                start = index + 1
                next_number, places = next(edits, _NO_MORE_EDITS)
            first = end
            # Most batches stay as they are.
            kept = Batch(kept + batch[start:]) if start else batch
            if kept:
                yield kept

    def iter_texts(self) -> Iterator[list[memoryview]]:
        """Yield all events as they are written, in order."""
        return self.content.iter_texts()

    def iter_deleted(self) -> Iterator[list[str]]:
        """Yield the IDs in `deleted` of an increment."""
        return self._references.iter_deleted()

    def has_media(self, sha256: str) -> bool:
        return sha256 in self.content.media_names

    def open_media(self, sha256: str) -> BinaryIO:
        """Open an attachment. Raises `KeyError` if it is not in the archive."""
        chunks = self.content.iter_media(sha256)
        return cast(BinaryIO, io.BufferedReader(ZipEntryReader(chunks)))

    def close(self) -> None:
        self._references.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


def read_version(file: BinaryIO) -> object:
    """Return the version in a manifest, which is not validated. Raises `BundleError`."""
    chunks = Archive(file, _UNLIMITED).iter_entry(MANIFEST)
    try:
        stream = JsonStream(chunks, max_bytes=MAX_EVENT_BYTES)
        for key in stream.iter_keys(max_keys=MAX_HEADER_BYTES):
            if key == "version":
                return strict_json.loads(stream.read_value())
            stream.skip_value()
    except StrictJSONError:
        pass
    raise BundleDamaged(f"{MANIFEST} is not JSON, or has no `version`.", entry=MANIFEST)


def read_bundle(
    file: BinaryIO,
    *,
    max_bytes: int,
    cut_references: bool = False,
    progress: ProgressCallback | None = None,
    find_targets: FindOutside | None = None,
) -> ValidatedBundle:
    """Read and validate a whole bundle from a seekable file.

    `max_bytes` limits it, compressed and decompressed; `progress` counts decompressed bytes. An
    increment is read only with `find_targets`, which finds the events that it refers to.
    Raises the first problem as `BundleError`, `ImportRefused` or `ContentTooLarge`.
    """
    archive = Archive(file, max_bytes)
    references = ReferenceIndex()
    try:
        validator = BundleValidator(archive, _raise, progress, find_targets)
        result = validator.run(references, cut_references=cut_references)
    except BaseException:
        references.close()
        raise
    header, counts = cast(tuple[ManifestHeader, EventCounts], result)
    content = BundleContent(header, archive)
    return ValidatedBundle(
        content, counts, validator.manifest_sha256, validator.signature, references
    )


def _raise(error: Exception) -> NoReturn:
    raise error
