"""The life of a signing key: generated, rotated, revoked, and encrypted again.

Every change of keys follows the same steps: check the permission, lock the keys, check that the
change still makes sense, store it, and write the audit entry in the same transaction. A new key
signs once inside that transaction, so that a key which does not work is never stored.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

from django.db import connection, transaction

from federation.errors import (
    InvalidOverlap,
    KeyDamaged,
    KeyExists,
    KeyFromFuture,
    KeyNotFound,
    NoSigningKey,
)
from federation.keys import ed25519
from federation.keys.encryption import (
    decrypt_seed,
    encrypt_seed,
    key_unreadable_error,
    load_encryption_keys,
)
from federation.keys.queries import (
    MAX_OVERLAP_DAYS,
    build_key_row,
    find_current_key,
    has_future_times,
    load_keys,
    signing_key,
)
from federation.models import ServerKey
from scaiwave.console.text import pluralize
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.clock import is_in_future
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.sql import execute
from tenants.audit.record import record_audit
from tenants.errors import AmbiguousName

logger = logging.getLogger(__name__)

OVERLAP_DAYS = 30
_BEFORE = timedelta(microseconds=1)
"""By how much a corrected key is older than the one that replaces it."""

MIN_PREFIX_CHARS = 8
"""How much of a key ID is enough to name the key."""

# Generate


GENERATION = ChangeWords(
    "key",
    "Would create a key that signs from now on.",
    "Key {key_id} created; it signs from now on.",
)


def generate_key(*, operator: Operator, now: datetime, dry_run: bool = False) -> Change:
    """Create this server's first key, or the first one after the last was revoked.

    Raises KeyExists, SettingMissing, SettingInvalid.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    # Before an encryption key is created for it, which a missing database makes useless.
    _check_no_current_key(now)
    key = new_key(now)
    if dry_run:
        return Change(GENERATION, None, dry_run=True)
    with transaction.atomic():
        lock_keys()
        _check_no_current_key(now)
        corrected = _correct_future_times(now, now + timedelta(days=OVERLAP_DAYS))
        save_key(key)
        details = {"public_key": key.public_key, **corrected}
        record_audit(operator, "federation key generate", key, now, details)
    return Change(GENERATION, build_key_row(key, key, now), changed=True)


def _check_no_current_key(now: datetime) -> None:
    key = find_current_key()
    if key is None:
        return
    if is_in_future(key.signs_from, now):
        raise KeyExists(
            f"This server already has a key, {key.key_id}, which signs only from "
            f"{key.signs_from:%Y-%m-%d %H:%M} UTC.",
            fix=KeyFromFuture.fix,
        )
    raise KeyExists(f"This server already has a signing key: {key.key_id}.")


# Rotate


ROTATION = ChangeWords(
    "key",
    "Would create a new key; {old} would verify until {until:%Y-%m-%d %H:%M} UTC.",
    "Key {key_id} created; it signs from now on. Key {old} verifies until {until:%Y-%m-%d %H:%M} "
    "UTC.",
    "Another run has already replaced key {old} with {key_id}; nothing was changed.",
)


def rotate_key(
    *,
    operator: Operator,
    overlap_days: int = OVERLAP_DAYS,
    now: datetime,
    started_at: datetime | None = None,
    dry_run: bool = False,
) -> Change:
    """Create a new signing key; the one it replaces verifies for `overlap_days` more.

    Concurrent runs replace the same key: the first one creates the new key and the others report
    it. That includes a run that `started_at` a time before the rotation and looked only after it.
    Times in the future, which a wrong clock has left, are corrected.

    Raises NoSigningKey, InvalidOverlap, and KeyUnreadable if the encryption keys can't decrypt the
    current key.
    """
    # 1. Check everything that can be checked before the lock.
    operator.require(Permission.MANAGE_PLATFORM)
    if not 0 <= overlap_days <= MAX_OVERLAP_DAYS:
        raise InvalidOverlap(
            f"Invalid overlap: {overlap_days} days.",
            fix=f"Pass 0 to {MAX_OVERLAP_DAYS} days (peers need about {OVERLAP_DAYS} to refresh).",
        )
    retires_at = now + timedelta(days=overlap_days)
    old = _require_current_key()
    with suppress(KeyDamaged):  # A damaged key may be replaced, one of other encryption keys not.
        decrypt_seed(old)
    new = new_key(now)
    if dry_run:
        old.retires_at = retires_at
        return _build_rotation(None, old, now, dry_run=True)
    # 2. Stop if another run has replaced the key since this one started.
    if previous := _find_key_replaced_since(started_at or now, now, current=old):
        return _build_rotation(old, previous, now)
    # 3. Replace the key, unless another run does so while this one waits for the lock.
    logger.info("Replacing key %s.", old.key_id)
    signing = _replace_key(operator, old, new, retires_at, now)
    # 4. Report the key that signs now, and the one it replaced.
    old.refresh_from_db()
    return _build_rotation(signing, old, now, changed=signing is new)


