"""What an app that has the keys of this server provides to apps below it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class KnownKey:
    """A public key, and whether it can be trusted.

    `is_proven` is true if this server has the private key: someone who can only
    write to the database can't add one. None of the times means unbounded.
    """

    key_id: str
    public_key: str
    """As in a descriptor: `ed25519:` and base64."""
    is_proven: bool = False
    signs_from: datetime | None = None
    verifies_until: datetime | None = None
    revoked_at: datetime | None = None


class ServerSigner(Protocol):
    """Signs with the key of this server, and verifies."""

    def sign(self, data: bytes, now: datetime) -> tuple[str, bytes]:
        """Return key ID and signature. Raises NoSigningKey and the errors of private keys."""
        ...

    def find_signing_key(self, now: datetime) -> KnownKey | None:
        """Return the key that signs at this time."""
        ...

    def load_keys(self) -> dict[str, KnownKey]:
        """Return every key that this server has had, by its ID."""
        ...

    def parse_key(self, text: str) -> KnownKey:
        """Parse `ed25519:<base64>`. Raises InvalidKey."""
        ...

    def verify(self, data: bytes, signature: bytes, key: KnownKey) -> bool:
        """Return whether the key made the signature, at whatever time."""
        ...
