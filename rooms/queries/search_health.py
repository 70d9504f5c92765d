"""What doctor says about the search index."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from rooms.models import Event, SearchBackfill
from rooms.search.scope import Scope
from scaiwave.doctor.findings import Finding, passed, warned
from tenants.models import Tenant
from tenants.queries.serializers import Row

CHECK = "search"
LATE = timedelta(days=1)
"""How long messages may wait to be found before doctor minds."""
MOST_COUNTED = 10_000
_FIX = "Run scripts/backfill_search_index.py --execute, every hour or night by cron."


def check_search(now: datetime) -> Iterator[Finding]:
    """By what the last backfill of the whole platform has come to, and what was said since.

    What was edited or redacted since is not counted, which would take reading every event; the
    backfill without --execute does that.
    """
    runs = SearchBackfill.objects.filter(scope=Scope().name)
    last = runs.exclude(finished_at=None).order_by("-started_at").first()
    if last is None:
        yield passed(CHECK, "No backfill of the whole platform has ended; search may find nothing.")
        return
    yield _lag(last, now)
    if wrong := [row["tenant"] for row in _tenants(last) if row["missing"] or row["stale"]]:
        yield warned(
            CHECK,
            f"The last backfill left the index of {', '.join(wrong)} other than the events.",
            "Run scripts/backfill_search_index.py --execute; if it stays so, with --restart once.",
        )


def _lag(last: SearchBackfill, now: datetime) -> Finding:
    since = f"{last.started_at:%Y-%m-%d %H:%M} UTC"
    waiting = _waiting(last)
    if not waiting:
        return passed(CHECK, f"Up to date; the last backfill began at {since}.")
    count = f"{waiting:,}" if waiting < MOST_COUNTED else f"{MOST_COUNTED:,} or more"
    message = f"{count} messages are not indexed yet; the last backfill began at {since}."
    if now - last.started_at > LATE:
        return warned(CHECK, message, _FIX)
    return passed(CHECK, message)


def _waiting(last: SearchBackfill) -> int:
    """Messages after what was read then, of no more tenants than it takes to know."""
    through = {row["tenant_id"]: row["through"] for row in _tenants(last)}
    waiting = 0
    for tenant in Tenant.objects.order_by("pk").values_list("pk", flat=True):
        newer = Event.objects.filter(
            tenant=tenant,
            stream_position__gt=through.get(str(tenant), 0),
            event_type="swp.room.message",
            redacted_at=None,
            do_not_index=False,
        )
        waiting += newer[: MOST_COUNTED - waiting].count()
        if waiting >= MOST_COUNTED:
            break
    return waiting


def _tenants(run: SearchBackfill) -> list[Row]:
    tenants: list[Row] = (run.outcome or {})["tenants"]
    return tenants
