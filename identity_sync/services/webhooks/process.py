"""Process stored events: look up the records that they name, and sync them."""

from __future__ import annotations

import logging
import os
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings

from identity_sync.errors import SyncPartial, SyncStopped
from identity_sync.models import SyncRun, Trigger, WebhookEvent
from identity_sync.services.sync.run import SyncOptions, run_sync
from identity_sync.services.sync.targets import Targets
from identity_sync.services.webhooks import events
from scaiwave.auth.operators import Operator, Permission
from scaiwave.console.progress import null_progress_factory
from scaiwave.errors import ScaiWaveError
from scaiwave.locks import lock_file, process_lock
from tenants.models import Tenant

PROCESS_LOCK = "webhooks-process"
"""The file that is locked while a separate process for webhooks runs on this host."""

POLL_SECONDS = 0.5
"""The interval between queries for new events while failed ones wait for their next attempt."""

logger = logging.getLogger(__name__)


def process_events(*, operator: Operator) -> None:
    """Handle the pending events until there are none.

    Only one process does this at a time: the others return. It checks for events again after it has
    released the lock, so that it also handles those for which another process returned. Each run
    waits for a sync that is in progress.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    while events.pending_events().exists():
        with process_lock("webhooks") as acquired:
            if not acquired:
                return
            _process_pending(operator)
    retention = settings.CONFIG.get_int("SCAIWAVE_WEBHOOK_RETENTION_DAYS")
    events.delete_old(before=_now() - timedelta(days=retention))


def process_until_done(*, operator: Operator, lock: int | None) -> bool:
    """Handle events in a separate process; return False if one is doing so on this host.

    `lock` is the descriptor of `PROCESS_LOCK`, None if another process has it. A receiver that
    finds it locked starts no process, so this checks for events again after releasing it.
    """
    if lock is None:
        return False
    while lock is not None:
        try:
            process_events(operator=operator)
        finally:
            os.close(lock)
        if not events.pending_events().exists():
            break
        time.sleep(POLL_SECONDS)  # Another host is handling them.
        lock = lock_file(PROCESS_LOCK)
    return True


def _process_pending(operator: Operator) -> None:
    while events.pending_events().exists():
        if batch := events.load_batch(_now()):
            _process_batch(operator, batch)
        else:
            time.sleep(POLL_SECONDS)


def _process_batch(operator: Operator, batch: list[WebhookEvent]) -> None:
    """Sync the records of a batch in one run, and record the result in each event."""
    targets = Targets.from_pairs((event.kind, event.scaikey_id) for event in batch)
    try:
        run_id = _sync(operator, targets=targets)
    except SyncStopped as stopped:
        # A person decides what exceeds the removal limit or removes the last super_admin.
        for event in batch:
            events.leave_to_full_sync(
                event, error=stopped, run_id=stopped.report.run_id, now=_now()
            )
        logger.warning("Webhooks are left to the next full sync: %s", stopped.message)
    except ScaiWaveError as error:
        for event in batch:
            events.retry_later(event, code=error.code, message=error.message, now=_now())
    except Exception:
        logger.exception("A defect while webhooks were handled")
        for event in batch:
            events.retry_later(event, code=ScaiWaveError.code, message="A defect.", now=_now())
    else:
        _record_results(batch, targets, run_id)
        _sync_new_tenants(operator, targets)


def _sync(operator: Operator, *, targets: Targets | None = None, tenant: str | None = None) -> UUID:
    """Run a sync, and return the ID of its run.

    Raises the errors of `run_sync`, except the one for a run that skipped a part.
    """
    options = SyncOptions(
        operator,
        null_progress_factory,
        tenant=tenant,
        targets=targets,
        trigger=Trigger.WEBHOOK,
        waits=True,
    )
    try:
        report = run_sync(options)
    except SyncPartial as partial:
        report = partial.report
    if report.run_id is None:
        raise RuntimeError("A sync that is applied has a run.")
    return report.run_id


def _record_results(batch: list[WebhookEvent], targets: Targets, run_id: UUID) -> None:
    """Mark the events as handled, or to be tried again if their look-up proved nothing."""
    handled = []
    for event in batch:
        reason = targets.unproven.get((event.kind, event.scaikey_id))
        if reason is None:
            handled.append(event.pk)
        else:
            events.retry_later(event, code="SW_SYNC_POSTPONED", message=reason, now=_now())
    events.mark_handled(handled, run=SyncRun.objects.get(pk=run_id), now=_now())


def _sync_new_tenants(operator: Operator, targets: Targets) -> None:
    """Sync the people and groups of tenants that are new here, as `sync --tenant` does."""
    tenants = Tenant.objects.filter(
        scaikey_tenant_id__in=targets.new_tenants, absent_since=None
    ).order_by("slug")
    for tenant in tenants:
        try:
            _sync(operator, tenant=str(tenant.pk))
        except ScaiWaveError as error:
            logger.warning(
                "Tenant %s is left to the next full sync: %s", tenant.slug, error.message
            )


def _now() -> datetime:
    return datetime.now(UTC)
