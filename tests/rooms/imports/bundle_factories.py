"""Bundles whose content a test specifies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from rooms.bundle.manifest.schema import (
    ManifestHeader,
    MediaEntry,
    RoomInfo,
    Sender,
    TimeWindow,
    WorkspaceInfo,
    format_timestamp,
)
from rooms.bundle.signature import Signer
from rooms.bundle.writer import BundleWriter

ROOM = "019ab000-0000-7000-8000-00000000beef"
ANNA, BOB = (f"019ab000-0000-7000-8000-00000000000{digit}" for digit in "ab")
SENDERS = {
    ANNA: Sender("Anna", "https://old.example/anna.png", "@anna:old.example", "human", False),
    BOB: Sender("Боб", "", "@bob:far.example", "federated", True),
}
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECOND = 1_767_323_045


def make_event_id(number: int) -> str:
    """Return an ID that begins with a time, as older servers create them."""
    return f"019ab{number >> 16:03x}-{number & 0xFFFF:04x}-7000-8000-{number:012x}"


def make_event(number: int, **changes: Any) -> dict[str, Any]:
    """Return a message from Anna, with changes."""
    given = {
        "id": make_event_id(number),
        "sender_id": ANNA,
        "event_type": "swp.room.message",
        "content": {"msgtype": "swp.text", "body": f"Message {number}\twith a \\ and 東京"},
        "stream_position": number * 10,
        "origin_ts": SECOND + number,
        "created_at": "2026-01-02T03:04:05.000000Z",
    }
    return {**given, **changes}


def make_attachment(name: str, data: bytes, **changes: Any) -> MediaEntry:
    digest = sha256(data).hexdigest()
    given = {
        "media_id": f"019ab111-0000-7000-8000-{digest[:12]}",
        "sha256": digest,
        "size": len(data),
        "mime_type": "image/png",
        "scan_status": "clean",
        "name": name,
        "missing": None,
    }
    return MediaEntry(**{**given, **changes})


@dataclass
class Bundle:
    """Encode it with `data`, `file` or `save`."""

    events: Iterable[dict[str, Any]] = ()
    media: list[tuple[MediaEntry, bytes]] = field(default_factory=list)
    room: dict[str, Any] = field(default_factory=dict)
    senders: dict[str, Sender] = field(default_factory=lambda: SENDERS)
    window: TimeWindow | None = None
    signer: Signer | None = None

    def add(self, name: str, data: bytes, **changes: Any) -> str:
        """Add an attachment and return its media ID."""
        row = make_attachment(name, data, **changes)
        self.media.append((row, data))
        return row.media_id

    def data(self) -> bytes:
        return b"".join(self.pieces())

    def file(self) -> BytesIO:
        return BytesIO(self.data())

    def save(self, path: Path) -> Path:
        with path.open("wb") as file:
            file.writelines(self.pieces())
        return path

    def pieces(self) -> Iterator[bytes]:
        lines = _EventLines(self.events)
        writer = BundleWriter(self._build_header())
        yield from writer.encode_manifest(lines.encode())
        written: set[str] = set()
        for entry, data in self.media:
            if entry.missing is None and entry.sha256 not in written:
                written.add(entry.sha256)
                yield from writer.encode_attachment(entry, [data])
        yield from writer.encode_end(events=lines.count, signer=self.signer)

    def _build_header(self) -> ManifestHeader:
        return ManifestHeader(
            generator="test 1",
            server_name="old.example",
            exported_at=format_timestamp(START),
            room=self._build_room(),
            window=self.window,
            senders=self.senders,
            media=[entry for entry, _ in self.media],
        )

    def _build_room(self) -> RoomInfo:
        fields: dict[str, Any] = {
            "id": ROOM,
            "name": "Launch",
            "topic": "Up and away",
            "room_type": "group",
            "scope_kind": None,
            "state": "open",
            "is_public": False,
            "is_federated": False,
            "visibility": "members",
            "read_role_slugs": ["crew"],
            "room_alias": "launch",
            "creator_id": ANNA,
            "created_at": "2026-01-01T00:00:00.123456Z",
            "workspace": WorkspaceInfo(id=ROOM, slug="old", name="Old"),
        }
        return RoomInfo(**{**fields, **self.room})


class _EventLines:
    """Encodes events as lines, and counts them."""

    def __init__(self, events: Iterable[dict[str, Any]]) -> None:
        self._events = events
        self.count = 0

    def encode(self) -> Iterator[bytes]:
        for event in self._events:
            yield (b",\n" if self.count else b"") + json.dumps(event, ensure_ascii=False).encode()
            self.count += 1
