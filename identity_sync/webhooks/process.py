"""Process stored events: look up the records that they name, and sync them.

An event is pending, then handled, or failed and left to a full sync.
"""

from __future__ import annotations

import logging
import math
import os
import time
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from identity_sync.errors import RemovalsPostponed, SyncLocked, SyncPartial, SyncStopped
from identity_sync.models import Outcome, SyncRun, Trigger, WebhookEvent, WebhookState
from identity_sync.report import SyncReport
from identity_sync.sync.fetch.announced import AnnouncedRecords
from identity_sync.sync.options import Pace, SyncOptions
from identity_sync.sync.record.history import mark_events_handled
from identity_sync.sync.record.prune import delete_old_webhooks
from identity_sync.sync.run import run_sync
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.locks import lock_file, process_lock
from scaiwave.core.operators import Operator, Permission
from tenants.lookup.restoration import require_activated
from tenants.models import Tenant

PROCESS_LOCK = "process-webhooks"
"""The file that is locked while a separate process for webhooks runs on this host."""

POLL_SECONDS = 0.5
"""The interval between queries for new events while failed ones wait for their next attempt."""

BATCH_SIZES = (50, 10, 1, 1, 1)
"""Events that one run handles, by their failed attempts: an event that lets a whole run fail soon
has a run of its own."""
MAX_ATTEMPTS = len(BATCH_SIZES)

logger = logging.getLogger(__name__)


