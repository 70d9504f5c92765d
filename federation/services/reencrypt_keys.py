from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from federation.errors import NoSigningKey
from federation.models import ServerKey
from federation.queries.key_rows import Row
from federation.queries.keys import all_keys
from federation.services.key_encryption import key_unreadable_error, load_encryption_keys
from federation.services.keys import lock_keys
from scaiwave.auth.operators import Operator, Permission
from tenants.services.audit import record_audit


@dataclass(frozen=True)
class ReencryptKeysResult:
    """Key ids: those encrypted anew, or that would be, and those that were under the newest."""

    reencrypted: list[str]
    unchanged: list[str]
    dry_run: bool = False

    @property
    def sentence(self) -> str:
        count, others = len(self.reencrypted), len(self.unchanged)
        what = f"{count} {'key' if count == 1 else 'keys'}"
        if not count:
            are = "the key is" if others == 1 else f"the {others} keys are"
            return f"Nothing to do: {are} under the newest of SCAIWAVE_ENCRYPTION_KEYS already."
        if self.dry_run:
            return f"Would encrypt {what} under the newest of SCAIWAVE_ENCRYPTION_KEYS."
        return (
            f"Encrypted {what} under the newest of SCAIWAVE_ENCRYPTION_KEYS; "
            "the older ones are needed for backups alone."
        )

    def document(self) -> Row:
        document: Row = {"reencrypted": self.reencrypted, "unchanged": self.unchanged}
        return {**document, "dry_run": True} if self.dry_run else document


def reencrypt_keys(
    *, operator: Operator, now: datetime, dry_run: bool = False
) -> ReencryptKeysResult:
    """Encrypt every private half under the newest of SCAIWAVE_ENCRYPTION_KEYS: all, or none.

    Raises NoSigningKey where no private half is stored, KeyUnreadable naming every key that none of
    the encryption keys opens, or all where the setting is missing or invalid.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    with transaction.atomic():
        lock_keys()
        keys = [key for key in all_keys() if key.private_key_encrypted]
        if not keys:
            raise NoSigningKey("This server has no private key to encrypt.")
        changed = _reencrypted(keys)
        if changed and not dry_run:
            ServerKey.objects.bulk_update(changed, ["private_key_encrypted"])
            _record(operator, changed, now)
    ids = [key.key_id for key in changed]
    rest = [key.key_id for key in keys if key not in changed]
    return ReencryptKeysResult(ids, rest, dry_run=dry_run)


def _reencrypted(keys: list[ServerKey]) -> list[ServerKey]:
    """The keys that were not under the newest, with what is to be stored."""
    encryption = load_encryption_keys(*(key.key_id for key in keys))
    lost = [key.key_id for key in keys if not encryption.opens(key)]
    if lost:
        raise key_unreadable_error(*lost)
    changed = [key for key in keys if not encryption.newest_opens(key)]
    for key in changed:
        key.private_key_encrypted = encryption.rotated(key)
    return changed


def _record(operator: Operator, changed: list[ServerKey], now: datetime) -> None:
    """One row about all of them; its subject is the newest."""
    record_audit(
        operator=operator,
        action="federation key reencrypt",
        subject=changed[0],
        now=now,
        details={"key_ids": [key.key_id for key in changed]},
    )
