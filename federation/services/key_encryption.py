"""The private halves of our keys: at rest under SCAIWAVE_ENCRYPTION_KEYS, and in use.

What is stored is the seed, encrypted with Fernet; the newest encryption key encrypts, each of
them decrypts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from federation.errors import KeyDamaged, KeyUnreadable
from federation.models import ServerKey
from federation.services import ed25519, public_keys
from scaiwave.config.secret_keys import get_encryption_keys
from scaiwave.errors import SettingInvalid, SettingMissing


@dataclass(frozen=True)
class EncryptionKeys:
    """What SCAIWAVE_ENCRYPTION_KEYS holds."""

    newest: Fernet
    every: MultiFernet

    @classmethod
    def configured(cls) -> Self:
        """Raises SettingMissing or SettingInvalid."""
        try:
            fernets = [Fernet(key) for key in get_encryption_keys(settings.CONFIG)]
        except ValueError:
            raise SettingInvalid(
                "SCAIWAVE_ENCRYPTION_KEYS holds something that is not a Fernet key.",
                fix="A key is 32 random bytes in URL-safe base64: "
                "`openssl rand -base64 32 | tr '+/' '-_'` makes one.",
            ) from None
        return cls(fernets[0], MultiFernet(fernets))

    def opens(self, key: ServerKey) -> bool:
        return _decrypted(self.every, key) is not None

    def newest_opens(self, key: ServerKey) -> bool:
        return _decrypted(self.newest, key) is not None

    def rotated(self, key: ServerKey) -> str:
        """What is to be stored, under the newest; for a key that one of them opens."""
        return self.every.rotate(key.private_key_encrypted.encode()).decode()


def encrypt_seed(seed: bytes) -> str:
    """The seed as it is stored. Raises SettingMissing or SettingInvalid."""
    return EncryptionKeys.configured().every.encrypt(seed).decode()


def decrypt_seed(key: ServerKey) -> bytes:
    """The seed of a stored key.

    Raises KeyUnreadable where the encryption keys are missing or do not open it, KeyDamaged where
    what they open belongs to another public half.
    """
    encryption = load_encryption_keys(key.key_id)
    seed = _decrypted(encryption.every, key)
    if seed is None:
        raise key_unreadable_error(key.key_id)
    if not _fits(key, seed):
        raise KeyDamaged(f"The private half of key {key.key_id} does not fit its public half.")
    return seed


def load_encryption_keys(*key_ids: str) -> EncryptionKeys:
    """What should open these. Raises KeyUnreadable, which names them."""
    try:
        return EncryptionKeys.configured()
    except SettingMissing as error:
        # Its own fix is to make one, which would open nothing that is stored.
        raise key_unreadable_error(*key_ids, why=f": {error.message}") from None
    except SettingInvalid as error:
        raise key_unreadable_error(*key_ids, why=f": {error.message}", fix=error.fix) from None


def key_unreadable_error(
    *key_ids: str, why: str = " with SCAIWAVE_ENCRYPTION_KEYS.", fix: str | None = None
) -> KeyUnreadable:
    which = "half of key" if len(key_ids) == 1 else "halves of keys"
    return KeyUnreadable(
        f"The private {which} {', '.join(key_ids)} can't be decrypted{why}",
        fix=fix,
        key_ids=list(key_ids),
    )


def _decrypted(fernet: Fernet | MultiFernet, key: ServerKey) -> bytes | None:
    try:
        return fernet.decrypt(key.private_key_encrypted.encode())
    except InvalidToken:
        return None


def _fits(key: ServerKey, seed: bytes) -> bool:
    if len(seed) != public_keys.LENGTH:
        return False
    return public_keys.to_base64(ed25519.public_key(seed)) == key.public_key
