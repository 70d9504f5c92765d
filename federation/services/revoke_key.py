from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from federation.errors import KeyNotFound
from federation.models import ServerKey
from federation.queries.key_rows import Row, key_row
from federation.queries.keys import all_keys, signing_key
from federation.services.keys import lock_keys
from scaiwave.auth.operators import Operator, Permission
from tenants.errors import AmbiguousName
from tenants.services.audit import record_audit

SHORTEST_BEGINNING = 8
"""Characters of a key id that are enough to name it."""


@dataclass(frozen=True)
class RevokeKeyResult:
    """`revoked` is False in a dry run, and for a key that was revoked before."""

    key: Row
    revoked: bool
    nothing_signs: bool
    dry_run: bool = False

    @property
    def sentence(self) -> str:
        key_id = self.key["key_id"]
        if self.dry_run:
            return f"Would revoke key {key_id}."
        if not self.revoked:
            return f"Key {key_id} is revoked already."
        return f"Revoked key {key_id}; what it has signed counts no more."

    @property
    def warning(self) -> str:
        """What to do about a server that signs nothing now; empty if it does."""
        if not self.nothing_signs:
            return ""
        return (
            "This server signs nothing now. Run `scaiwave admin federation key generate`, and tell "
            "your peers' administrators that the key has changed."
        )

    def document(self) -> Row:
        document = {
            "key": self.key,
            "revoked": self.revoked,
            "nothing_signs": self.nothing_signs,
        }
        return {**document, "dry_run": True} if self.dry_run else document


def revoke_key(
    *,
    operator: Operator,
    key_id: str,
    confirm: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> RevokeKeyResult:
    """Let a key verify nothing any more, and forget its private half. It can't be undone.

    `confirm` is asked with the consequences, and raises unless they are agreed to. Raises
    KeyNotFound and AmbiguousName.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    key = _found(key_id)
    if key.revoked_at is not None or dry_run:
        return _result(key, now, dry_run=dry_run)
    confirm(_question(key, now))
    with transaction.atomic():
        lock_keys()
        key.refresh_from_db()
        revoked = key.revoked_at is None
        if revoked:
            _revoke(operator, key, now)
    return _result(key, now, revoked=revoked)


def _found(name: str) -> ServerKey:
    """By the key id or a beginning of it, or by the row's UUID."""
    keys = all_keys()
    found = [key for key in keys if name in (key.key_id, str(key.pk))]
    if not found and len(name) >= SHORTEST_BEGINNING:
        found = [key for key in keys if key.key_id.startswith(name)]
    if not found:
        raise KeyNotFound(f"This server has no key {name!r}.")
    if len(found) > 1:
        raise AmbiguousName(
            f"{name!r} is the beginning of {len(found)} keys: "
            + ", ".join(sorted(key.key_id for key in found))
            + ".",
            fix="Use the whole key id.",
        )
    return found[0]


def _question(key: ServerKey, now: datetime) -> str:
    signing = signing_key(now)
    lost = "Nothing that it has signed will count any more, and this can't be undone."
    if signing is not None and signing.pk == key.pk:
        lost += " It is the key that signs: nothing will be signed until another is generated."
    return f"Revoke key {key.key_id}? {lost}"


def _revoke(operator: Operator, key: ServerKey, now: datetime) -> None:
    key.revoked_at = now
    key.private_key_encrypted = ""
    key.save(update_fields=["revoked_at", "private_key_encrypted"])
    record_audit(
        operator=operator,
        action="federation key revoke",
        subject=key,
        now=now,
        details={"public_key": key.public_key},
    )


def _result(
    key: ServerKey, now: datetime, *, revoked: bool = False, dry_run: bool = False
) -> RevokeKeyResult:
    signing = signing_key(now)
    return RevokeKeyResult(
        key_row(key, signing, now), revoked, nothing_signs=signing is None, dry_run=dry_run
    )