def process_events(
    *, operator: Operator, seconds: float = math.inf, events: float = math.inf
) -> bool:
    """Handle the pending events until there are none; return whether a limit left some.

    It ends earlier after these seconds or this many events, when the run in progress has ended.
    Only one process does this at a time: the others return False, since that one handles the rest.
    It checks for events again after it has released the lock, so that it also handles the ones
    that another process left to it. Each run of events waits for a sync that is in progress or
    waiting, for the rest of these seconds.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    require_activated()
    end = time.monotonic() + seconds
    while _pending_events().exists():
        if events <= 0 or time.monotonic() >= end:
            return True
        with process_lock("webhooks") as acquired:
            if not acquired:
                return False
            events -= _process_pending(operator, end, events)
    retention = settings.CONFIG.get_int("SCAIWAVE_WEBHOOK_RETENTION_DAYS")
    delete_old_events(before=timezone.now() - timedelta(days=retention))
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
    delete_old_webhooks(before)
    # `changes` are rows that refer to a run: None finds the runs without one.
    runs = SyncRun.objects.filter(trigger=Trigger.WEBHOOK, started_at__lt=before, changes=None)
    runs.exclude(outcome=Outcome.RUNNING).delete()


def _process_pending(operator: Operator, end: float, limit: float) -> int:
    """Handle events until there are none or a limit is reached; return how many were tried."""
    tried = 0
    while tried < limit and time.monotonic() < end and _pending_events().exists():
        if batch := _load_batch(timezone.now()):
            _process_batch(operator, batch, end)
            tried += len(batch)
        else:
            time.sleep(POLL_SECONDS)
    return tried


def _pending_events() -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(state=WebhookState.PENDING)


def _load_batch(now: datetime) -> list[WebhookEvent]:
    """Return the events to handle in the next run, which have been due for longest.

    They have failed equally often. New events do not come before events that failed: a stream of
    them must not keep those from their next attempt.
    """
    pending = _pending_events().filter(Q(next_attempt_at=None) | Q(next_attempt_at__lte=now))
    due = pending.order_by(Coalesce("next_attempt_at", "received_at"), "received_at", "id")
    if (first := due.first()) is None:
        return []
    return list(due.filter(attempts=first.attempts)[: BATCH_SIZES[first.attempts]])


def _process_batch(operator: Operator, batch: list[WebhookEvent], end: float) -> None:
    """Sync the records of a batch in one run, and record the result in each event."""
    pairs = [(event.kind, event.scaikey_id) for event in batch]
    # The look-up also covers events about these records that failed before.
    deletions = _pending_events().filter(
        event_type__endswith=".deleted", scaikey_id__in=[key for _, key in pairs]
    )
    announced = AnnouncedRecords.from_pairs(
        pairs, deleted=deletions.values_list("kind", "scaikey_id")
    )
    wait_seconds = max(0.0, end - time.monotonic())
    try:
        report = _sync(operator, announced=announced, wait_seconds=wait_seconds)
    except SyncLocked:
        return  # The time is over, and the events were not tried.
    except ScaiWaveError as error:
        if isinstance(error, SyncStopped) and len(batch) == 1:
            # A person has to decide first, such as on the loss of the last super_admin: another
            # attempt would end in the same way.
            batch[0].run_id = error.report.run_id
            _retry_later(batch[0], error.code, error.message, is_final=True)
            logger.warning("A webhook is left to the next full sync: %s", error.message)
            return
        for event in batch:
            _retry_later(event, error.code, error.message)
    except Exception:
        logger.exception("A defect while webhooks were handled")
        for event in batch:
            _retry_later(event, ScaiWaveError.code, "A defect.")  # The log has the traceback.
    else:
        _record_results(batch, report)
        _sync_new_tenants(operator, report)


def _sync(
    operator: Operator,
    *,
    announced: AnnouncedRecords | None = None,
    tenant: str | None = None,
    wait_seconds: float = math.inf,
) -> SyncReport:
    """Run a sync, and return its report.

    Raises the errors of `run_sync`, except the one for a run that skipped a part.
    """
    options = SyncOptions(
        operator,
        trigger=Trigger.WEBHOOK,
        tenant=tenant,
        announced=announced,
        pace=Pace(wait_seconds),
    )
    try:
        report = run_sync(options)
    except SyncPartial as partial:
        report = partial.report
    return report


def _record_results(batch: list[WebhookEvent], report: SyncReport) -> None:
    """Mark the events as handled, or to be tried again if their look-up proved nothing.

    A look-up covers the events before it: with an event, earlier ones about the same record
    that have failed are handled too. None of them is tried after a later one.
    """
    proven = {(event.kind, event.scaikey_id) for event in batch} - report.undecided.keys()
    for event in batch:
        if (event.kind, event.scaikey_id) not in proven:
            reason = report.undecided[event.kind, event.scaikey_id]
            _retry_later(event, RemovalsPostponed.code, reason)
    failed = _pending_events().filter(attempts__gt=0)
    handled = [event.pk for event in (*batch, *failed) if (event.kind, event.scaikey_id) in proven]
    run = SyncRun.objects.get(pk=str(report.run_id))
    mark_events_handled(handled, run=run, now=timezone.now())


def _retry_later(event: WebhookEvent, code: str, message: str, *, is_final: bool = False) -> None:
    """Try again after 1, 2, 4 and 8 s; then, or if it is final, leave it to the next full sync."""
    now = timezone.now()
    event.attempts += 1
    event.error_code, event.error_message = code, message
    if is_final or event.attempts >= MAX_ATTEMPTS:
        event.state, event.ended_at, event.next_attempt_at = WebhookState.FAILED, now, None
    else:
        event.next_attempt_at = now + timedelta(seconds=2 ** (event.attempts - 1))
    # Only while it is pending: a full sync may have handled it since it was read.
    fields = ("state", "attempts", "next_attempt_at", "ended_at", "error_code", "error_message")
    values = {name: getattr(event, name) for name in (*fields, "run_id")}
    _pending_events().filter(pk=event.pk).update(**values)


def _sync_new_tenants(operator: Operator, report: SyncReport) -> None:
    """Sync the people and groups of tenants that are new here, as `sync --tenant` does.

    Each waits for a sync in progress without a limit: the events are handled by now, so nothing
    would try again before the next full sync.
    """
    tenants = Tenant.objects.filter(
        scaikey_tenant_id__in=report.new_tenants, absent_since=None
    ).order_by("slug")
    for tenant in tenants:
        try:
            _sync(operator, tenant=str(tenant.pk))
        except ScaiWaveError as error:
            logger.warning(
                "Tenant %s is left to the next full sync: %s", tenant.slug, error.message
            )
