"""Sign and verify for apps below this one, which get it from `scaiwave.extensions`."""

from __future__ import annotations

from datetime import datetime

from federation.errors import InvalidKey, KeyDamaged, KeyUnreadable, NoSigningKey
from federation.keys import ed25519
from federation.keys.encryption import decrypt_seed
from federation.keys.queries import load_keys, signing_key
from federation.models import ServerKey
from scaiwave.core.signatures import KnownKey


class FederationSigner:
    """Implements `scaiwave.core.signatures.ServerSigner` with the federation keys."""

    def sign(self, data: bytes, now: datetime) -> tuple[str, bytes]:
        if (key := signing_key(now)) is None:
            raise NoSigningKey("This server has no signing key.")
        return key.key_id, ed25519.sign(data, decrypt_seed(key))

    def find_signing_key(self, now: datetime) -> KnownKey | None:
        key = signing_key(now)
        return _describe(key) if key is not None else None

    def load_keys(self) -> dict[str, KnownKey]:
        """Leave out rows that are not a key, or not the one that their ID names."""
        return {key.key_id: _describe(key) for key in load_keys() if _is_genuine(key)}

    def parse_key(self, text: str) -> KnownKey:
        public_key = ed25519.parse_public_key(text)
        return KnownKey(ed25519.compute_thumbprint(public_key), text)

    def verify(self, data: bytes, signature: bytes, key: KnownKey) -> bool:
        return ed25519.verify(signature, data, ed25519.parse_public_key(key.public_key))


def _describe(key: ServerKey) -> KnownKey:
    return KnownKey(
        key.key_id,
        ed25519.format_stored_key(key),
        is_proven=key.revoked_at is None and _has_private_key(key),
        signs_from=key.signs_from,
        verifies_until=key.retires_at,
        revoked_at=key.revoked_at,
    )


def _is_genuine(key: ServerKey) -> bool:
    try:
        return ed25519.compute_thumbprint(ed25519.parse_stored_key(key)) == key.key_id
    except InvalidKey:
        return False


def _has_private_key(key: ServerKey) -> bool:
    try:
        decrypt_seed(key)
    except (KeyUnreadable, KeyDamaged):
        return False
    return True
