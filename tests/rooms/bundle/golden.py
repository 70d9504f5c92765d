"""Makes `golden-v1.zip`, a bundle that has everything that the format has, and its increment.

The files are kept, and every later release has to import them: `python -m
tests.rooms.bundle.golden` wrote each once, and only a new version of the format may write another
beside them.
"""

from __future__ import annotations

import base64
import json
import zipfile
from dataclasses import replace
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

from tests.rooms.bundle.archive_factories import add_descriptor, make_zip
from tests.rooms.bundle.factories import (
    JSON,
    ROOM,
    WHEN,
    make_entries,
    make_event,
    make_manifest,
    make_media_row,
    make_part,
    make_reaction,
    make_reply,
    make_sender,
    make_signature,
    make_uid,
)

GOLDEN = Path(__file__).with_name("golden-v1.zip")
GOLDEN_INCREMENT = GOLDEN.with_name("golden-v2.zip")
SEED = sha256(b"the key that signed the golden bundle").digest()
PUBLIC_KEY = "ed25519:uLGTh3Ej5HVH1Dz68GU6CuPtDjvIYBBPYzVjRYXS8gE="

ANNA, MODEL, PEER, BRIDGED = (make_uid(number) for number in (0xA, 0xB, 0xC, 0xD))
PHOTO = bytes(range(256)) * 8
NOTES = "Größe: 5 µm — 日本語\n".encode() * 20
SCRIPTS = (
    "Ελληνικά, Русский, עברית, العربية, हिन्दी, ไทย, 日本語, 한국어, Tiếng Việt, 👩‍🚀🇳🇱, "
    'a "quote": and \\ and / and \u2028 and \x7f and \t and \u200f'
)

SENDERS: JSON = {
    ANNA: make_sender("Anna", avatar_url="https://chat.example.com/a.png"),
    MODEL: make_sender("Poolnoodle", participant_type="model", fqid="@poolnoodle:chat.example.com"),
    PEER: make_sender(
        "Zoë", fqid="@zoe:peer.example.org", participant_type="federated", is_foreign=True
    ),
    BRIDGED: make_sender(
        "Юрий", fqid="@yuri:chat.example.com", participant_type="bridge", is_foreign=True,
        unknown_key="kept out",
    ),
}  # fmt: skip

MEDIA = [
    make_media_row(PHOTO, "launch.png", unknown_key=1),
    make_media_row(PHOTO, "same bytes: another name.png"),
    make_media_row(NOTES, "größe 日本.txt", mime_type="text/plain", scan_status="pending"),
    make_media_row(b"virus", "invoice.exe", scan_status="infected", missing="infected"),
    make_media_row(b"gone!!", "gone.bin", missing="lost"),
    make_media_row(b"stayed.", "stayed.bin", missing="left out"),
]


def _get_imported_sender(row: JSON) -> JSON:
    return {key: row[key] for key in ("display_name", "avatar_url", "fqid")}


def _make_events() -> list[JSON]:
    later = "2026-11-24T19:06:07.891234Z"
    elsewhere = {"display_name": "Eve", "avatar_url": "", "fqid": "@eve:old.example.net"}
    return [
        make_event(1, content={"msgtype": "swp.text", "body": SCRIPTS, "mentions": [ANNA, MODEL]}),
        make_reply(2, to=1, sender_id=MODEL, event_uuid=make_uid(0xE002)),
        make_event(
            3,
            sender_id=PEER,
            content={"body": "from afar", "_imported_sender": _get_imported_sender(SENDERS[PEER])},
        ),
        make_event(
            4,
            sender_id=BRIDGED,
            content={
                "body": "over the bridge",
                "_imported_sender": _get_imported_sender(SENDERS[BRIDGED]),
            },
        ),
        make_event(
            5, content={"body": "said before", "_imported_sender": elsewhere}, do_not_index=True
        ),
        make_event(
            6,
            content={"body": "new", "reply_to_event_id": make_uid(0x1002)},
            original_content={"body": "old", "reply_to_event_id": make_uid(0x1001)},
            edited_at=later,
        ),
        make_reaction(7, to=1, sender_id=MODEL),
        make_reaction(8, to=4, kind="swp.room.redaction", unknown_key={"a": [1, {"b": None}]}),
        make_event(9, content={}, redacted_at=later),
        make_event(
            10,
            content={
                "msgtype": "swp.media",
                "body": "launch",
                "media_id": MEDIA[0]["media_id"],
                "thumbnail_id": MEDIA[2]["media_id"],
            },
        ),
        make_event(11, content={"msgtype": "swp.media", "media_id": MEDIA[3]["media_id"]}),
        make_event(
            12,
            event_type="com.example.poll",
            content={
                "integers": [2**63 - 1, -(2**63), 0],
                "fractions": [0.1, 1e308, -2.5e-7],
                "constants": [True, False, None],
                "empty": [{}, [], ""],
                "nested": {"a": {"b": {"c": [[["deep"]]]}}},
                "clé 日本": "keys in every script",
            },
        ),
        make_event(13, event_type="swp.room.read_marker", content={"event_id": make_uid(0x1001)}),
        make_event(14, event_type="swp.sidekick.note", content={"note": "private"}),
        make_reaction(15, to=14),
        make_reply(16, to=13),
        make_event(17, event_type="swp.room.member", content={"participant_id": MODEL}),
        make_event(18, event_type="swp.room.name", content={"name": "Launch"}),
        make_event(19, event_type="swp.call.started", content={}, stream_position=2**62),
    ]


