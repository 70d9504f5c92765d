"""signature.json: what is in the archive, and the server's word for it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from rfc8785 import dumps as canonical

from rooms.bundle.format import ALGORITHM, FORMAT, VERSION


class Signer(Protocol):
    """A key that signs. `sign` returns the raw bytes of the signature."""

    @property
    def key_id(self) -> str: ...

    def sign(self, data: bytes) -> bytes: ...


@dataclass(frozen=True)
class Counts:
    events: int
    senders: int
    media: int
    missing_media: int


class SignatureDocumentBuilder:
    """Takes the entries as they are written; a record of each is kept as text, which is small."""

    def __init__(self, server_name: str, signed_at: str) -> None:
        self._server_name = server_name
        self._signed_at = signed_at
        self._entries = bytearray()

    def add(self, name: str, sha256: str, size: int) -> None:
        if self._entries:
            self._entries += b","
        self._entries += canonical({"name": name, "sha256": sha256, "size": size})

    def signed(self, counts: Counts, signer: Signer | None) -> Iterator[bytes]:
        """The document in pieces; its last key is the signature over all that comes before."""
        document = self._unsigned(counts, signer.key_id if signer else None)
        signature = base64.b64encode(signer.sign(document)).decode() if signer else None
        yield document[:-1]
        yield b',"signature":' + canonical(signature) + b"}\n"

    def _unsigned(self, counts: Counts, key_id: str | None) -> bytes:
        document: dict[str, Any] = {
            "algorithm": ALGORITHM if key_id else None,
            "counts": vars(counts),
            "entries": [],
            "format": FORMAT,
            "key_id": key_id,
            "server_name": self._server_name,
            "signed_at": self._signed_at,
            "version": VERSION,
        }
        before, after = canonical(document).split(b'"entries":[', 1)
        return b"".join((before, b'"entries":[', self._entries, after))
