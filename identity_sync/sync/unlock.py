"""End the session that has the lock of syncs, after its process hangs or its host is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import connection, transaction

from identity_sync.errors import SyncNotUnlocked
from identity_sync.models import LOCK
from identity_sync.sync.lock import describe_holder, format_holder
from identity_sync.sync.record.audit import SUBJECT_TYPE
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.locks import end_lock_holder, find_lock_holder
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import AuditSubject, record_audit

WORDS = ChangeWords(
    "lock",
    "Would end the session of {session}.",
    "Ended the session of {session}.",
    "No sync has the lock; nothing changed.",
)


def unlock_sync(
    *, operator: Operator, confirm: Callable[[str], None], now: datetime, dry_run: bool = False
) -> Change:
    """End exactly the session that `confirm` has named, if it still has the lock.

    Its transaction is rolled back. Raises `InsufficientPermission` and `SyncNotUnlocked`.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    found = find_lock_holder(LOCK)
    if found is None:
        return Change(WORDS, None)
    holder = describe_holder(found)
    names = {"session": format_holder(holder)}
    if connection.vendor != "postgresql":
        raise SyncNotUnlocked(f"On SQLite the lock ends with its process: {names['session']}.")
    if dry_run:
        return Change(WORDS, holder, dry_run=True, names=names)
    confirm(f"This ends the sync of {names['session']}, and rolls it back.")
    with transaction.atomic():
        details = {**holder, "locked_at": holder["locked_at"].isoformat()}
        subject = AuditSubject(SUBJECT_TYPE, "", holder["process"])
        record_audit(operator, "sync unlock", subject, now, details)
        if not end_lock_holder(LOCK, found):
            raise SyncNotUnlocked("This session has not ended, or no longer has the lock.")
    return Change(WORDS, holder, changed=True, names=names)
