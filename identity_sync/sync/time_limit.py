"""The time limit of scheduled and requested syncs, which follows what complete ones needed."""

from __future__ import annotations

from math import ceil

from django.db.models import Max

from identity_sync.errors import SyncTimedOut
from identity_sync.models import SyncRun
from scaiwave.config import Configuration
from scaiwave.queue.definitions import MAX_SYNC_SECONDS

DEFAULT_SECONDS = 540
COMPLETE_FACTOR, CUT_FACTOR = 3, 2


def get_time_limit(config: Configuration) -> int:
    """Return the limit in seconds: the setting, or three times the last complete full sync.

    Full syncs that a limit has ended since then double it: at first, and when ScaiKey has become
    slower, nothing else shows how long one takes.
    """
    if seconds := config.get_int("SCAIWAVE_SYNC_TIMEOUT_SECONDS"):
        return seconds
    cut = SyncRun.objects.full().filter(error_code=SyncTimedOut.code)
    needed = 0.0
    if (complete := SyncRun.objects.full().written().newest_first().first()) is not None:
        needed = complete.duration_seconds or 0.0
        cut = cut.filter(started_at__gt=complete.started_at)
    longest = cut.aggregate(longest=Max("duration_seconds"))["longest"] or 0.0
    limit = ceil(max(COMPLETE_FACTOR * needed, CUT_FACTOR * longest))
    return min(max(limit, DEFAULT_SECONDS), MAX_SYNC_SECONDS)
