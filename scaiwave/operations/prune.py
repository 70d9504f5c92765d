"""Delete old records, so that no table grows without limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction

from identity_sync.sync.record import prune as prune_sync
from rooms.lifecycle.purge_room import find_due_rooms, purge_due_rooms
from rooms.lifecycle.remove_media import count_due_files, purge_removed_files
from rooms.search import prune as prune_backfills
from scaiwave.config import Configuration
from scaiwave.console.text import pluralize
from scaiwave.core.errors import ConfigurationError, DomainError
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from scaiwave.operations import record_figures
from scaiwave.storage.media import storage_error_types
from tenants.accounts import prune_sessions
from tenants.audit.chain import load_chain
from tenants.audit.queries.entries import min_uuid7_at
from tenants.audit.queries.format import MIN_AUDIT_DAYS, get_next_start_id
from tenants.audit.record import record_audit
from tenants.audit.seal_audit import record_pruning
from tenants.audit.triggers import allow_audit_deletion
from tenants.errors import AuditAgeTooLow, AuditNotSealed
from tenants.holds.queries import block_new_holds, build_hold_error, holds_in_force
from tenants.lookup.serializers import Row
from tenants.models import AuditEntry, AuditSeal, AuditSealPart

AUDIT = "audit_entries"


@dataclass(frozen=True)
class Pruner:
    """How one kind of old records is deleted.

    `setting` names the number of days to keep them; if `zero_is_never`, 0 keeps them
    without limit. Without a setting, `days` counts. `count` and `delete` take the time
    before which records are old, `delete` after the operator.
    """

    name: str
    title: str
    count: Callable[[datetime], int]
    delete: Callable[[Operator, datetime], int]
    setting: str = ""
    days: int = 0
    zero_is_never: bool = True


PRUNERS = (
    # First, since a media store may fail. Each has its own time.
    Pruner(
        "deleted_rooms",
        "deleted rooms",
        lambda now: len(find_due_rooms(now)),
        purge_due_rooms,
    ),
    Pruner(
        "removed_files",
        "removed files",
        count_due_files,
        purge_removed_files,
    ),
    Pruner(
        "sessions",
        "expired sessions of the admin site",
        prune_sessions.count_expired_sessions,
        lambda operator, before: prune_sessions.delete_expired_sessions(before),
    ),
    Pruner(
        "failed_sign_ins",
        "failed sign-ins to the admin site",
        prune_sessions.count_failed_sign_ins,
        lambda operator, before: prune_sessions.delete_failed_sign_ins(before),
        days=1,  # They count for minutes only; the audit log has them too.
    ),
    Pruner(
        "daily_figures",
        "daily figures of the admin site",
        record_figures.count_old_figures,
        lambda operator, before: record_figures.delete_old_figures(before),
        setting="SCAIWAVE_FIGURES_RETENTION_DAYS",
    ),
    Pruner(
        "backfills",
        "finished search backfills",
        prune_backfills.count_old_backfills,
        lambda operator, before: prune_backfills.delete_old_backfills(before),
        setting="SCAIWAVE_BACKFILL_RETENTION_DAYS",
    ),
    Pruner(
        "sync_runs",
        "runs of the sync",
        prune_sync.count_old_runs,
        lambda operator, before: prune_sync.delete_old_runs(before),
        setting="SCAIWAVE_SYNC_RUNS_RETENTION_DAYS",
    ),
    Pruner(
        "webhook_events",
        "webhooks",
        prune_sync.count_old_webhooks,
        lambda operator, before: prune_sync.delete_old_webhooks(before),
        setting="SCAIWAVE_WEBHOOK_RETENTION_DAYS",
        zero_is_never=False,
    ),
)


def prune(
    *,
    operator: Operator,
    config: Configuration,
    confirm: Callable[[str], None],
    now: datetime,
    audit_days: int | None = None,
    dry_run: bool = False,
) -> Report:
    """Delete records that are older than their settings allow, with one audit entry.

    With `audit_days` also audit entries of days that ended at least that many days ago, in UTC;
    only then `confirm` gets a question, and raises if the answer is not yes. These days must be
    sealed, and their seals stay. Raises AuditAgeTooLow, AuditNotSealed, OnHold if one of them is
    about a tenant with a hold, and the errors of signing; and once everything else is deleted, the
    first error of a media store or search server.

    The report has a row for each kind of records: `cutoff_at`, None for kinds that are never
    deleted, and how many are older.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    audit_before = _get_audit_before(audit_days, now)
    planned = [_plan(pruner, config, now) for pruner in PRUNERS]
    if audit_before is not None:
        planned.append(_plan_audit(audit_before))
    if dry_run or not any(row["count"] for row in planned):
        return _build_report(planned, dry_run=dry_run)
    if audit_before is not None and planned[-1]["count"]:
        confirm(
            f"This deletes {pluralize(planned[-1]['count'], 'audit entry', 'audit entries')} from "
            f"before {audit_before:%Y-%m-%d} for good."
        )
    rows, failures = [], list[Exception]()
    expected: tuple[type[Exception], ...]
    expected = (DomainError, ConfigurationError, *storage_error_types())
    for row, pruner in zip(planned, PRUNERS, strict=False):
        count = 0
        try:
            count = row["count"] and pruner.delete(operator, row["cutoff_at"])
        except expected as error:
            failures.append(error)  # A broken media store must not keep the other records.
        rows.append({**row, "count": count})
    with transaction.atomic():
        if audit_before is not None:
            rows.append({**planned[-1], "count": _delete_audit(audit_before, now)})
        details = {
            row["name"]: {"before": row["cutoff_at"].isoformat(), "count": row["count"]}
            for row in rows
            if row["count"]
        }
        subject = AuditEntry(at=now, operator=operator.name, action="prune")
        record_audit(operator=operator, action="prune", subject=subject, now=now, details=details)
    if failures:
        raise failures[0]
    return _build_report(rows)


