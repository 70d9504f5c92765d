"""Store the overview of the admin site for a minute: every web process shows the same row."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from scaiwave.admin.overview import build_overview
from tenants.models import StoredOverview

MAX_AGE = timedelta(seconds=60)


def load_overview(now: datetime) -> dict[str, Any]:
    """Return the stored overview, or build it if it is older than a minute or from the future."""
    stored = StoredOverview.objects.first()
    if stored is not None and timedelta(0) <= now - stored.built_at < MAX_AGE:
        document: dict[str, Any] = stored.document
        return document
    with transaction.atomic():
        document = build_overview(now)
    StoredOverview.objects.update_or_create(pk=1, defaults={"built_at": now, "document": document})
    return document
