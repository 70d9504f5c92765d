"""Record the size of this server once a day, for the charts of the admin site."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from scaiwave.core.operators import Operator, Permission
from scaiwave.core.sql import batched
from scaiwave.extensions import TENANT_COLUMNS
from tenants.lookup.serializers import Row
from tenants.lookup.status_filters import MEMBERS
from tenants.models import ACTIVE, DailyFigures, Participant, Tenant

NAMES = ("tenants", "members", "rooms", "storage_bytes")
BATCH_SIZE = 10_000


@dataclass(frozen=True)
class FiguresResult:
    figures: Row
    dry_run: bool

    @property
    def sentence(self) -> str:
        figures = self.figures
        return (
            f"{'Would record' if self.dry_run else 'Recorded'} for {figures['day']}: "
            f"{figures['tenants']:,} tenants, {figures['members']:,} members, "
            f"{figures['rooms']:,} rooms, {figures['storage_bytes']:,} bytes."
        )

    def document(self) -> Row:
        """Return the --json document. In a dry run, `changed` is whether something would change."""
        return {"figures": self.figures, "changed": True}


def record_figures(*, operator: Operator, now: datetime, dry_run: bool = False) -> FiguresResult:
    """Count what there is and store it for the day of `now` in UTC, replacing an earlier count."""
    operator.require(Permission.MANAGE_PLATFORM)
    day = now.astimezone(UTC).date()
    totals = _count()
    if not dry_run:
        DailyFigures.objects.update_or_create(day=day, defaults={"recorded_at": now, **totals})
    return FiguresResult({"day": str(day), **totals}, dry_run)


def _count() -> dict[str, int]:
    totals = {
        "tenants": Tenant.objects.filter(ACTIVE).count(),
        "members": Participant.objects.filter(MEMBERS).count(),
        "rooms": 0,
        "storage_bytes": 0,
    }
    for batch in batched(Tenant.objects.values_list("pk", flat=True).iterator(), BATCH_SIZE):
        for name in ("rooms", "storage_bytes"):
            totals[name] += sum(TENANT_COLUMNS[name].load()(batch).values())
    return totals


def count_old_figures(before: datetime) -> int:
    return DailyFigures.objects.filter(day__lt=before.date()).count()


def delete_old_figures(before: datetime) -> int:
    return DailyFigures.objects.filter(day__lt=before.date()).delete()[0]
