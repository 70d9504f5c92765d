"""What is said of one key, wherever it is listed or shown. The keys are those of --json."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from federation.models import ServerKey
from federation.queries.keys import KeyState, key_state
from federation.services.public_keys import format_key

Row = dict[str, Any]

ROTATE_EVERY = timedelta(days=365)
"""Keys are rotated yearly (ScaiWave docs, concepts/federation)."""

REMIND_AFTER = timedelta(days=335)
"""Leaves the overlap's 30 days to get round to it."""


def key_row(key: ServerKey, signing: ServerKey | None, now: datetime) -> Row:
    """`days_left` counts begun days: of the signing key until its rotation is due (below 0 once
    it is overdue), of a verifying one until it expires; None for all others."""
    state = key_state(key, signing, now)
    return {
        "key_id": key.key_id,
        "state": state.value,
        "public_key": format_key(key),
        "created_at": key.created_at,
        "signs_from": key.signs_from,
        "verifies_until": key.retires_at,
        "revoked_at": key.revoked_at,
        "days_left": _days_left(key, state, now),
        "rotation_due_at": rotation_due_at(key) if state is KeyState.SIGNING else None,
    }


def rotation_due_at(key: ServerKey) -> datetime:
    return key.signs_from + ROTATE_EVERY


def is_rotation_near(key: ServerKey, now: datetime) -> bool:
    return now - key.signs_from >= REMIND_AFTER


def _days_left(key: ServerKey, state: KeyState, now: datetime) -> int | None:
    if state is KeyState.SIGNING:
        return _days_until(rotation_due_at(key), now)
    if state is KeyState.VERIFYING and key.retires_at is not None:
        return _days_until(key.retires_at, now)
    return None


def _days_until(end: datetime, now: datetime) -> int:
    return -((now - end) // timedelta(days=1))
