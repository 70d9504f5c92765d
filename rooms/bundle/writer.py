"""Encode a bundle entry by entry, as bytes to send on at once."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

import msgspec

from rooms.bundle.archive.writer import (
    Buffer,
    Compressor,
    DeflateCompressor,
    StoredCompressor,
    ZipStreamWriter,
)
from rooms.bundle.format import (
    FORMAT,
    INCREMENT,
    INCREMENT_VERSION,
    MANIFEST,
    SIGNATURE,
    VERSION,
    media_entry_name,
)
from rooms.bundle.manifest.schema import BundleCounts, ManifestHeader, MediaEntry, SignedEntry
from rooms.bundle.signature import SignatureDocumentBuilder, Signer
from rooms.errors import ExportDamaged

CHUNK_BYTES = 256 * 1024
"""Bytes collected before they are sent on, so that small pieces cost little."""


class BundleWriter:
    """Call `encode_manifest`, then `encode_attachment` for each file, then `encode_end`.

    Send the chunks on.
    """

    def __init__(self, header: ManifestHeader, *, source: Mapping[str, Any] | None = None) -> None:
        """`source` describes the export of another system that the room was converted from."""
        self._header = header
        self._source = source
        self._zip = ZipStreamWriter(datetime.fromisoformat(header.exported_at))
        self._signature = SignatureDocumentBuilder(header.server_name, header.exported_at)
        self.manifest_sha256 = ""

    def encode_manifest(
        self, events: Iterable[Buffer], deleted: Iterable[str] = ()
    ) -> Iterator[bytes]:
        """`events` are pieces of a text: JSON objects separated by a comma and a line break.

        `deleted` are the IDs of deleted events, for an increment.
        """
        head = _join_pieces(_encode_header(self._header, self._source, deleted))
        chunks = chain(head, events, (b"\n]}\n",))
        entry = yield from self._encode_entry(MANIFEST, chunks, DeflateCompressor())
        self.manifest_sha256 = entry.sha256

    def encode_attachment(self, attachment: MediaEntry, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Raises `ExportDamaged` if the bytes don't have the hash and size of the attachment.

        They have been sent by then, but a bundle without its end is unreadable.
        """
        name = media_entry_name(attachment.sha256, attachment.name)
        entry = yield from self._encode_entry(name, chunks, StoredCompressor())
        if (entry.sha256, entry.size) != (attachment.sha256, attachment.size):
            raise ExportDamaged(
                f"Attachment {attachment.media_id} is damaged: its bytes do not have the recorded "
                "hash and size.",
                fix="Restore that file of the media store from a backup, or export into a file or "
                "a directory: the bundle then lists it as lost.",
                sha256=attachment.sha256,
            )

    def encode_end(self, *, events: int, signer: Signer | None) -> Iterator[bytes]:
        """`events` is the number of events that were written."""
        counts = BundleCounts.from_header(self._header, events=events)
        yield from self._zip.encode_entry(
            SIGNATURE, self._signature.encode(counts, signer), DeflateCompressor()
        )
        yield from self._zip.encode_end()

    def _encode_entry(
        self, name: str, chunks: Iterable[Buffer], compressor: Compressor
    ) -> Generator[bytes, None, SignedEntry]:
        sha256, size = yield from self._zip.encode_entry(name, chunks, compressor)
        entry = SignedEntry(name, sha256, size)
        self._signature.add(entry)
        return entry


def _encode_header(
    header: ManifestHeader, source: Mapping[str, Any] | None, deleted: Iterable[str]
) -> Iterator[bytes]:
    """Yield the text from the first bracket to the one before the first event."""
    increment = header.increment
    yield b"{"
    for key, value in (
        ("format", FORMAT),
        ("version", INCREMENT_VERSION if increment else VERSION),
        *(
            (("kind", INCREMENT), ("chain", increment.chain), ("after", increment.after))
            if increment
            else ()
        ),
        ("generator", header.generator),
        ("server_name", header.server_name),
        ("exported_at", header.exported_at),
        *((("source", source),) if source is not None else ()),
        ("room", header.room),
        ("window", header.window),
    ):
        yield b"%b: %b,\n" % (_encode_json(key), _encode_json(value))
    yield b'"senders": {'
    yield from _join_lines(
        b"%b: %b" % (_encode_json(key), _encode_json(sender))
        for key, sender in header.senders.items()
    )
    yield b'},\n"media": ['
    yield from _join_lines(map(_encode_json, header.media))
    if increment:
        yield b'],\n"media_removed": ['
        yield from _join_lines(map(_encode_json, increment.media_removed))
        yield b'],\n"deleted": ['
        yield from _join_lines(map(_encode_json, deleted))
    yield b'],\n"events": [\n'


def _join_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    separator = b"\n"
    for line in lines:
        yield separator + line
        separator = b",\n"


def _join_pieces(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield chunks of about `CHUNK_BYTES`."""
    chunk = bytearray()
    for piece in pieces:
        chunk += piece
        if len(chunk) >= CHUNK_BYTES:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)


def _encode_json(value: Any) -> bytes:
    """Encode with a space after each comma and colon."""
    return msgspec.json.format(msgspec.json.encode(value), indent=0)
