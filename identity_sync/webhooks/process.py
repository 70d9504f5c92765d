"""Process stored events: look up the records that they name, and sync them.

An event is pending, then handled, or failed and left to a full sync.
"""

from __future__ import annotations

import logging
import math
import os
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q, QuerySet

from identity_sync.errors import SyncPartial, SyncStopped
from identity_sync.models import Outcome, SyncRun, Trigger, WebhookEvent, WebhookState
from identity_sync.sync.history import mark_events_handled
from identity_sync.sync.run import SyncOptions, run_sync
from identity_sync.sync.targets import Targets
from scaiwave.console.progress import null_progress_factory
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.locks import lock_file, process_lock
from scaiwave.core.operators import Operator, Permission
from tenants.models import Tenant

PROCESS_LOCK = "webhooks-process"
"""The file that is locked while a separate process for webhooks runs on this host."""

POLL_SECONDS = 0.5
"""The interval between queries for new events while failed ones wait for their next attempt."""

MAX_ATTEMPTS = 5
MAX_BATCH_EVENTS = 500
"""Events that one run handles."""

logger = logging.getLogger(__name__)


def process_events(*, operator: Operator, seconds: float = math.inf) -> bool:
    """Handle the pending events until there are none, or for so long; return whether some are left.

    Only one process does this at a time: the others return. It checks for events again after it has
    released the lock, so that it also handles those for which another process returned. Each run
    waits for a sync that is in progress or waiting.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    end = time.monotonic() + seconds
    while _pending_events().exists():
        if time.monotonic() >= end:
            return True
        with process_lock("webhooks") as acquired:
            if not acquired:
                return False
            _process_pending(operator, end)
    retention = settings.CONFIG.get_int("SCAIWAVE_WEBHOOK_RETENTION_DAYS")
    delete_old_events(before=_now() - timedelta(days=retention))
    return False


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
        if not _pending_events().exists():
            break
        time.sleep(POLL_SECONDS)  # Another host is handling them.
        lock = lock_file(PROCESS_LOCK)
    return True


def delete_old_events(*, before: datetime) -> None:
    """Delete events that ended before this, and the runs of webhooks that changed nothing."""
    WebhookEvent.objects.filter(received_at__lt=before).exclude(state=WebhookState.PENDING).delete()
    runs = SyncRun.objects.filter(trigger=Trigger.WEBHOOK, started_at__lt=before, changes=None)
    runs.exclude(outcome=Outcome.RUNNING).delete()


def _process_pending(operator: Operator, end: float) -> None:
    while time.monotonic() < end and _pending_events().exists():
        if batch := _load_batch(_now()):
            _process_batch(operator, batch)
        else:
            time.sleep(POLL_SECONDS)


def _pending_events() -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(state=WebhookState.PENDING)


def _load_batch(now: datetime) -> list[WebhookEvent]:
    """Return the events to handle now, oldest first.

    These are all new events, or else one that failed before: an event that can't be handled must
    not stop others.
    """
    due = _pending_events().filter(Q(next_attempt_at=None) | Q(next_attempt_at__lte=now))
    batch = list(due.filter(attempts=0).order_by("received_at", "id")[:MAX_BATCH_EVENTS])
    return batch or list(due.order_by("next_attempt_at", "id")[:1])


def _process_batch(operator: Operator, batch: list[WebhookEvent]) -> None:
    """Sync the records of a batch in one run, and record the result in each event."""
    targets = Targets.from_pairs((event.kind, event.scaikey_id) for event in batch)
    try:
        run_id = _sync(operator, targets=targets)
    except SyncStopped as stopped:
        # A person decides what exceeds the removal limit or removes the last super_admin.
        for event in batch:
            _leave_to_full_sync(event, error=stopped, run_id=stopped.report.run_id, now=_now())
        logger.warning("Webhooks are left to the next full sync: %s", stopped.message)
    except ScaiWaveError as error:
        for event in batch:
            _retry_later(event, code=error.code, message=error.message, now=_now())
    except Exception:
        logger.exception("A defect while webhooks were handled")
        for event in batch:
            _retry_later(event, code=ScaiWaveError.code, message="A defect.", now=_now())
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
        wait_seconds=math.inf,
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
            _retry_later(event, code="SW_SYNC_POSTPONED", message=reason, now=_now())
    mark_events_handled(handled, run=SyncRun.objects.get(pk=run_id), now=_now())


def _retry_later(event: WebhookEvent, *, code: str, message: str, now: datetime) -> None:
    """Try again after 1, 2, 4 and 8 s; then leave it to the next full sync."""
    event.attempts += 1
    event.error_code, event.error_message = code, message
    if event.attempts >= MAX_ATTEMPTS:
        event.state, event.ended_at, event.next_attempt_at = WebhookState.FAILED, now, None
    else:
        event.next_attempt_at = now + timedelta(seconds=2 ** (event.attempts - 1))
    _save(event)


def _leave_to_full_sync(
    event: WebhookEvent, *, error: ScaiWaveError, run_id: UUID | None, now: datetime
) -> None:
    event.attempts += 1
    event.error_code, event.error_message = error.code, error.message
    event.state, event.ended_at, event.next_attempt_at = WebhookState.FAILED, now, None
    event.run_id = run_id
    _save(event)


def _save(event: WebhookEvent) -> None:
    """Save the state of an event, unless a full sync has handled it since it was read."""
    fields = ("state", "attempts", "next_attempt_at", "ended_at", "error_code", "error_message")
    values = {name: getattr(event, name) for name in (*fields, "run_id")}
    _pending_events().filter(pk=event.pk).update(**values)


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
