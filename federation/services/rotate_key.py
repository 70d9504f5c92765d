from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from federation.errors import InvalidOverlap, KeyDamaged, NoSigningKey
from federation.models import ServerKey
from federation.queries.key_rows import Row, key_row
from federation.queries.keys import current_key
from federation.services.key_encryption import decrypt_seed
from federation.services.keys import lock_keys, new_key, save_key
from scaiwave.auth.operators import Operator, Permission
from tenants.services.audit import record_audit

logger = logging.getLogger(__name__)

OVERLAP_DAYS = 30
MOST_OVERLAP_DAYS = 365


@dataclass(frozen=True)
class RotateKeyResult:
    """`rotated` is False in a dry run, and when another run was first; `key` is what signs now."""

    key: Row | None
    previous: Row
    rotated: bool

    @property
    def sentence(self) -> str:
        old, until = self.previous["key_id"], self.previous["verifies_until"]
        if self.key is None:
            return f"Would make a new key; {old} would verify until {until:%Y-%m-%d %H:%M} UTC."
        new = self.key["key_id"]
        if not self.rotated:
            return f"Another run has just replaced key {old} by {new}; nothing was changed here."
        return (
            f"Made key {new}, which signs from now on; {old} verifies until "
            f"{until:%Y-%m-%d %H:%M} UTC."
        )

    def document(self) -> Row:
        document = {"key": self.key, "previous": self.previous, "rotated": self.rotated}
        return {**document, "dry_run": True} if self.key is None else document


def rotate_key(
    *,
    operator: Operator,
    overlap_days: int = OVERLAP_DAYS,
    now: datetime,
    began: datetime | None = None,
    dry_run: bool = False,
) -> RotateKeyResult:
    """Make a new signing key; the one it replaces verifies for `overlap_days` more.

    Runs at the same moment replace the same key, so the first of them makes the new one and the
    others find it there, also one that `began` before that and came to it later. Raises
    NoSigningKey, InvalidOverlap, and KeyUnreadable where the encryption keys are not those of the
    signing key.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    retires_at = now + _overlap(overlap_days)
    seen = _standing()
    _check_readable(seen)
    new = new_key(now)
    if dry_run:
        seen.retires_at = retires_at
        return RotateKeyResult(None, key_row(seen, None, now), rotated=False)
    if previous := _replaced_since(began or now, by=seen):
        return RotateKeyResult(
            key_row(seen, seen, now), key_row(previous, seen, now), rotated=False
        )
    logger.info("Replacing key %s.", seen.key_id)
    with transaction.atomic():
        lock_keys()
        standing = _standing()
        if standing.pk == seen.pk:
            _replace(operator, standing, new, retires_at, now)
    seen.refresh_from_db()
    signing = new if standing.pk == seen.pk else standing
    return RotateKeyResult(
        key_row(signing, signing, now), key_row(seen, signing, now), rotated=signing is new
    )


def _overlap(days: int) -> timedelta:
    if not 0 <= days <= MOST_OVERLAP_DAYS:
        raise InvalidOverlap(
            f"An overlap of {days} days is not possible.",
            fix=f"Pass 0 to {MOST_OVERLAP_DAYS} days; peers need about {OVERLAP_DAYS} to refresh.",
        )
    return timedelta(days=days)


def _standing() -> ServerKey:
    if (key := current_key()) is None:
        raise NoSigningKey("This server has no signing key to replace.")
    return key


def _check_readable(key: ServerKey) -> None:
    """Under encryption keys that are not those of the others, a new key would sign on this
    machine alone. A damaged key is best replaced."""
    with suppress(KeyDamaged):
        decrypt_seed(key)


def _replaced_since(began: datetime, *, by: ServerKey) -> ServerKey | None:
    """The key that this one has replaced, if a rotation did that since then."""
    if by.created_at <= began:
        return None
    retired = ServerKey.objects.exclude(retires_at=None)
    return retired.order_by("-signs_from", "-created_at", "-id").first()


def _replace(
    operator: Operator, old: ServerKey, new: ServerKey, retires_at: datetime, now: datetime
) -> None:
    old.retires_at = retires_at
    old.save(update_fields=["retires_at"])
    save_key(new)
    record_audit(
        operator=operator,
        action="federation key rotate",
        subject=new,
        now=now,
        details={
            "public_key": new.public_key,
            "previous_key_id": old.key_id,
            "previous_verifies_until": retires_at.isoformat(),
        },
    )
