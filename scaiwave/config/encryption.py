"""Encryption with SCAIWAVE_ENCRYPTION_KEYS (Fernet), for each purpose with keys of its own."""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING

from scaiwave.config import Configuration
from scaiwave.config.secret_keys import get_encryption_keys
from scaiwave.core.errors import SettingInvalid

if TYPE_CHECKING:  # Importing it is slow, and most commands encrypt nothing.
    from cryptography.fernet import Fernet


def load_fernets(config: Configuration, *, purpose: str = "") -> list[Fernet]:
    """Return the keys, newest first: from the setting, or derived for a purpose.

    With derived keys, no text of one purpose can be decrypted for another. Raises SettingMissing
    and SettingInvalid.
    """
    from cryptography.fernet import Fernet

    keys = get_encryption_keys(config)
    try:
        fernets = [Fernet(key) for key in keys]
    except ValueError:
        raise SettingInvalid(
            "SCAIWAVE_ENCRYPTION_KEYS contains a value that is not a Fernet key.",
            fix="Generate a key (32 random bytes in URL-safe base64) with "
            "`openssl rand -base64 32 | tr '+/' '-_'`.",
        ) from None
    if not purpose:
        return fernets
    derived = (hmac.digest(key.encode(), purpose.encode(), "sha256") for key in keys)
    return [Fernet(base64.urlsafe_b64encode(key)) for key in derived]
