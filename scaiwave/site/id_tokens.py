"""The ID token, for ending the session at ScaiKey: encrypted, in the session of the sign-in."""

from __future__ import annotations

import logging

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase

from scaiwave.config.encryption import load_fernets
from scaiwave.core.errors import ScaiWaveError

_KEY = "scaikey_sign_out"
_PURPOSE = "scaiwave.site.id_tokens"

logger = logging.getLogger(__name__)


def save_id_token(session: SessionBase, token: str) -> None:
    """Keep the token. Without a key to encrypt with it is not kept: only the sign-out needs it."""
    try:
        newest = load_fernets(settings.CONFIG, purpose=_PURPOSE)[0]
    except ScaiWaveError as error:
        logger.warning("Sign-outs send ScaiKey no ID token: %s", error.message)
    else:
        session[_KEY] = newest.encrypt(token.encode()).decode()


def find_id_token(session: SessionBase) -> str:
    """Return the token; "" without one, and once its key is no longer configured."""
    if not (encrypted := session.get(_KEY)):
        return ""
    from cryptography.fernet import InvalidToken, MultiFernet

    try:
        keys = MultiFernet(load_fernets(settings.CONFIG, purpose=_PURPOSE))
        return keys.decrypt(encrypted).decode()
    except (InvalidToken, ScaiWaveError) as error:
        logger.warning("The ID token of a session can't be decrypted: %r", error)
        return ""
