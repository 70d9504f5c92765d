"""Bundles made by hand, so that a test says what is in one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from rooms.bundle.signing_document import Counts, Signer
from rooms.bundle.writer import Attachment, BundleWriter, Head, Sender

ROOM = "019ab000-0000-7000-8000-00000000beef"
ANNA, BOB = (f"019ab000-0000-7000-8000-00000000000{digit}" for digit in "ab")
SENDERS = (
    Sender(ANNA, "Anna", "https://old.example/anna.png", "@anna:old.example", "human", False),
    Sender(BOB, "Боб", "", "@bob:far.example", "federated", True),
)
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SECOND = 1_767_323_045


def event_id(number: int) -> str:
    """As old servers make them, by time."""
    return f"019ab{number >> 16:03x}-{number & 0xFFFF:04x}-7000-8000-{number:012x}"


def event(number: int, **changes: Any) -> dict[str, Any]:
    """A message of Anna's, but for the changes."""
    given = {
        "id": event_id(number),
        "sender_id": ANNA,
        "event_type": "swp.room.message",
        "content": {"msgtype": "swp.text", "body": f"Message {number}\twith a \\ and 東京"},
        "stream_position": number * 10,
        "origin_ts": SECOND + number,
        "created_at": "2026-01-02T03:04:05.000000Z",
    }
    return {**given, **changes}


def attachment(name: str, data: bytes, **changes: Any) -> Attachment:
    digest = sha256(data).hexdigest()
    given = {
        "media_id": f"019ab111-0000-7000-8000-{digest[:12]}",
        "sha256": digest,
        "size": len(data),
        "mime_type": "image/png",
        "scan_status": "clean",
        "name": name,
    }
    return Attachment(**{**given, **changes})


@dataclass
class Bundle:
    """Write it with `data` or `save`."""

    events: Iterable[dict[str, Any]] = ()
    media: list[tuple[Attachment, bytes]] = field(default_factory=list)
    room: dict[str, Any] = field(default_factory=dict)
    senders: tuple[Sender, ...] = SENDERS
    window: dict[str, str | None] | None = None
    signer: Signer | None = None

    def add(self, name: str, data: bytes, **changes: Any) -> str:
        """Another attachment; returns its media id."""
        row = attachment(name, data, **changes)
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
        writer = BundleWriter(Head("test 1", "old.example", START, self._room(), self.window))
        counted = _Counted(self.events)
        rows = [row for row, _ in self.media]
        yield from writer.manifest(self.senders, rows, counted.lines())
        carried: set[str] = set()
        for row, data in self.media:
            if row.missing is None and row.sha256 not in carried:
                carried.add(row.sha256)
                yield from writer.attachment(row, [data])
        missing = sum(row.missing is not None for row in rows)
        counts = Counts(counted.count, len(self.senders), len(rows), missing)
        yield from writer.end(counts, self.signer)

    def _room(self) -> dict[str, Any]:
        given = {
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
            "workspace": {"id": ROOM, "slug": "old", "name": "Old"},
        }
        return {**given, **self.room}


class _Counted:
    def __init__(self, events: Iterable[dict[str, Any]]) -> None:
        self._events = events
        self.count = 0

    def lines(self) -> Iterator[bytes]:
        for one in self._events:
            yield (b",\n" if self.count else b"") + json.dumps(one, ensure_ascii=False).encode()
            self.count += 1
