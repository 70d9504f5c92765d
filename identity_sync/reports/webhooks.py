"""The state of webhooks from ScaiKey: deliveries, lag and failures."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from identity_sync.models import WebhookEvent, WebhookState
from identity_sync.reports.runs import age_seconds
from scaiwave.config import Configuration
from scaiwave.core.clock import is_in_future


class FailureRow(TypedDict):
    """The last webhook that failed, as JSON has it."""

    event_id: str
    event_type: str
    failed_at: datetime | None
    error: dict[str, str]


class WebhooksRow(TypedDict):
    """The last delivery, the lag and the failures, as JSON has them.

    `lag_seconds` is the age of the oldest event that waits, 0 if none does; if that is dated in the
    future, it is how far, since such an event would never seem to wait;
    `last_handled_seconds` is how long the latest one that was handled took from its arrival.
    `failed` counts the events that are left to the next full sync.
    """

    configured: bool
    last_delivery_at: datetime | None
    last_delivery_age_seconds: int | None
    waiting: int
    lag_seconds: int
    last_handled_seconds: float | None
    failed: int
    last_failure: FailureRow | None


def summarise_webhooks(config: Configuration, now: datetime) -> WebhooksRow:
    events = WebhookEvent.objects.order_by("-received_at", "-id")
    last, failed = events.first(), events.filter(state=WebhookState.FAILED)
    waiting = events.filter(state=WebhookState.PENDING)
    handled = events.filter(state=WebhookState.HANDLED).first()
    oldest, failure = waiting.last(), failed.first()
    lag = handled_seconds = None
    if oldest and is_in_future(oldest.received_at, now):
        lag = int((oldest.received_at - now).total_seconds())
    elif oldest:
        lag = age_seconds(oldest.received_at, now)
    if handled and handled.ended_at:
        seconds = (handled.ended_at - handled.received_at).total_seconds()
        handled_seconds = round(max(0.0, seconds), 3)
    return {
        "configured": bool(config.get_str("SCAIWAVE_SCAIKEY_WEBHOOK_SECRET")),
        "last_delivery_at": last.received_at if last else None,
        "last_delivery_age_seconds": age_seconds(last.received_at, now) if last else None,
        "waiting": waiting.count(),
        "lag_seconds": lag or 0,
        "last_handled_seconds": handled_seconds,
        "failed": failed.count(),
        "last_failure": {
            "event_id": failure.event_id,
            "event_type": failure.event_type,
            "failed_at": failure.ended_at,
            "error": {"code": failure.error_code, "message": failure.error_message},
        }
        if failure
        else None,
    }