def _build_rotation(
    signing: ServerKey | None,
    previous: ServerKey,
    now: datetime,
    *,
    changed: bool = False,
    dry_run: bool = False,
) -> Change:
    """`signing` is the key that signs now, None in a dry run."""
    row = None if signing is None else build_key_row(signing, signing, now)
    names = {"old": previous.key_id, "until": previous.retires_at}
    rest = {"previous_key": build_key_row(previous, signing, now)}
    return Change(ROTATION, row, changed, dry_run, names, rest)


def _require_current_key() -> ServerKey:
    key = find_current_key()
    if key is None:
        raise NoSigningKey("This server has no signing key to replace.")
    return key


def _find_key_replaced_since(
    started_at: datetime, now: datetime, *, current: ServerKey
) -> ServerKey | None:
    """Return the key that the current one replaced, if that rotation happened since then.

    A key from the future was not created since then, but by a clock that was ahead.
    """
    if current.created_at <= started_at or has_future_times(current, now):
        return None
    retired = ServerKey.objects.exclude(retires_at=None)
    return retired.order_by("-signs_from", "-created_at", "-id").first()


def _replace_key(
    operator: Operator, old: ServerKey, new: ServerKey, retires_at: datetime, now: datetime
) -> ServerKey:
    """Replace the old key, unless another run has done so. Return the key that signs now."""
    with transaction.atomic():
        lock_keys()
        current = _require_current_key()
        if current.pk != old.pk:
            return current
        current.retires_at = retires_at
        current.save(update_fields=["retires_at"])
        corrected = _correct_future_times(now, retires_at)
        save_key(new)
        details = {
            "public_key": new.public_key,
            "previous_key_id": current.key_id,
            "previous_verifies_until": retires_at.isoformat(),
            **corrected,
        }
        record_audit(operator, "federation key rotate", new, now, details)
    return new


def _correct_future_times(now: datetime, retires_at: datetime) -> dict[str, list[str]]:
    """Correct the keys that a clock which was ahead has dated, before a new key is stored.

    They have signed until now, and verify no longer than the key that is replaced. Returns details
    for the audit log.
    """
    wrong = [key for key in load_keys() if has_future_times(key, now)]
    for key in wrong:
        key.created_at = min(key.created_at, now - _BEFORE)
        key.signs_from = min(key.signs_from, now - _BEFORE)
        key.retires_at = min(key.retires_at or retires_at, retires_at)
        key.save(update_fields=["created_at", "signs_from", "retires_at"])
    return {"corrected_key_ids": [key.key_id for key in wrong]} if wrong else {}


# Revoke

REVOCATION = ChangeWords(
    "key",
    "Would revoke key {key_id}.",
    "Key {key_id} revoked; its signatures are no longer valid.",
    "Key {key_id} is already revoked; nothing changed.",
)
NO_SIGNING_KEY = (
    "This server has no signing key now. Run `scaiwave admin federation key generate`, then tell "
    "your peers' administrators that the key has changed."
)


