"""Bundles as the page about the format describes them, built without the product's code."""

from __future__ import annotations

import io
import json
from hashlib import sha256
from itertools import chain
from typing import Any

from rooms.bundle.manifest.events import BundleEvent
from rooms.bundle.manifest.reader import EventCounts
from rooms.bundle.reader import ValidatedBundle, read_bundle
from tests.rooms.bundle.archive_factories import Part, make_zip

MAX_BYTES = 64 * 1024 * 1024
WHEN = "2026-11-24T19:05:00.000000Z"
JSON = dict[str, Any]


def make_uid(number: int) -> str:
    return f"01900000-0000-7000-8000-{number:012x}"


ANNA, BO = make_uid(0xA), make_uid(0xB)
ROOM: JSON = {
    "id": make_uid(1),
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
    "workspace": {"id": make_uid(2), "slug": "main", "name": "Main"},
}


def make_sender(name: str = "Anna", **changes: Any) -> JSON:
    return {
        "display_name": name,
        "avatar_url": "",
        "fqid": f"@{name.lower()}:chat.example.com",
        "participant_type": "human",
        "is_foreign": False,
        **changes,
    }


def make_event(number: int, **changes: Any) -> JSON:
    return {
        "id": make_uid(0x1000 + number),
        "sender_id": ANNA,
        "event_type": "swp.room.message",
        "content": {"msgtype": "swp.text", "body": f"message {number}"},
        "stream_position": number * 10,
        "origin_ts": 1_764_000_000 + number,
        "created_at": WHEN,
        **changes,
    }


def make_reaction(number: int, to: int, kind: str = "swp.room.reaction", **changes: Any) -> JSON:
    content = {"event_id": make_uid(0x1000 + to), "emoji": "👍"}
    return make_event(number, event_type=kind, content=content, **changes)


def make_reply(number: int, to: int, **changes: Any) -> JSON:
    content = {"body": f"reply {number}", "reply_to_event_id": make_uid(0x1000 + to)}
    return make_event(number, content=content, **changes)


def make_media_row(data: bytes, name: str = "photo.png", **changes: Any) -> JSON:
    return {
        "media_id": make_uid(0x5000 + len(data)),
        "sha256": sha256(data).hexdigest(),
        "size": len(data),
        "mime_type": "image/png",
        "scan_status": "clean",
        "name": name,
        "missing": None,
        **changes,
    }


def make_manifest(*events: JSON, **changes: Any) -> JSON:
    return {
        "format": "scaiwave-room-bundle",
        "version": 1,
        "generator": "scaiwave 0.1.0",
        "server_name": "chat.example.com",
        "exported_at": WHEN,
        "room": ROOM,
        "window": None,
        "senders": {ANNA: make_sender(), BO: make_sender("Bo", is_foreign=True)},
        "media": [],
        "events": list(events),
        **changes,
    }


def encode_manifest(document: JSON) -> bytes:
    """Encode it as an export does: one event per line."""
    head = {key: value for key, value in document.items() if key != "events"}
    lines = ",\n".join(_json(one) for one in document["events"])
    return f'{_json(head)[:-1]}, "events": [\n{lines}\n]}}\n'.encode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def make_signature(entries: dict[str, bytes], document: JSON, /, **changes: Any) -> JSON:
    """Return a correct, unsigned signature.json."""
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


def make_entries(document: JSON, *media: tuple[str, bytes]) -> dict[str, bytes]:
    return {
        "manifest.json": encode_manifest(document),
        **{f"media/{sha256(data).hexdigest()}/{name}": data for name, data in media},
    }


def make_bundle(document: JSON, *media: tuple[str, bytes], signed: JSON | bool = True) -> bytes:
    """`signed` is the signature.json, or whether there is one."""
    entries = make_entries(document, *media)
    parts = [make_part(name, data) for name, data in entries.items()]
    if signed:
        one = make_signature(entries, document) if signed is True else signed
        parts.append(make_part("signature.json", json.dumps(one).encode()))
    return make_zip(*parts)


def make_part(name: str, data: bytes) -> Part:
    return Part(name.encode(), data, flags=0 if name.isascii() else 0x800)


def make_manifest_bundle(raw: bytes) -> bytes:
    """Return a bundle that contains only this manifest."""
    return make_zip(Part(b"manifest.json", raw, method=0))


def validate(raw: bytes, **options: Any) -> ValidatedBundle:
    return read_bundle(io.BytesIO(raw), **{"max_bytes": MAX_BYTES, **options})


def read_events(raw: bytes, **options: Any) -> tuple[EventCounts, list[BundleEvent]]:
    with validate(raw, **options) as found:
        return found.counts, list_events(found)


def list_events(bundle: ValidatedBundle) -> list[BundleEvent]:
    return list(chain.from_iterable(bundle.iter_batches()))
