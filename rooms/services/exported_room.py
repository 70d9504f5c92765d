"""What an export says of itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from rooms.bundle.format import INFECTED, LEFT_OUT, LOST
from scaiwave.console.output import format_bytes
from scaiwave.console.text import pluralize

Row = dict[str, Any]


@dataclass(frozen=True)
class ExportResult:
    """`media` counts names, of which `missing` says how many have no bytes, and why; `size` is
    that of the bundle in bytes. Without a key `key_id` is None."""

    room_id: UUID
    name: str
    window: Mapping[str, str | None] | None
    events: int
    senders: int
    media: int
    missing: Counter[str]
    size: int
    manifest_sha256: str
    key_id: str | None

    def document(self) -> Row:
        return {
            "room": {"id": self.room_id, "name": self.name},
            "window": self.window,
            "events": self.events,
            "senders": self.senders,
            "media": self.media,
            "missing_media": {why: self.missing[why] for why in (INFECTED, LOST, LEFT_OUT)},
            "bytes": self.size,
            "manifest_sha256": self.manifest_sha256,
            "key_id": self.key_id,
        }

    def sentences(self) -> Iterator[str]:
        room = f"room {self.name!r}" if self.name else f"room {self.room_id}"
        yield (
            f"Exported {room}: {pluralize(self.events, 'event')} by "
            f"{pluralize(self.senders, 'sender')}, {pluralize(self.media, 'attachment')}, "
            f"{format_bytes(self.size)}."
        )
        for why in (INFECTED, LEFT_OUT):
            if number := self.missing[why]:
                yield f"Without the bytes of {pluralize(number, 'attachment')}: {why}."
        if self.key_id:
            yield f"Signed by key {self.key_id}."
        else:
            yield "Not signed: this server has no key."

    @property
    def warning(self) -> str | None:
        """What should not be so: bytes that nobody has deleted and that are gone."""
        if number := self.missing[LOST]:
            return (
                f"The media store has lost {pluralize(number, 'attachment')}; the bundle names "
                "them, without their bytes."
            )
        return None
