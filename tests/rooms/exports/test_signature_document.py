from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from rooms.bundle.manifest.schema import BundleCounts, SignedEntry
from rooms.bundle.signature import SignatureDocumentBuilder

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
COUNTS = BundleCounts(events=120, senders=3, media=4, missing_media=1)


@dataclass(frozen=True)
class Key:
    key_id: str = "kid"

    def sign(self, data: bytes) -> bytes:
        return KEY.sign(data)


def encode_document(signer: Key | None, *names: str) -> bytes:
    document = SignatureDocumentBuilder('chat.example.com "é', "2026-11-24T19:05:00.000000Z")
    for number, name in enumerate(names):
        document.add(SignedEntry(name, f"{number:064x}", number))
    return b"".join(document.encode(COUNTS, signer))


def test_success_signature_is_over_the_canonical_form_of_the_rest() -> None:
    name = f"media/00/{''.join(map(chr, range(256)))} \u2028 東京 \U0001f600 \ue000.png"
    text = encode_document(Key(), "manifest.json", name)
    document = json.loads(text)
    signature = base64.b64decode(document.pop("signature"), validate=True)
    KEY.public_key().verify(signature, rfc8785.dumps(document))
    assert document == {
        "format": "scaiwave-room-bundle",
        "version": 1,
        "server_name": 'chat.example.com "é',
        "signed_at": "2026-11-24T19:05:00.000000Z",
        "entries": [
            {"name": "manifest.json", "sha256": "0" * 64, "size": 0},
            {"name": name, "sha256": "0" * 63 + "1", "size": 1},
        ],
        "counts": {"events": 120, "senders": 3, "media": 4, "missing_media": 1},
        "key_id": "kid",
        "algorithm": "ed25519",
    }


def test_success_without_a_key() -> None:
    document = json.loads(encode_document(None, "manifest.json"))
    assert [document[key] for key in ("key_id", "algorithm", "signature")] == [None, None, None]
    assert len(document["entries"]) == 1


def test_success_room_name_that_looks_like_the_entries() -> None:
    document = json.loads(encode_document(Key('","entries":[],"x":"'), 'a","entries":[', "b"))
    assert [entry["name"] for entry in document["entries"]] == ['a","entries":[', "b"]
