"""This server's keys: which one signs, what state each is in, and the list of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum

from federation.errors import KeyFromFuture
from federation.keys.ed25519 import format_stored_key
from federation.models import ServerKey
from scaiwave.core.clock import get_latest_time, is_in_future
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from tenants.lookup.serializers import Row

MAX_OVERLAP_DAYS = 365
"""The longest time that a replaced key may keep verifying."""

ROTATION_PERIOD = timedelta(days=365)
"""Keys are rotated yearly (ScaiWave docs, concepts/federation)."""

REMIND_AFTER = timedelta(days=335)
"""Reminders start 30 days, one default overlap, before the rotation is due."""

NO_KEY = (
    "This server has no signing key, so no peer can trust it. "
    "Run `scaiwave admin federation key generate`."
)


class KeyState(Enum):
    NEXT = "next"
    SIGNING = "signing"
    VERIFYING = "verifying"
    RETIRED = "retired"
    REVOKED = "revoked"


def list_keys(*, operator: Operator, now: datetime) -> Report:
    """List every key this server has ever had, with warnings that ask for action."""
    operator.require(Permission.VIEW_PLATFORM)
    keys = load_keys()
    signing = find_signing_key(keys, now)
    warnings = []
    if fault := find_time_fault(keys, now):
        warnings.append(f"{fault.message} {fault.fix}")
    elif signing is None:
        warnings.append(NO_KEY)
    elif is_rotation_near(signing, now):
        days = (now - signing.signs_from).days
        warnings.append(
            f"The yearly rotation is due: key {signing.key_id} has been signing for {days} days. "
            "Run `scaiwave admin federation key rotate`."
        )
    rows = [build_key_row(key, signing, now) for key in keys]
    return Report({"keys": rows}, warnings=warnings)


def load_keys() -> list[ServerKey]:
    """Load every key this server has ever had, newest first."""
    return list(ServerKey.objects.order_by("-signs_from", "-created_at", "-id"))


def find_current_key() -> ServerKey | None:
    """Return the key that is not retired or revoked: it signs now or will soon."""
    keys = ServerKey.objects.filter(retires_at=None, revoked_at=None)
    return keys.order_by("-signs_from", "-created_at", "-id").first()


def signing_key(now: datetime) -> ServerKey | None:
    """Return the key that signs at this time, or None."""
    return find_signing_key(load_keys(), now)


def find_signing_key(keys: Sequence[ServerKey], now: datetime) -> ServerKey | None:
    """Return the key that signs, given all keys, newest first.

    This is the current key; before its `signs_from`, it is the one before it. Without a current
    key nothing signs: revoking a key does not reactivate the one it replaced.
    """
    current = next((key for key in keys if not key.retires_at and not key.revoked_at), None)
    if current is None or not is_in_future(current.signs_from, now):
        return current
    return next((key for key in keys if key.signs_from <= now and is_valid(key, now)), None)


def has_future_times(key: ServerKey, now: datetime) -> bool:
    """Return whether the key was created or replaced while a clock was ahead of `now`.

    A revoked key is revoked, whenever that was.
    """
    if key.revoked_at is not None:
        return False
    latest = get_latest_time(now)
    return max(key.created_at, key.signs_from) > latest or (
        key.retires_at is not None and key.retires_at - latest > timedelta(days=MAX_OVERLAP_DAYS)
    )


def find_time_fault(keys: Sequence[ServerKey], now: datetime) -> KeyFromFuture | None:
    """Return the error about keys with times in the future, if there are any."""
    wrong = [key for key in keys if has_future_times(key, now)]
    if not wrong:
        return None
    times = [
        f"{key.key_id} signs from {key.signs_from:%Y-%m-%d %H:%M} UTC"
        if is_in_future(max(key.signs_from, key.created_at), now)
        else f"{key.key_id} verifies until {key.retires_at:%Y-%m-%d %H:%M} UTC"
        for key in wrong
    ]
    consequence = "" if find_signing_key(keys, now) else " Nothing is signed now."
    return KeyFromFuture(f"Keys have times in the future: {'; '.join(times)}.{consequence}")


def is_valid(key: ServerKey, now: datetime) -> bool:
    """Return whether the key is not revoked and not expired."""
    return key.revoked_at is None and (key.retires_at is None or key.retires_at > now)


def get_key_state(key: ServerKey, signing: ServerKey | None, now: datetime) -> KeyState:
    if key.revoked_at is not None:
        return KeyState.REVOKED
    if not is_valid(key, now):
        return KeyState.RETIRED
    if signing is not None and key.pk == signing.pk:
        return KeyState.SIGNING
    return KeyState.NEXT if key.signs_from > now else KeyState.VERIFYING


def build_key_row(key: ServerKey, signing: ServerKey | None, now: datetime) -> Row:
    """Describe one key, with the keys of `--json`.

    `days_left` counts started days: for the signing key until its rotation is due (negative once
    it is overdue), for a verifying key until it expires; None for all others.
    """
    state = get_key_state(key, signing, now)
    return {
        "id": key.pk,
        "key_id": key.key_id,
        "state": state.value,
        "public_key": format_stored_key(key),
        "created_at": key.created_at,
        "signing_starts_at": key.signs_from,
        "verification_ends_at": key.retires_at,
        "revoked_at": key.revoked_at,
        "days_left": _count_days_left(key, state, now),
        "rotation_due_at": get_rotation_due_at(key) if state is KeyState.SIGNING else None,
    }


def get_rotation_due_at(key: ServerKey) -> datetime:
    return key.signs_from + ROTATION_PERIOD


def is_rotation_near(key: ServerKey, now: datetime) -> bool:
    return now - key.signs_from >= REMIND_AFTER


def _count_days_left(key: ServerKey, state: KeyState, now: datetime) -> int | None:
    if state is KeyState.SIGNING:
        return count_days_until(get_rotation_due_at(key), now)
    if state is KeyState.VERIFYING and key.retires_at is not None:
        return count_days_until(key.retires_at, now)
    return None


def count_days_until(end: datetime, now: datetime) -> int:
    """Count the started days, which are negative once it is over."""
    return -((now - end) // timedelta(days=1))
