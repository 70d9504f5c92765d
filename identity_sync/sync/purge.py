"""Sync, then erase the personal data of people who were removed from ScaiKey long ago."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from django.conf import settings
from django.utils import timezone

from identity_sync.errors import SyncPurgeLimitExceeded
from identity_sync.report import SyncReport
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.run import run_sync
from scaiwave.core.operators import Permission
from tenants.errors import PurgeLimitExceeded
from tenants.people.purge_participant import purge_participants


def sync_and_purge(
    options: SyncOptions, *, days: int, confirm: Callable[[str], None]
) -> SyncReport:
    """Sync, then purge everyone within its scope who was removed at least `days` days ago.

    The sync restores those who have returned first. A sync that was refused, or applied in part,
    purges no one. `confirm` gets the question to ask before the sync, and raises if the answer is
    not yes. Raises `SyncPurgeLimitExceeded` (with the report of the sync, which is applied), and
    what `run_sync` raises.
    """
    options.operator.require(Permission.MANAGE_TENANTS)
    if not options.dry_run:
        confirm(
            "After the sync this erases the name, e-mail address and avatar of everyone who was "
            f"removed from ScaiKey at least {days} days ago. This can't be undone."
        )
    report = run_sync(
        replace(options, permissions=replace(options.permissions, purge_after_days=days))
    )
    try:
        result = purge_participants(
            operator=options.operator,
            days=days,
            limit=settings.CONFIG.get_int("SCAIWAVE_PURGE_LIMIT"),
            tenant=options.tenant,
            confirm=lambda question: None,
            now=timezone.now(),
            progress_factory=options.progress_factory,
            dry_run=options.dry_run,
        )
    except PurgeLimitExceeded as error:
        stopped = SyncPurgeLimitExceeded(
            f"The sync was {report.outcome}. {error.message}", fix=error.fix
        )
        stopped.report = report
        raise stopped from None
    report.purge = dict(result.rest)
    return report
