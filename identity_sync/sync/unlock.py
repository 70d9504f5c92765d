"""End the session that has the lock of syncs, after its process hangs or its host is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction

from identity_sync.errors import SyncNotUnlocked
from identity_sync.models import LOCK
from identity_sync.sync.audit_run import SUBJECT_TYPE
from identity_sync.sync.lock import describe_holder, format_holder
from scaiwave.core.locks import end_lock_holder, find_lock_holder, is_locked
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import AuditSubject, record_audit


@dataclass(frozen=True)
class Unlocking:
    """`holder` is None if no sync has the lock."""

    holder: dict[str, Any] | None
    dry_run: bool

    @property
    def sentence(self) -> str:
        if self.holder is None:
            return "No sync has the lock; nothing changed."
        verb = "Would end" if self.dry_run else "Ended"
        return f"{verb} the session of {format_holder(self.holder)}."

    def document(self) -> dict[str, Any]:
        return {"lock": self.holder, "changed": self.holder is not None}


def unlock_sync(
    *, operator: Operator, confirm: Callable[[str], None], now: datetime, dry_run: bool = False
) -> Unlocking:
    """End exactly the session that `confirm` has named, if it still has the lock.

    Its transaction is rolled back. Raises `InsufficientPermission` and `SyncNotUnlocked`.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    found = find_lock_holder(LOCK)
    if found is None:
        if connection.vendor != "postgresql" and is_locked(LOCK):
            raise SyncNotUnlocked("On SQLite the lock of syncs ends with its process.")
        return Unlocking(None, dry_run)
    holder = describe_holder(found)
    if dry_run:
        return Unlocking(holder, dry_run)
    confirm(f"This ends the sync of {format_holder(holder)}, and rolls it back.")
    with transaction.atomic():
        details = {**holder, "locked_at": holder["locked_at"].isoformat()}
        subject = AuditSubject(SUBJECT_TYPE, "", holder["process"])
        record_audit(operator, "sync unlock", subject, now, details)
        if not end_lock_holder(LOCK, found):
            raise SyncNotUnlocked("This session has not ended, or no longer has the lock.")
    return Unlocking(holder, dry_run)