def revoke_key(
    *,
    operator: Operator,
    key_id: str,
    confirm: Callable[[str], None],
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Invalidate every signature of a key and erase its private key. It can't be undone.

    `confirm` is called with the question and raises unless the operator agrees. Raises
    KeyNotFound and AmbiguousName.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    key = _find_key(key_id)
    if key.revoked_at is not None or dry_run:
        return _build_revoke_result(key, now, dry_run=dry_run)
    confirm(_describe_revocation(key, now))
    with transaction.atomic():
        lock_keys()
        key.refresh_from_db()
        revoked = key.revoked_at is None
        if revoked:
            key.revoked_at = now
            key.private_key_encrypted = ""
            key.save(update_fields=["revoked_at", "private_key_encrypted"])
            record_audit(
                operator, "federation key revoke", key, now, {"public_key": key.public_key}
            )
    return _build_revoke_result(key, now, revoked=revoked)


def _find_key(name: str) -> ServerKey:
    """Find a key by its key ID, by the beginning of it, or by the row's UUID."""
    keys = load_keys()
    matches = [key for key in keys if name in (key.key_id, str(key.pk))]
    if not matches and len(name) >= MIN_PREFIX_CHARS:
        matches = [key for key in keys if key.key_id.startswith(name)]
    if not matches:
        raise KeyNotFound(f"Key not found: {name!r}.")
    if len(matches) > 1:
        raise AmbiguousName(
            f"Key ID {name!r} is ambiguous; it matches {len(matches)} keys: "
            + ", ".join(sorted(key.key_id for key in matches))
            + ".",
            fix="Use the whole key ID.",
        )
    return matches[0]


def _describe_revocation(key: ServerKey, now: datetime) -> str:
    effects = (
        f"This invalidates every signature made with key {key.key_id} and erases its private key. "
        "It can't be undone."
    )
    signing = signing_key(now)
    if signing is not None and signing.pk == key.pk:
        effects += " It is the signing key: nothing is signed until you generate a new one."
    return effects


def _build_revoke_result(
    key: ServerKey, now: datetime, *, revoked: bool = False, dry_run: bool = False
) -> Change:
    signing = signing_key(now)
    return Change(
        REVOCATION,
        build_key_row(key, signing, now),
        revoked,
        dry_run,
        rest={"no_signing_key": signing is None},
        cautions=[NO_SIGNING_KEY] if signing is None else [],
    )


# Re-encrypt


REENCRYPTION = ChangeWords(
    "reencrypted",
    "Would re-encrypt {keys} with the newest of SCAIWAVE_ENCRYPTION_KEYS.",
    "Re-encrypted {keys} with the newest of SCAIWAVE_ENCRYPTION_KEYS; the older ones are needed "
    "only for backups.",
    "Nothing to change: {are} already encrypted with the newest of SCAIWAVE_ENCRYPTION_KEYS.",
)


def reencrypt_keys(*, operator: Operator, now: datetime, dry_run: bool = False) -> Change:
    """Encrypt every private key with the newest of SCAIWAVE_ENCRYPTION_KEYS: all, or none.

    Raises NoSigningKey if no private key is stored. Raises KeyUnreadable naming every key that no
    encryption key can decrypt, or all keys if the setting is missing or invalid.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    with transaction.atomic():
        lock_keys()
        keys = [key for key in load_keys() if key.private_key_encrypted]
        if not keys:
            raise NoSigningKey("This server has no private key to encrypt.")
        encryption = load_encryption_keys(*(key.key_id for key in keys))
        unreadable = [key.key_id for key in keys if not encryption.can_decrypt(key)]
        if unreadable:
            raise key_unreadable_error(*unreadable)
        changed = [key for key in keys if not encryption.is_current(key)]
        for key in changed:
            key.private_key_encrypted = encryption.reencrypt(key)
        if changed and not dry_run:
            ServerKey.objects.bulk_update(changed, ["private_key_encrypted"])
            # One entry covers all keys; its subject is the newest of them.
            details = {"key_ids": [key.key_id for key in changed]}
            record_audit(operator, "federation key reencrypt", changed[0], now, details)
    unchanged = [key.key_id for key in keys if key not in changed]
    are = "the key is" if len(unchanged) == 1 else f"the {len(unchanged)} keys are"
    return Change(
        REENCRYPTION,
        [key.key_id for key in changed],
        bool(changed) and not dry_run,
        bool(changed) and dry_run,
        names={"keys": pluralize(len(changed), "key"), "are": are},
        rest={"unchanged": unchanged},
    )


# Steps that the acts above share


def lock_keys() -> None:
    """Block other changes of keys until the transaction ends. Reading stays possible.

    SQLite needs no lock, since only one transaction at a time can write.
    """
    if connection.vendor == "postgresql":
        execute(f"LOCK TABLE {ServerKey._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")


def new_key(now: datetime) -> ServerKey:
    """Build a key that signs from now on, without saving it.

    Raises SettingMissing or SettingInvalid.
    """
    while True:
        seed = ed25519.generate_seed()
        public_key = ed25519.derive_public_key(seed)
        key_id = ed25519.compute_thumbprint(public_key)
        if not key_id.startswith("-"):  # The command line would take such an ID for options.
            break
    return ServerKey(
        key_id=key_id,
        public_key=ed25519.to_base64(public_key),
        private_key_encrypted=encrypt_seed(seed),
        created_at=now,
        signs_from=now,
    )


def save_key(key: ServerKey) -> None:
    """Insert the key, then self-test the stored row. Call it inside a transaction."""
    key.save(force_insert=True)
    self_test(ServerKey.objects.get(pk=key.pk))


def self_test(key: ServerKey) -> None:
    """Sign with the stored private key, and verify with the public key.

    Raises KeyUnreadable and KeyDamaged.
    """
    challenge = os.urandom(32)
    signature = ed25519.sign(challenge, decrypt_seed(key))
    if not ed25519.verify(signature, challenge, ed25519.parse_stored_key(key)):
        raise KeyDamaged(f"A signature made with key {key.key_id} fails verification.")
