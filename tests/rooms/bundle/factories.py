"""Bundles as the page about the format describes them, put together by hand."""

from __future__ import annotations

import io
import json
from hashlib import sha256
from typing import Any

from rooms.bundle.archive.reader import Limits
from rooms.bundle.manifest.events import BundleEvent
from rooms.bundle.manifest.reader import EventCounts
from rooms.bundle.reader import ValidatedBundle, read_bundle
from tests.rooms.bundle.archive_factories import Part, zip_of

LIMITS = Limits(max_bytes=64 * 1024 * 1024)
WHEN = "2026-11-24T19:05:00.000000Z"
JSON = dict[str, Any]


def uid(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


ANNA, BO = uid(0xA), uid(0xB)
ROOM: JSON = {
    "id": uid(1),
    "name": "Launch",
    "topic": "",
    "room_type": "group",
    "scope_kind": None,
    "state": "open",
    "is_public": False,
    "is_federated": False,
    "visibility": "",
    "read_role_slugs": [],
    "room_alias": "",
    "creator_id": ANNA,
    "created_at": WHEN,
    "workspace": {"id": uid(2), "slug": "main", "name": "Main"},
}


def sender(name: str = "Anna", **changes: Any) -> JSON:
    return {
        "display_name": name,
        "avatar_url": "",
        "fqid": f"@{name.lower()}:chat.example.com",
        "participant_type": "human",
        "is_foreign": False,
        **changes,
    }


def event(number: int, **changes: Any) -> JSON:
    return {
        "id": uid(0x1000 + number),
        "sender_id": ANNA,
        "event_type": "swp.room.message",
        "content": {"msgtype": "swp.text", "body": f"message {number}"},
        "stream_position": number * 10,
        "origin_ts": 1_764_000_000 + number,
        "created_at": WHEN,
        **changes,
    }


def reaction(number: int, to: int, kind: str = "swp.room.reaction", **changes: Any) -> JSON:
    content = {"event_id": uid(0x1000 + to), "emoji": "👍"}
    return event(number, event_type=kind, content=content, **changes)


def reply(number: int, to: int, **changes: Any) -> JSON:
    content = {"body": f"reply {number}", "reply_to_event_id": uid(0x1000 + to)}
    return event(number, content=content, **changes)


def media_row(data: bytes, name: str = "photo.png", **changes: Any) -> JSON:
    return {
        "media_id": uid(0x5000 + len(data)),
        "sha256": sha256(data).hexdigest(),
        "size": len(data),
        "mime_type": "image/png",
        "scan_status": "clean",
        "name": name,
        "missing": None,
        **changes,
    }


def manifest(*events: JSON, **changes: Any) -> JSON:
    return {
        "format": "scaiwave-room-bundle",
        "version": 1,
        "generator": "scaiwave 0.1.0",
        "server_name": "chat.example.com",
        "exported_at": WHEN,
        "room": ROOM,
        "window": None,
        "senders": {ANNA: sender(), BO: sender("Bo", is_foreign=True)},
        "media": [],
        "events": list(events),
        **changes,
    }


def manifest_bytes(document: JSON) -> bytes:
    """As this suite writes it: one event on each line."""
    head = {key: value for key, value in document.items() if key != "events"}
    lines = ",\n".join(_json(one) for one in document["events"])
    return f'{_json(head)[:-1]}, "events": [\n{lines}\n]}}\n'.encode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def signature(entries: dict[str, bytes], document: JSON, /, **changes: Any) -> JSON:
    """An unsigned signature.json that is right."""
    return {
        "format": "scaiwave-room-bundle",
        "version": 1,
        "server_name": "chat.example.com",
        "signed_at": WHEN,
        "entries": [
            {"name": name, "sha256": sha256(data).hexdigest(), "size": len(data)}
            for name, data in entries.items()
        ],
        "counts": {
            "events": len(document["events"]),
            "senders": len(document["senders"]),
            "media": len(document["media"]),
            "missing_media": sum(row["missing"] is not None for row in document["media"]),
        },
        "key_id": None,
        "algorithm": None,
        "signature": None,
        **changes,
    }


def entries_of(document: JSON, *media: tuple[str, bytes]) -> dict[str, bytes]:
    return {
        "manifest.json": manifest_bytes(document),
        **{f"media/{sha256(data).hexdigest()}/{name}": data for name, data in media},
    }


def bundle(document: JSON, *media: tuple[str, bytes], signed: JSON | bool = True) -> bytes:
    """`signed` is the signature.json, or whether there is one."""
    entries = entries_of(document, *media)
    parts = [part(name, data) for name, data in entries.items()]
    if signed:
        one = signature(entries, document) if signed is True else signed
        parts.append(part("signature.json", json.dumps(one).encode()))
    return zip_of(*parts)


def part(name: str, data: bytes) -> Part:
    return Part(name.encode(), data, flags=0 if name.isascii() else 0x800)


def of_manifest(raw: bytes) -> bytes:
    """A bundle of nothing but this manifest."""
    return zip_of(Part(b"manifest.json", raw, method=0))


def checked(raw: bytes, **options: Any) -> ValidatedBundle:
    return read_bundle(io.BytesIO(raw), **{"limits": LIMITS, **options})


def read(raw: bytes, **options: Any) -> tuple[EventCounts, list[BundleEvent]]:
    with checked(raw, **options) as found:
        return found.counts, list(found.iter_events())