def _build_report(rows: list[Row], *, dry_run: bool = False) -> Report:
    total = sum(row["count"] for row in rows)
    records = pluralize(total, "record")
    sentence = f"Would delete {records}." if dry_run else f"{records} deleted."
    return Report(
        {"pruned": rows},
        sentence if total else "Nothing is old enough to be deleted.",
        changed=bool(total),
    )


def count_overdue(config: Configuration, now: datetime, grace: timedelta) -> dict[str, int]:
    """Return how many records of each kind should have been deleted before the grace period."""
    plans = (_plan(pruner, config, now - grace) for pruner in PRUNERS)
    return {row["title"]: row["count"] for row in plans if row["count"]}


def _plan(pruner: Pruner, config: Configuration, now: datetime) -> Row:
    days = config.get_int(pruner.setting) if pruner.setting else pruner.days
    if pruner.setting and not days and pruner.zero_is_never:
        return _build_row(pruner.name, pruner.title, None, 0)
    before = now - timedelta(days=days)
    return _build_row(pruner.name, pruner.title, before, pruner.count(before))


def _build_row(name: str, title: str, before: datetime | None, count: int) -> Row:
    return {"name": name, "title": title, "cutoff_at": before, "count": count}


def _get_audit_before(days: int | None, now: datetime) -> datetime | None:
    """Return the beginning of a day: the entries of a day are deleted together."""
    if days is None:
        return None
    if days < MIN_AUDIT_DAYS:
        raise AuditAgeTooLow(
            f"Audit entries are kept for at least {MIN_AUDIT_DAYS} days.",
            fix=f"Pass --audit-older-than {MIN_AUDIT_DAYS} or more.",
        )
    day = max(now.astimezone(UTC).toordinal() - days, date.min.toordinal())
    return datetime.combine(date.fromordinal(day), time.min, UTC)


def _plan_audit(before: datetime) -> Row:
    """Raises AuditNotSealed if an entry that would be deleted is not covered by a seal."""
    end = min_uuid7_at(before)
    chain = load_chain()
    sealed_through = chain.sealed_through if chain is not None else None
    sealed_end = None if sealed_through is None else get_next_start_id(sealed_through)
    due = AuditEntry.objects.filter(pk__lt=end)
    unsealed = due if sealed_end is None else due.filter(pk__gte=sealed_end)
    if unsealed.exists():
        raise AuditNotSealed(
            f"Audit entries from before {before:%Y-%m-%d} are not sealed. Nothing was deleted."
        )
    # Entries of a day go together or not, so a hold on the tenant of one of them keeps all.
    for hold in holds_in_force():
        if due.filter(tenant_id=str(hold.tenant_id)).exists():
            raise build_hold_error(hold, f"delete audit entries from before {before:%Y-%m-%d}")
    return _build_row(AUDIT, "audit entries", before, due.count())


def _delete_audit(before: datetime, now: datetime) -> int:
    """The only deletion of audit entries, which no act waits for on PostgreSQL.

    It is signed, so that verifying can tell it from a deletion behind the back of the suite.
    """
    seal = AuditSeal.objects.filter(day__lt=before.date()).order_by("-number").first()
    if seal is None:
        return 0
    block_new_holds()
    _plan_audit(before)  # A hold may have been placed while the operator was asked.
    with allow_audit_deletion():
        deleted, _ = AuditEntry.objects.filter(pk__lt=min_uuid7_at(before)).delete()
    AuditSealPart.objects.filter(day__lte=seal.day).delete()
    record_pruning(seal, deleted, now)
    return deleted
