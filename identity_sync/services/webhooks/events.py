"""The state of stored events: pending, then handled, or failed and left to a full sync."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet

from identity_sync.models import Outcome, SyncRun, Trigger, WebhookEvent, WebhookState
from scaiwave.errors import ScaiWaveError
from scaiwave.sql import batched

MAX_ATTEMPTS = 5
MAX_BATCH_EVENTS = 500
"""Events that one run handles."""


def pending_events() -> QuerySet[WebhookEvent]:
    return WebhookEvent.objects.filter(state=WebhookState.PENDING)


def load_batch(now: datetime) -> list[WebhookEvent]:
    """Return the events to handle now, oldest first.

    These are all new events, or else one that failed before: an event that can't be handled must
    not stop others.
    """
    due = pending_events().filter(Q(next_attempt_at=None) | Q(next_attempt_at__lte=now))
    batch = list(due.filter(attempts=0).order_by("received_at", "id")[:MAX_BATCH_EVENTS])
    return batch or list(due.order_by("next_attempt_at", "id")[:1])


def list_unhandled() -> list[UUID]:
    """Return the keys of the events that a full sync covers if it starts to read now."""
    unhandled = (WebhookState.PENDING, WebhookState.FAILED)
    return list(WebhookEvent.objects.filter(state__in=unhandled).values_list("pk", flat=True))


def mark_handled(pks: Iterable[UUID], *, run: SyncRun, now: datetime) -> None:
    for batch in batched(pks):
        WebhookEvent.objects.filter(pk__in=batch).update(
            state=WebhookState.HANDLED,
            ended_at=now,
            run=run,
            next_attempt_at=None,
            error_code="",
            error_message="",
        )


def retry_later(event: WebhookEvent, *, code: str, message: str, now: datetime) -> None:
    """Try again after 1, 2, 4 and 8 s; then leave it to the next full sync."""
    event.attempts += 1
    event.error_code, event.error_message = code, message
    if event.attempts >= MAX_ATTEMPTS:
        event.state, event.ended_at, event.next_attempt_at = WebhookState.FAILED, now, None
    else:
        event.next_attempt_at = now + timedelta(seconds=2 ** (event.attempts - 1))
    _save(event)


def leave_to_full_sync(
    event: WebhookEvent, *, error: ScaiWaveError, run_id: UUID | None, now: datetime
) -> None:
    event.attempts += 1
    event.error_code, event.error_message = error.code, error.message
    event.state, event.ended_at, event.next_attempt_at = WebhookState.FAILED, now, None
    event.run_id = run_id
    _save(event)


def delete_old(*, before: datetime) -> None:
    """Delete events that ended before this, and the runs of webhooks that changed nothing."""
    WebhookEvent.objects.filter(received_at__lt=before).exclude(state=WebhookState.PENDING).delete()
    runs = SyncRun.objects.filter(trigger=Trigger.WEBHOOK, started_at__lt=before, changes=None)
    runs.exclude(outcome=Outcome.RUNNING).delete()


def _save(event: WebhookEvent) -> None:
    """Save the state of an event, unless a full sync has handled it since it was read."""
    fields = ("state", "attempts", "next_attempt_at", "ended_at", "error_code", "error_message")
    values = {name: getattr(event, name) for name in (*fields, "run_id")}
    pending_events().filter(pk=event.pk).update(**values)
