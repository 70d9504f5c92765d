"""Record the size of this server once a day, for the charts of the admin site."""

from __future__ import annotations

from datetime import UTC, datetime

from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.sql import batched
from scaiwave.extensions import TENANT_TOTALS
from tenants.lookup.status_filters import MEMBERS
from tenants.models import ACTIVE, DailyFigures, Participant, Tenant

NAMES = ("tenants", "members", "rooms", "storage_bytes")
BATCH_SIZE = 10_000

_COUNTS = (
    "for {day}. Tenants: {tenants:,}; members: {members:,}; rooms: {rooms:,}; "
    "bytes: {storage_bytes:,}."
)
WORDS = ChangeWords("figures", f"Would record {_COUNTS}", f"Recorded {_COUNTS}")


def record_figures(*, operator: Operator, now: datetime, dry_run: bool = False) -> Change:
    """Count what there is and store it for the day of `now` in UTC, replacing an earlier count."""
    operator.require(Permission.MANAGE_PLATFORM)
    day = now.astimezone(UTC).date()
    totals = {
        "tenants": Tenant.objects.filter(ACTIVE).count(),
        "members": Participant.objects.filter(MEMBERS).count(),
        "rooms": 0,
        "storage_bytes": 0,
    }
    for batch in batched(Tenant.objects.values_list("pk", flat=True).iterator(), BATCH_SIZE):
        for name in ("rooms", "storage_bytes"):
            totals[name] += sum(TENANT_TOTALS[name].load()(batch).values())
    if not dry_run:
        DailyFigures.objects.update_or_create(day=day, defaults={"recorded_at": now, **totals})
    return Change(WORDS, {"day": str(day), **totals}, not dry_run, dry_run)


def count_old_figures(before: datetime) -> int:
    return DailyFigures.objects.filter(day__lt=before.date()).count()


def delete_old_figures(before: datetime) -> int:
    return DailyFigures.objects.filter(day__lt=before.date()).delete()[0]
