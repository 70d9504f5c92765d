"""Count and delete old runs of the sync and webhooks, for `scaiwave admin prune`."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from identity_sync.models import (
    Outcome,
    PendingRemoval,
    SyncChange,
    SyncChangeValues,
    SyncRun,
    WebhookEvent,
    WebhookState,
)
from tenants.holds.queries import block_new_holds, covers_q

BATCH_SIZE = 5_000
"""Rows that one transaction deletes, so that a sync does not wait for long."""


def count_old_runs(before: datetime) -> int:
    return _old_runs(before).count()


def delete_old_runs(before: datetime) -> int:
    """Delete old runs with their changes, and return the number of runs; old decisions too.

    The last full run that wrote its plan stays, and what came after it: syncs are judged by it, and
    count the losses since then. Runs that have changed rows on hold stay too.
    """
    count = 0
    for run_id in list(_old_runs(before).order_by("started_at").values_list("pk", flat=True)):
        changes = SyncChange.objects.filter(run=run_id).exclude(covers_q(person="subject_id"))
        is_done = False
        while not is_done:
            with transaction.atomic():
                block_new_holds()
                ids = list(changes.values_list("pk", flat=True)[:BATCH_SIZE])
                SyncChangeValues.objects.filter(change__in=ids).delete()
                SyncChange.objects.filter(pk__in=ids).delete()
                if is_done := not ids:
                    deleted = _old_runs(before).filter(pk=run_id).delete()[1]
                    count += deleted.get("identity_sync.SyncRun", 0)
    PendingRemoval.objects.filter(ended_at__lt=before).delete()
    return count


def count_old_webhooks(before: datetime) -> int:
    return _old_webhooks(before).count()


def delete_old_webhooks(before: datetime) -> int:
    count = 0
    while ids := list(_old_webhooks(before).values_list("pk", flat=True)[:BATCH_SIZE]):
        count += WebhookEvent.objects.filter(pk__in=ids).delete()[0]
    return count


def _old_runs(before: datetime) -> QuerySet[SyncRun]:
    runs = SyncRun.objects.filter(started_at__lt=before).exclude(outcome=Outcome.RUNNING)
    full = SyncRun.objects.full().written().newest_first().first()
    if full is None:
        return runs.none()
    held = SyncChange.objects.filter(covers_q(person="subject_id"), run=OuterRef("pk"))
    return runs.filter(~Exists(held), started_at__lt=full.started_at)


def _old_webhooks(before: datetime) -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(received_at__lt=before).exclude(state=WebhookState.PENDING)
