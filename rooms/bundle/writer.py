"""Writes a bundle, entry by entry, as bytes on their way out."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rooms.bundle.archive.writer import (
    Buffer,
    Compressor,
    DeflateCompressor,
    StoredCompressor,
    ZipStreamWriter,
)
from rooms.bundle.format import FORMAT, MANIFEST, SIGNATURE, VERSION, media_entry
from rooms.bundle.signing_document import Counts, SignatureDocumentBuilder, Signer
from rooms.errors import ExportDamaged

PIECE = 256 * 1024
"""Bytes: what is collected before it goes on, so that small things cost little."""


@dataclass(frozen=True, slots=True)
class Sender:
    id: str
    display_name: str
    avatar_url: str
    fqid: str
    participant_type: str
    is_foreign: bool

    @property
    def imported_sender(self) -> dict[str, str]:
        """What `content._imported_sender` says of a foreign one."""
        return {
            "display_name": self.display_name,
            "avatar_url": self.avatar_url,
            "fqid": self.fqid,
        }

    def document(self) -> dict[str, Any]:
        return {
            **self.imported_sender,
            "participant_type": self.participant_type,
            "is_foreign": self.is_foreign,
        }


@dataclass(frozen=True, slots=True)
class Attachment:
    """One row of the manifest's `media`; `missing` is why its bytes are not in the archive."""

    media_id: str
    sha256: str
    size: int
    mime_type: str
    scan_status: str
    name: str
    missing: str | None = None

    def document(self) -> dict[str, Any]:
        return {
            "media_id": self.media_id,
            "sha256": self.sha256,
            "size": self.size,
            "mime_type": self.mime_type,
            "scan_status": self.scan_status,
            "name": self.name,
            "missing": self.missing,
        }


@dataclass(frozen=True)
class Head:
    """What the manifest begins with; `room` and `window` as they stand in it."""

    generator: str
    server_name: str
    exported_at: datetime
    room: dict[str, Any]
    window: dict[str, str | None] | None


class BundleWriter:
    """Call `manifest`, then `attachment` for each one, then `end`, and send on what they yield."""

    def __init__(self, head: Head) -> None:
        self._head = head
        self._zip = ZipStreamWriter(head.exported_at)
        self._signing = SignatureDocumentBuilder(
            head.server_name, format_timestamp(head.exported_at)
        )
        self.manifest_sha256 = ""

    def manifest(
        self,
        senders: Iterable[Sender],
        media: Iterable[Attachment],
        events: Iterable[Buffer],
    ) -> Iterator[bytes]:
        """`events` are pieces of a text: JSON objects with a comma and a line break between."""
        chunks = _manifest(self._head, senders, media, events)
        self.manifest_sha256, _ = yield from self._entry(MANIFEST, chunks, DeflateCompressor())

    def attachment(self, attachment: Attachment, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Raises `ExportDamaged` when the bytes turn out to be others than they were said to be;
        they are out by then, but a bundle without its end is none."""
        name = media_entry(attachment.sha256, attachment.name)
        found = yield from self._entry(name, chunks, StoredCompressor())
        if found != (attachment.sha256, attachment.size):
            raise ExportDamaged(
                f"The bytes of attachment {attachment.media_id} are not those with its hash and "
                "size.",
                fix="Restore that file of the media store from a backup, or pass --no-media.",
            )

    def end(self, counts: Counts, signer: Signer | None) -> Iterator[bytes]:
        yield from self._zip.entry(
            SIGNATURE, self._signing.signed(counts, signer), DeflateCompressor()
        )
        yield from self._zip.end()

    def _entry(
        self, name: str, chunks: Iterable[Buffer], compressor: Compressor
    ) -> Generator[bytes, None, tuple[str, int]]:
        """Returns the hash and the size of what it was."""
        found = yield from self._zip.entry(name, chunks, compressor)
        self._signing.add(name, *found)
        return found


def _manifest(
    head: Head,
    senders: Iterable[Sender],
    media: Iterable[Attachment],
    events: Iterable[Buffer],
) -> Iterator[Buffer]:
    yield from chunked(_before_events(head, senders, media))
    yield from events
    yield b"\n]}\n"


def _before_events(
    head: Head, senders: Iterable[Sender], media: Iterable[Attachment]
) -> Iterator[str]:
    yield "{"
    for key, value in (
        ("format", FORMAT),
        ("version", VERSION),
        ("generator", head.generator),
        ("server_name", head.server_name),
        ("exported_at", format_timestamp(head.exported_at)),
        ("room", head.room),
        ("window", head.window),
    ):
        yield f"{_json(key)}: {_json(value)},\n"
    yield '"senders": {'
    yield from _lines(f"{_json(sender.id)}: {_json(sender.document())}" for sender in senders)
    yield '},\n"media": ['
    yield from _lines(_json(attachment.document()) for attachment in media)
    yield '],\n"events": [\n'


def _lines(texts: Iterable[str]) -> Iterator[str]:
    separator = "\n"
    for text in texts:
        yield separator + text
        separator = ",\n"


def chunked(texts: Iterable[str]) -> Iterator[bytes]:
    piece = bytearray()
    for text in texts:
        piece += text.encode()
        if len(piece) >= PIECE:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def format_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with six digits of fraction, the only form in a bundle."""
    # Of strftime a year before 1000 has fewer than four digits.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
