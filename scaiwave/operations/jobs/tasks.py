"""Jobs about the whole server. They call the same services as the commands."""

from __future__ import annotations

from django.conf import settings
from django.utils import timezone

from scaiwave.core.operators import get_host_operator
from scaiwave.operations import prune as prune_service
from scaiwave.operations import record_figures as figures_service
from scaiwave.operations.notifications.news import send_news


def record_figures() -> dict[str, object]:
    """Record the size of this server, for the charts of the admin site."""
    change = figures_service.record_figures(operator=get_host_operator(), now=timezone.now())
    return dict(change.subject)


def prune_records() -> dict[str, object]:
    """Delete old records, except audit entries; return how many of each kind."""
    result = prune_service.prune(
        operator=get_host_operator(),
        config=settings.CONFIG,
        confirm=lambda question: None,
        now=timezone.now(),
    )
    return {row["name"]: row["count"] for row in result.figures["pruned"]}


def send_notifications() -> dict[str, object]:
    """Send the e-mails that are due. One that fails is tried again later."""
    return {"sent": send_news(config=settings.CONFIG, now=timezone.now())}
