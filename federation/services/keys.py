"""What generate and rotate have in common: a new key, proven in the transaction that stores it."""

from __future__ import annotations

import os
from datetime import datetime

from django.db import connection

from federation.errors import KeyDamaged
from federation.models import ServerKey
from federation.services import ed25519, public_keys
from federation.services.key_encryption import decrypt_seed, encrypt_seed
from federation.services.public_keys import raw_public_key


def lock_keys() -> None:
    """Hold off other changes of keys until the transaction ends; readers go on.

    On SQLite the transaction itself does, since only one can write.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {ServerKey._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")


def new_key(now: datetime) -> ServerKey:
    """A key that signs from now on; not saved. Raises SettingMissing or SettingInvalid."""
    seed, public_key = _new_halves()
    return ServerKey(
        key_id=public_keys.thumbprint(public_key),
        public_key=public_keys.to_base64(public_key),
        private_key_encrypted=encrypt_seed(seed),
        created_at=now,
        signs_from=now,
    )


def save_key(key: ServerKey) -> None:
    """Insert the key, and let what was stored sign once before anybody relies on it."""
    key.save(force_insert=True)
    self_test(ServerKey.objects.get(pk=key.pk))


def self_test(key: ServerKey) -> None:
    """Sign with the stored private half, and verify with the public one.

    Raises KeyUnreadable and KeyDamaged.
    """
    challenge = os.urandom(32)
    signature = ed25519.sign(challenge, decrypt_seed(key))
    if not ed25519.verify(signature, challenge, raw_public_key(key)):
        raise KeyDamaged(f"What key {key.key_id} signs, its public half does not verify.")


def _new_halves() -> tuple[bytes, bytes]:
    """An id that begins with a dash would look like an option on the command line."""
    while True:
        seed = ed25519.new_seed()
        public_key = ed25519.public_key(seed)
        if not public_keys.thumbprint(public_key).startswith("-"):
            return seed, public_key
