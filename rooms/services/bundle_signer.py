"""This server's key, as bundles are signed with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from federation.queries.keys import signing_key
from federation.services import ed25519
from federation.services.key_encryption import decrypt_seed


@dataclass(frozen=True)
class OwnKey:
    """The key that signed first is the one that is named: its id is part of what it signs."""

    key_id: str
    seed: bytes = field(repr=False)

    def sign(self, data: bytes) -> bytes:
        return ed25519.sign(data, self.seed)


def own_signer(now: datetime) -> OwnKey | None:
    """The key that signs now, opened; None where the server has none.

    Raises KeyUnreadable and KeyDamaged.
    """
    key = signing_key(now)
    return OwnKey(key.key_id, decrypt_seed(key)) if key else None