def make_document() -> JSON:
    room = {
        **ROOM,
        "name": "Launch 🚀",
        "topic": "Tout est prêt",
        "room_type": "public",
        "state": "archived",
        "is_public": True,
        "visibility": "restricted",
        "read_role_slugs": ["crew", "press"],
        "room_alias": "launch",
        "unknown_key": [],
    }
    return make_manifest(
        *_make_events(), room=room, senders=SENDERS, media=MEDIA, unknown_key={"a": 1}
    )


def make_signing_key() -> Any:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(SEED)


def sign_document(unsigned: JSON) -> JSON:
    """The document with key id and signature, by nothing of the product's own code."""
    public = make_signing_key().public_key().public_bytes_raw()
    x = _url_safe(public)
    thumbprint = sha256(f'{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}'.encode()).digest()
    whole = {**unsigned, "key_id": _url_safe(thumbprint), "algorithm": "ed25519"}
    del whole["signature"]
    text = json.dumps(whole, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    by_key = make_signing_key().sign(text.encode())
    return {**whole, "signature": base64.b64encode(by_key).decode()}


def _url_safe(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def make_golden() -> bytes:
    whole = make_document()
    entries = make_entries(whole, ("launch.png", PHOTO), ("größe 日本.txt", NOTES))
    parts = [make_part(name, data) for name, data in entries.items()]
    # Stored and deflated, with and without sizes behind the data.
    parts[0] = add_descriptor(parts[0])
    parts[2] = replace(parts[2], method=0)
    signed_by = sign_document(make_signature(entries, whole, signed_at=WHEN))
    return make_zip(*parts, make_part("signature.json", json.dumps(signed_by).encode()))


def make_golden_increment() -> bytes:
    """The first increment of the golden bundle, with every kind of change."""
    with zipfile.ZipFile(GOLDEN) as archive:
        raw = archive.read("manifest.json")
    base, root, data = json.loads(raw), sha256(raw).hexdigest(), b"new file"
    first, *kept, last = base["events"]
    changed = {**first, "content": {"msgtype": "swp.text", "body": "changed"}, "edited_at": WHEN}
    added = make_event(900, content={"msgtype": "swp.text", "body": SCRIPTS})
    after = sum(
        int.from_bytes(blake2b(_encode(event), digest_size=16).digest())
        for event in (changed, *kept, added)
    )
    row = make_media_row(data, "new.txt", mime_type="text/plain")
    whole = {
        **base,
        "version": 2,
        "kind": "increment",
        "chain": {"root": root, "parent": root, "sequence": 1, "since": base["exported_at"]},
        "after": {
            "events": len(kept) + 2,
            "media": len(base["media"]),
            "digest": f"{after % 2**128:032x}",
        },
        "room": {**base["room"], "topic": "Changed"},
        "senders": {
            ANNA: {**base["senders"][ANNA], "display_name": "Deleted user", "avatar_url": "",
                   "change": "changed", "previous_fqid": None},
            **{
                key: {**base["senders"][key], "change": None, "previous_fqid": None}
                for key in {first["sender_id"], added["sender_id"]} - {ANNA}
            },
        },
        "media": [row],
        "media_removed": [{key: base["media"][1][key] for key in ("media_id", "name")}],
        "deleted": [last["id"]],
        "events": [{"change": "changed", **changed}, {"change": "added", **added}],
    }  # fmt: skip
    entries = make_entries(whole, ("new.txt", data))
    parts = [make_part(name, content) for name, content in entries.items()]
    signed_by = sign_document(make_signature(entries, whole, signed_at=WHEN))
    return make_zip(*parts, make_part("signature.json", json.dumps(signed_by).encode()))


def _encode(event: JSON) -> bytes:
    return json.dumps(event, ensure_ascii=False).encode()


if __name__ == "__main__":
    for path, make in ((GOLDEN, make_golden), (GOLDEN_INCREMENT, make_golden_increment)):
        if not path.exists():
            path.write_bytes(make())
