"""Store the overview of the admin site for a minute: every web process shows the same row."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from scaiwave.admin.overview import build_overview
from scaiwave.locks import lock_in_transaction
from tenants.models import StoredOverview

MAX_AGE = timedelta(seconds=60)
LOCK = "overview"


def load_overview(now: datetime) -> dict[str, Any]:
    """Return the stored overview, or build it if it is not from this minute by the clock.

    Of the requests that find an old one, one builds it, and the others wait for that.
    """
    if (document := _find_document(now)) is not None:
        return document
    with transaction.atomic():
        lock_in_transaction(LOCK)
        if (document := _find_document(now)) is not None:
            return document
        document = build_overview(now)
        StoredOverview.objects.update_or_create(
            pk=1, defaults={"built_at": now, "document": document}
        )
    return document


def _find_document(now: datetime) -> dict[str, Any] | None:
    """Return a recent overview. The request that built it may have begun after this one."""
    stored = StoredOverview.objects.first()
    if stored is None or abs(now - stored.built_at) >= MAX_AGE:
        return None
    document: dict[str, Any] = stored.document
    return document
