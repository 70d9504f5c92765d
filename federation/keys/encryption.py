"""Private keys at rest: encrypted with SCAIWAVE_ENCRYPTION_KEYS, and decrypted for use.

The table holds the seed, encrypted with Fernet. The newest encryption key encrypts; each of them
can decrypt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from federation.errors import KeyDamaged, KeyUnreadable
from federation.keys import ed25519
from federation.models import ServerKey
from scaiwave.config.encryption import load_fernets
from scaiwave.core.errors import SettingInvalid, SettingMissing


@dataclass(frozen=True)
class EncryptionKeys:
    """The keys in SCAIWAVE_ENCRYPTION_KEYS: the newest one, and all of them together."""

    newest: Fernet
    all_keys: MultiFernet

    @classmethod
    def from_settings(cls) -> Self:
        """Raises SettingMissing or SettingInvalid."""
        fernets = load_fernets(settings.CONFIG)
        return cls(fernets[0], MultiFernet(fernets))

    def can_decrypt(self, key: ServerKey) -> bool:
        return _decrypt(self.all_keys, key) is not None

    def is_current(self, key: ServerKey) -> bool:
        """Return whether the private key is encrypted with the newest encryption key."""
        return _decrypt(self.newest, key) is not None

    def reencrypt(self, key: ServerKey) -> str:
        """Return the private key encrypted with the newest encryption key.

        One of the encryption keys must be able to decrypt it.
        """
        return self.all_keys.rotate(key.private_key_encrypted.encode()).decode()


def encrypt_seed(seed: bytes) -> str:
    """Return the seed in the form that is stored. Raises SettingMissing or SettingInvalid."""
    return EncryptionKeys.from_settings().all_keys.encrypt(seed).decode()


def decrypt_seed(key: ServerKey) -> bytes:
    """Return the seed of a stored key.

    Raises KeyUnreadable if the encryption keys are missing or can't decrypt it, KeyDamaged if the
    result does not match the public key.
    """
    seed = _decrypt(load_encryption_keys(key.key_id).all_keys, key)
    if seed is None:
        raise key_unreadable_error(key.key_id)
    if (
        len(seed) != ed25519.KEY_BYTES
        or ed25519.to_base64(ed25519.derive_public_key(seed)) != key.public_key
    ):
        raise KeyDamaged(f"The private key of {key.key_id} does not match its public key.")
    return seed


def load_encryption_keys(*key_ids: str) -> EncryptionKeys:
    """Load the encryption keys for these private keys. Raises KeyUnreadable, which names them."""
    try:
        return EncryptionKeys.from_settings()
    except SettingMissing as error:
        # That error's own fix is to generate a key, which could decrypt nothing that is stored.
        raise key_unreadable_error(*key_ids, reason=f": {error.message}") from None
    except SettingInvalid as error:
        raise key_unreadable_error(*key_ids, reason=f": {error.message}", fix=error.fix) from None


def key_unreadable_error(
    *key_ids: str, reason: str = " with SCAIWAVE_ENCRYPTION_KEYS.", fix: str | None = None
) -> KeyUnreadable:
    keys = "private key" if len(key_ids) == 1 else "private keys"
    return KeyUnreadable(
        f"The {keys} of {', '.join(key_ids)} can't be decrypted{reason}",
        fix=fix or KeyUnreadable.FIX.format(key_ids[0]),
        key_ids=list(key_ids),
    )


def _decrypt(fernet: Fernet | MultiFernet, key: ServerKey) -> bytes | None:
    try:
        return fernet.decrypt(key.private_key_encrypted.encode())
    except InvalidToken:
        return None
