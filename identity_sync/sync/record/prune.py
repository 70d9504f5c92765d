"""Count and delete old runs of the sync, values of changes, and webhooks, in batches."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TypeVar

from django.db import transaction
from django.db.models import Exists, Model, OuterRef, QuerySet

from identity_sync.models import (
    Outcome,
    PendingRemoval,
    SyncChange,
    SyncRun,
    WebhookEvent,
    WebhookState,
)
from tenants.holds.queries import block_new_holds, covers_q

BATCH_SIZE = 5_000
"""Rows that one transaction deletes, so that a sync does not wait for long."""

M = TypeVar("M", bound=Model)


def delete_batches(rows: QuerySet[M]) -> Iterator[int]:
    """Delete rows, and the ones that refer to them; yield the number of each batch.

    Rows on hold are not among `rows`, and no hold is placed while a batch is deleted.
    """
    while rows.exists():  # Usually there are none, which needs no transaction.
        with transaction.atomic():
            block_new_holds()
            keys = list(rows.values_list("pk", flat=True)[:BATCH_SIZE])
            number, _ = rows.model._default_manager.filter(pk__in=keys).delete()
        yield number


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
        for _ in delete_batches(changes):
            pass
        with transaction.atomic():
            block_new_holds()
            deleted = _old_runs(before).filter(pk=run_id).delete()[1]
            count += deleted.get("identity_sync.SyncRun", 0)
    PendingRemoval.objects.filter(ended_at__lt=before).delete()
    return count


def count_old_webhooks(before: datetime) -> int:
    return _old_webhooks(before).count()


def delete_old_webhooks(before: datetime) -> int:
    return sum(delete_batches(_old_webhooks(before)))


def _old_runs(before: datetime) -> QuerySet[SyncRun]:
    runs = SyncRun.objects.filter(started_at__lt=before).exclude(outcome=Outcome.RUNNING)
    full = SyncRun.objects.full().written().newest_first().first()
    if full is None:
        return runs.none()
    held = SyncChange.objects.filter(covers_q(person="subject_id"), run=OuterRef("pk"))
    return runs.filter(~Exists(held), started_at__lt=full.started_at)


def _old_webhooks(before: datetime) -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(received_at__lt=before).exclude(state=WebhookState.PENDING)
