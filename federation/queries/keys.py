"""This server's keys, and what each of them does at a given time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum

from federation.models import ServerKey

DRIFT = timedelta(seconds=60)
"""How far clocks may be apart (ScaiWave docs, troubleshooting/federation-handshake-fails)."""


class KeyState(Enum):
    NEXT = "next"
    SIGNING = "signing"
    VERIFYING = "verifying"
    RETIRED = "retired"
    REVOKED = "revoked"


def all_keys() -> list[ServerKey]:
    """Every key ever made, newest first."""
    return list(ServerKey.objects.order_by("-signs_from", "-created_at", "-id"))


def current_key() -> ServerKey | None:
    """The key that no rotation has retired and nobody revoked: it signs, now or soon."""
    standing = ServerKey.objects.filter(retires_at=None, revoked_at=None)
    return standing.order_by("-signs_from", "-created_at", "-id").first()


def signing_key(now: datetime) -> ServerKey | None:
    return find_signing_key(all_keys(), now)


def find_signing_key(keys: Sequence[ServerKey], now: datetime) -> ServerKey | None:
    """The key that signs, of all keys, newest first.

    That is the standing one; until its time has come, the one before it. Without a standing one
    nothing signs: a key that a rotation has retired does not come back when its successor is
    revoked.
    """
    standing = next((key for key in keys if not key.retires_at and not key.revoked_at), None)
    if standing is None or standing.signs_from <= now + DRIFT:
        return standing
    return next((key for key in keys if key.signs_from <= now and is_valid(key, now)), None)


def is_valid(key: ServerKey, now: datetime) -> bool:
    """Whether others may still take its signatures."""
    return key.revoked_at is None and (key.retires_at is None or key.retires_at > now)


def key_state(key: ServerKey, signing: ServerKey | None, now: datetime) -> KeyState:
    if key.revoked_at is not None:
        return KeyState.REVOKED
    if not is_valid(key, now):
        return KeyState.RETIRED
    if signing is not None and key.pk == signing.pk:
        return KeyState.SIGNING
    return KeyState.NEXT if key.signs_from > now else KeyState.VERIFYING
