"""The state of webhooks from ScaiKey: deliveries, lag and failures."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from identity_sync.models import WebhookEvent, WebhookState
from identity_sync.reports.runs import age_seconds
from scaiwave.config import Configuration
from scaiwave.core.clock import is_in_future


def summarise_webhooks(config: Configuration, now: datetime) -> dict[str, Any]:
    """Return the last delivery, the lag and the failures.

    `lag_seconds` is the age of the oldest event that waits, 0 if none does; if that is dated in the
    future, it is how far, since such an event would never seem to wait;
    `last_handled_seconds` is how long the latest one that was handled took from its arrival.
    `failed` counts the events that are left to the next full sync.
    """
    events = WebhookEvent.objects.all()
    last = events.order_by("-received_at", "-id").first()
    waiting = events.filter(state=WebhookState.PENDING).order_by("received_at", "id")
    oldest = waiting.first()
    failed = events.filter(state=WebhookState.FAILED).order_by("-received_at", "-id")
    failure = failed.first()
    return {
        "configured": bool(config.get_str("SCAIWAVE_SCAIKEY_WEBHOOK_SECRET")),
        "last_delivery_at": last.received_at if last else None,
        "last_delivery_age_seconds": age_seconds(last.received_at, now) if last else None,
        "waiting": waiting.count(),
        "lag_seconds": _measure_lag(oldest.received_at, now) if oldest else 0,
        "last_handled_seconds": _last_handled_seconds(),
        "failed": failed.count(),
        "last_failure": _describe_failure(failure) if failure else None,
    }


def _measure_lag(received_at: datetime, now: datetime) -> int:
    if is_in_future(received_at, now):
        return int((received_at - now).total_seconds())
    return age_seconds(received_at, now) or 0


def _last_handled_seconds() -> float | None:
    event = (
        WebhookEvent.objects.filter(state=WebhookState.HANDLED)
        .order_by("-received_at", "-id")
        .first()
    )
    if event is None or event.ended_at is None:
        return None
    return round(max(0.0, (event.ended_at - event.received_at).total_seconds()), 3)


def _describe_failure(event: WebhookEvent) -> dict[str, Any]:
    return {
        "event_id": event.event_id,
        "event_type": event.event_type,
        "failed_at": event.ended_at,
        "error": {"code": event.error_code, "message": event.error_message},
    }
