"""Store the overview of the admin site for a minute: every web process shows the same row."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any

from scaiwave.admin.overview import build_overview
from scaiwave.locks import process_lock
from tenants.models import StoredOverview

MAX_AGE = timedelta(seconds=60)
LOCK = "overview"
MAX_WAIT_SECONDS = 10.0
"""How long a request waits for the one that builds it. After that it builds one itself."""
POLL_SECONDS = 0.05


def load_overview(now: datetime) -> dict[str, Any]:
    """Return the stored overview, or build it if it is not from this minute by the clock.

    Of the requests that find an old one, one builds it, and the others wait for that. It is built
    outside of a transaction: on SQLite that would keep all others from writing, also while Redis
    does not answer.
    """
    deadline = time.monotonic() + MAX_WAIT_SECONDS
    while (document := _find_document(now)) is None:
        with process_lock(LOCK) as is_free:
            if is_free or time.monotonic() >= deadline:
                return _find_document(now) or _build(now)
        time.sleep(POLL_SECONDS)
    return document


def _build(now: datetime) -> dict[str, Any]:
    document = build_overview(now)
    StoredOverview.objects.update_or_create(pk=1, defaults={"built_at": now, "document": document})
    return document


def _find_document(now: datetime) -> dict[str, Any] | None:
    """Return a recent overview. The request that built it may have begun after this one."""
    stored = StoredOverview.objects.first()
    if stored is None or abs(now - stored.built_at) >= MAX_AGE:
        return None
    document: dict[str, Any] = stored.document
    return document
