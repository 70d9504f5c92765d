"""Delete old records, so that no table grows for ever."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from django.db import transaction

from scaiwave import registry
from scaiwave.auth.operators import Operator, Permission
from scaiwave.config import Configuration
from scaiwave.console.text import pluralize
from scaiwave.registry import Pruner
from tenants.errors import AuditAgeTooLow
from tenants.models import AuditEntry
from tenants.queries.serializers import Row
from tenants.services.audit import record_audit
from tenants.services.audit_triggers import install_audit_triggers, remove_audit_triggers

MIN_AUDIT_DAYS = 30
AUDIT = "audit_entries"


@dataclass(frozen=True)
class PruneResult:
    """A row for each kind of records: name, title, `cutoff_at`, and how many are older.

    `cutoff_at` is None for kinds that are kept for ever. In a dry run nothing is deleted.
    """

    rows: list[Row]
    dry_run: bool = False

    @property
    def total(self) -> int:
        return sum(row["count"] for row in self.rows)

    @property
    def sentence(self) -> str:
        if not self.total:
            return "Nothing is old enough to be deleted."
        records = pluralize(self.total, "record")
        return f"Would delete {records}." if self.dry_run else f"{records} deleted."

    def document(self) -> Row:
        """Return what --json prints; `changed` is also true for what a dry run would change."""
        return {"pruned": self.rows, "changed": bool(self.total)}


def prune(
    *,
    operator: Operator,
    config: Configuration,
    confirm: Callable[[str], None],
    now: datetime,
    audit_days: int | None = None,
    dry_run: bool = False,
) -> PruneResult:
    """Delete records that are older than their settings allow, with one audit entry.

    With `audit_days` also audit entries of days that ended at least that many days ago, in UTC;
    only then `confirm` gets a question, and raises if the answer is not yes. Raises AuditAgeTooLow.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    audit_before = _get_audit_before(audit_days, now)
    planned = [_plan(pruner, config, now) for pruner in registry.get_pruners()]
    if audit_before is not None:
        planned.append(_build_row(AUDIT, "audit entries", audit_before, _count_audit(audit_before)))
    if dry_run or not any(row["count"] for row in planned):
        return PruneResult(planned, dry_run=dry_run)
    if audit_before is not None and planned[-1]["count"]:
        confirm(
            f"This deletes {pluralize(planned[-1]['count'], 'audit entry', 'audit entries')} from "
            f"before {audit_before:%Y-%m-%d} for good. Continue?"
        )
    rows = [
        _delete(row, pruner) for row, pruner in zip(planned, registry.get_pruners(), strict=False)
    ]
    with transaction.atomic():
        if audit_before is not None:
            rows.append({**planned[-1], "count": _delete_audit(audit_before)})
        _record(operator, rows, now)
    return PruneResult(rows)


def count_overdue(config: Configuration, now: datetime, grace: timedelta) -> dict[str, int]:
    """Return how many records of each kind should have been deleted before the grace period."""
    plans = (_plan(pruner, config, now - grace) for pruner in registry.get_pruners())
    return {row["title"]: row["count"] for row in plans if row["count"]}


def _plan(pruner: Pruner, config: Configuration, now: datetime) -> Row:
    days = config.get_int(pruner.setting) if pruner.setting else pruner.days
    if pruner.setting and not days and pruner.zero_is_never:
        return _build_row(pruner.name, pruner.title, None, 0)
    before = now - timedelta(days=days)
    return _build_row(pruner.name, pruner.title, before, pruner.count(before))


def _delete(row: Row, pruner: Pruner) -> Row:
    if not row["count"]:
        return row
    return {**row, "count": pruner.delete(row["cutoff_at"])}


def _build_row(name: str, title: str, before: datetime | None, count: int) -> Row:
    return {"name": name, "title": title, "cutoff_at": before, "count": count}


def _get_audit_before(days: int | None, now: datetime) -> datetime | None:
    """Return the beginning of a day, so that of each day all entries are kept or none."""
    if days is None:
        return None
    if days < MIN_AUDIT_DAYS:
        raise AuditAgeTooLow(
            f"Audit entries are kept for at least {MIN_AUDIT_DAYS} days.",
            fix=f"Pass --audit-older-than {MIN_AUDIT_DAYS} or more.",
        )
    day = now.astimezone(UTC).date() - timedelta(days=days)
    return datetime.combine(day, time.min, UTC)


def _count_audit(before: datetime) -> int:
    return AuditEntry.objects.filter(at__lt=before).count()


def _delete_audit(before: datetime) -> int:
    """The only deletion of audit entries. The triggers against it are off in this transaction."""
    remove_audit_triggers()
    deleted, _ = AuditEntry.objects.filter(at__lt=before).delete()
    install_audit_triggers()
    return deleted


def _record(operator: Operator, rows: list[Row], now: datetime) -> None:
    details = {
        row["name"]: {"before": row["cutoff_at"].isoformat(), "count": row["count"]}
        for row in rows
        if row["count"]
    }
    subject = AuditEntry(at=now, operator=operator.name, action="prune")
    record_audit(operator=operator, action="prune", subject=subject, now=now, details=details)
