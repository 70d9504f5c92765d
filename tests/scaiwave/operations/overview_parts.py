"""Parts of the overview, and the rows that they are about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

from django.test import Client

from federation.models import ServerKey
from identity_sync.models import SyncRun, SyncSkip, WebhookEvent
from identity_sync.reasons import Reason
from scaiwave.operations.overview.stored import load_overview
from scaiwave.site.charts import draw_chart
from scaiwave.site.overview import load_overview as load_shown_overview
from tenants.models import (
    StoredOverview,
)

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def get_cards(now: datetime = NOW) -> dict[str, dict[str, Any]]:
    StoredOverview.objects.all().delete()
    document = load_overview(now)
    return {card["title"]: card for card in (*document["health"], *document["volumes"])}


def get_tasks(now: datetime = NOW) -> dict[str, dict[str, Any]]:
    """Return the tasks by the sentence that names each."""
    StoredOverview.objects.all().delete()
    return {task["text"]: task for task in load_overview(now)["tasks"]}


def find_task(words: str, now: datetime = NOW) -> dict[str, Any]:
    (task,) = [task for text, task in get_tasks(now).items() if words in text]
    return task


def get_chart(title: str) -> dict[str, Any]:
    StoredOverview.objects.all().delete()
    return next(
        draw_chart(chart)
        for chart in load_overview(NOW)["charts"]
        if chart["title"].startswith(title)
    )


def make_run(minutes_ago: float, outcome: str = "applied", **fields: Any) -> SyncRun:
    started_at = NOW - timedelta(minutes=minutes_ago)
    values = {"ended_at": started_at + timedelta(seconds=2), "duration_seconds": 2.0}
    values |= {"operator": "root", "trigger": "cron", **fields}
    return SyncRun.objects.create(outcome=outcome, started_at=started_at, **values)


def make_skip(number: int, **fields: Any) -> SyncSkip:
    values = {"kind": "participants", "reason_code": Reason.OVER_LIMIT, **fields}
    return SyncSkip.objects.create(
        subject_scaikey_id=f"usr-{number}", first_skipped_at=NOW, last_skipped_at=NOW, **values
    )


def get_list(title: str, hidden: str = "") -> dict[str, Any]:
    StoredOverview.objects.all().delete()
    overview = load_shown_overview(NOW, lambda permission: permission != hidden, None)
    return next(each for each in overview["lists"] if each["title"] == title)


def list_shown(client: Client, url: str) -> list[Any]:
    answer = client.get(url)
    assert answer.status_code == HTTPStatus.OK
    return list(answer.context["cl"].result_list)


def make_webhook(number: int, minutes_ago: float, **fields: Any) -> WebhookEvent:
    values = {"state": "failed", "error_code": "SW_X", "error_message": "Not found.", **fields}
    return WebhookEvent.objects.create(
        event_id=f"evt_{number}",
        event_type="user.updated",
        kind="participants",
        scaikey_id=f"usr_{number}",
        received_at=NOW - timedelta(minutes=minutes_ago),
        **values,
    )


def make_key(at: datetime) -> ServerKey:
    return ServerKey.objects.create(
        key_id="k1", public_key="p", private_key_encrypted="x", created_at=at, signs_from=at
    )
