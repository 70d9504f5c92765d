"""Activate a restored server: from then on it calls ScaiKey and runs jobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import transaction

from identity_sync.registration.credentials import has_credentials
from identity_sync.sync.variants import compute_drift
from scaiwave.config import Configuration
from scaiwave.console.progress import ProgressFactory
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from tenants.audit.record import AuditSubject, record_audit
from tenants.lookup.restoration import find_restoration
from tenants.models import Restoration

Drift = dict[str, dict[str, int]]


def activate_restore(
    *,
    operator: Operator,
    config: Configuration,
    confirm: Callable[[str], None],
    show_drift: Callable[[Drift | None], None],
    measures_drift: bool,
    progress_factory: ProgressFactory,
    now: datetime,
    dry_run: bool = False,
) -> Report:
    """Delete the mark of a restored server, once the operator has seen what the next sync changes.

    `show_drift` gets the counts of `sync status`, or None if they are not measured or the server is
    not registered. Raises what `compute_drift` raises, such as an UpstreamError if ScaiKey can't be
    reached, and what `confirm` raises.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    row = find_restoration()
    if row is None:
        return Report(
            {"restoration": None, "drift": None},
            "This server does not wait for an activation; nothing changed.",
            changed=False,
        )
    drift = None
    if measures_drift and has_credentials(config):
        drift = compute_drift(
            operator=operator, progress_factory=progress_factory, before_activation=True
        ).counts()
    show_drift(drift)
    if not dry_run:
        confirm(
            f"This starts syncs, webhooks and schedules of this server, restored from {row}. "
            "First stop the server that it replaces, if that still runs."
        )
        with transaction.atomic():
            Restoration.objects.all().delete()
            record_audit(
                operator=operator,
                action="activate-restore",
                subject=AuditSubject("backup", row.backup, row.backup),
                now=now,
                details={"restored_at": row.restored_at.isoformat()},
            )
    names = ("backup", "backup_at", "restored_at")
    figures = {"restoration": {name: getattr(row, name) for name in names}, "drift": drift}
    activated = (
        f"This server, restored from {row}, is activated. Start the worker, the scheduler and the "
        "crontab lines, then run `scaiwave doctor`."
    )
    would = f"Would activate this server, restored from {row}."
    return Report(figures, would if dry_run else activated, changed=True)
