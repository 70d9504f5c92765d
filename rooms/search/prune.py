"""Count and delete old runs of the search backfill, for `scaiwave admin prune`."""

from __future__ import annotations

from datetime import datetime

from django.db.models import QuerySet

from rooms.models import SearchBackfill
from rooms.search.scope import Scope


def count_old_backfills(before: datetime) -> int:
    return _old_backfills(before).count()


def delete_old_backfills(before: datetime) -> int:
    """Delete finished runs; the last one of everything stays, because `doctor` judges by it."""
    return _old_backfills(before).delete()[1].get("rooms.SearchBackfill", 0)


def _old_backfills(before: datetime) -> QuerySet[SearchBackfill]:
    finished = SearchBackfill.objects.exclude(finished_at=None)
    last = finished.filter(scope=Scope().name).order_by("-started_at").values("pk")[:1]
    return finished.filter(finished_at__lt=before).exclude(
        pk__in=list(last.values_list("pk", flat=True))
    )
