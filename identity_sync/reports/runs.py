"""List runs of the sync, and show what one changed for whom."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from identity_sync.encoding import FieldValue, encode_change
from identity_sync.errors import SyncRunNotFound
from identity_sync.models import (
    PRESENT_NAMES,
    WRITTEN,
    SyncChange,
    SyncRun,
    SyncRunQuerySet,
    Trigger,
)
from identity_sync.report import LOSSES
from identity_sync.reports.loss_kinds import build_candidate_q, find_losses
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.paging import Page
from tenants.audit.queries.entries import min_uuid7_at
from tenants.errors import AmbiguousName
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row
from tenants.lookup.visibility import visible_tenants
from tenants.models import GroupMembership

BATCH_SIZE = 2000
LAST = "last"
"""The name of the newest run."""
MAX_CANDIDATES = 10
MAX_CHANGES_OF_PARTICIPANT = 10
MAX_EDGES = 400
"""Group memberships of a person whose changes are found."""
SHORT_ID_CHARS = 13
"""Characters of an ID that are its time in milliseconds, with a dash: enough to tell runs apart."""

LOSS = "loss"
"""The action of changes through which someone loses access, whatever their own action is."""
ACTIONS = ("add", "update", "restore", "deactivate", "move", "skipped", LOSS)
_CHANGED = ("added", "updated", "deactivated", "restored")


def list_runs(
    *,
    operator: Operator,
    now: datetime,
    outcome: str | None = None,
    trigger: str | None = None,
    tenant: str | None = None,
    since: datetime | None = None,
    limit: int | None = None,
) -> Page:
    """Return the runs that the operator may see, newest first, one at a time to save memory.

    `tenant` also matches runs for all tenants that changed something in it.
    Operators who don't see the whole platform get the runs for their tenants and those for all
    tenants, without counts, operator and message. Raises `TenantNotFound` or `AmbiguousName` at
    once. Close the generator if not all rows are read.
    """
    operator.require(Permission.VIEW)
    runs = _hide_foreign_webhooks(visible_runs(operator), operator)
    if outcome is not None:
        runs = runs.filter(outcome=outcome)
    if trigger is not None:
        runs = runs.filter(trigger=trigger)
    if since is not None:
        runs = runs.filter(started_at__gte=since)
    if tenant is not None:
        row = resolve_tenant(operator, tenant)
        changed = SyncChange.objects.filter(tenant=row).values("run_id")
        runs = runs.filter(Q(tenant=row) | Q(pk__in=changed))
    newest = runs[:limit].iterator(chunk_size=BATCH_SIZE)
    return Page((describe_run(run, operator, now) for run in newest), count=runs.count)


def show_run(*, operator: Operator, name: str, now: datetime) -> Row:
    """Return one run: what `list_runs` returns, and losses, warnings and the fix of its error.

    `name` is an ID, the beginning of one, or `last`. Raises `SyncRunNotFound` or `AmbiguousName`.
    """
    operator.require(Permission.VIEW)
    run = _resolve_run(operator, name)
    row = describe_run(run, operator, now)
    is_visible = _is_visible(run, operator)
    # The losses of all tenants by measure, as `sync --json` prints them.
    losses = dict.fromkeys(LOSSES, 0)
    for measure, _, number in run.losses:
        if measure in losses:
            losses[measure] += number
    return {
        **row,
        "error": row["error"]
        and {**row["error"], "fix": (run.error_fix or None) if is_visible else None},
        "losses": losses if is_visible else None,
        "warnings": run.warnings if is_visible else None,
        "plan_run_id": run.applied_plan_id,
        "applied_by_run_id": SyncRun.objects.filter(applied_plan=run)
        .values_list("pk", flat=True)
        .first(),
    }


def list_changes(
    *,
    operator: Operator,
    run_id: UUID,
    kind: str | None = None,
    tenant: str | None = None,
    action: str | None = None,
    limit: int | None = None,
) -> Page:
    """Return the changes of a run within the operator's scope, in the order of their kinds.

    Raises `TenantNotFound` or `AmbiguousName` at once. Close the generator if not all rows are
    read.
    """
    operator.require(Permission.VIEW)
    changes = visible_changes(operator).filter(run_id=run_id)
    if kind is not None:
        changes = changes.filter(kind=kind)
    if action == LOSS:
        changes = changes.filter(build_candidate_q(None))
    elif action is not None:
        old = [old for old, present in PRESENT_NAMES.items() if present == action]
        changes = changes.filter(action__in=[action, *old])
    if tenant is not None:
        changes = changes.filter(tenant=resolve_tenant(operator, tenant))
    if action == LOSS:  # Their values decide, which the database can't limit.
        return Page(_iter_changes(changes.order_by("pk"), only_losses=True, limit=limit))
    return Page(_iter_changes(changes.order_by("pk")[:limit]), count=changes.count)


def _iter_changes(
    changes: QuerySet[SyncChange], *, only_losses: bool = False, limit: int | None = None
) -> Generator[Row, None, None]:
    rows: Iterator[SyncChange] = changes.iterator(chunk_size=BATCH_SIZE)
    if only_losses:
        rows = (row for row in rows if any(find_losses(row, get_stored_values(row))))
    for change in islice(rows, limit):
        yield describe_change(change)


def find_changes_of_participant(participant_id: UUID) -> list[Row]:
    """Return the last changes that syncs made to a person and their group memberships."""
    edges = GroupMembership.objects.filter(member_participant_id=participant_id)
    subjects = [participant_id, *edges.values_list("pk", flat=True)[:MAX_EDGES]]
    changes = (
        SyncChange.objects.filter(subject_id__in=subjects)
        .select_related("tenant", "run", "stored_values")
        .order_by("-pk")[:MAX_CHANGES_OF_PARTICIPANT]
    )
    return [
        {"run_id": change.run_id, "changed_at": change.run.started_at, **describe_change(change)}
        for change in changes
    ]


def get_oldest_kept_id() -> UUID:
    """Return a lower bound of the IDs of changes whose values are kept at this time.

    Older values may still be stored: only a sync deletes them.
    """
    days = settings.CONFIG.get_int("SCAIWAVE_SYNC_VALUES_RETENTION_DAYS")
    return min_uuid7_at(datetime.now(UTC) - timedelta(days=days))


def describe_change(change: SyncChange) -> Row:
    """Convert a change. `values` is None if they were not stored, or are not kept any longer."""
    row = encode_change(
        change,
        action=change.get_action(),
        tenant=change.tenant.slug if change.tenant else None,
        fields=change.get_fields(),
        values=get_stored_values(change),
    )
    return {"id": change.pk, **row}


def get_stored_values(change: SyncChange) -> dict[str, list[FieldValue]] | None:
    """Return the values of a change; None if they were not stored, or are not kept any longer."""
    stored = getattr(change, "stored_values", None)
    return None if stored is None or change.pk < get_oldest_kept_id() else stored.values


def find_status_change(subject_id: UUID) -> datetime | None:
    """Return when the last run started that changed the status of a record in ScaiKey."""
    changes = SyncChange.objects.filter(subject_id=subject_id, fields__contains="scaikey_status")
    return changes.order_by("-pk").values_list("run__started_at", flat=True).first()


def visible_runs(operator: Operator) -> SyncRunQuerySet:
    runs = SyncRun.objects.select_related("tenant").newest_first()
    if operator.sees_everything:
        return runs
    return runs.filter(Q(tenant=None) | Q(tenant__in=visible_tenants(operator)))


def describe_run(run: SyncRun, operator: Operator, now: datetime) -> Row:
    """Convert a run. `change_count` are its changes, `planned_count` the changes of its plan.

    Counts and messages of runs for all tenants are None for operators with a narrower scope.
    """
    is_visible = _is_visible(run, operator)
    planned = sum(counts.get(name, 0) for counts in run.get_counts().values() for name in _CHANGED)
    return {
        "id": run.pk,
        "run_id": run.pk,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "age_seconds": age_seconds(run.ended_at or run.started_at, now),
        "trigger": run.trigger,
        "tenant_id": run.tenant_id,
        "tenant": run.tenant.slug if run.tenant else None,
        "operator": run.operator if is_visible else None,
        "outcome": run.outcome,
        "dry_run": run.is_dry_run or run.outcome == "planned",  # Old rows have no flag.
        "change_count": (planned if run.outcome in WRITTEN else 0) if is_visible else None,
        "planned_count": planned if is_visible else None,
        "kinds": run.get_counts() if is_visible else None,
        "requests": run.requests if is_visible else None,
        "duration_seconds": run.duration_seconds,
        "error": {"code": run.error_code, "message": run.error_message if is_visible else None}
        if run.error_code
        else None,
    }


def age_seconds(timestamp: datetime | None, now: datetime) -> int | None:
    """Return whole seconds, never negative: the clock of another server may be ahead."""
    return None if timestamp is None else max(0, int((now - timestamp).total_seconds()))


def _is_visible(run: SyncRun, operator: Operator) -> bool:
    return operator.sees_everything or run.tenant is not None


def visible_changes(operator: Operator) -> QuerySet[SyncChange]:
    changes = SyncChange.objects.select_related("tenant", "stored_values")
    if operator.sees_everything:
        return changes
    return changes.filter(tenant__in=visible_tenants(operator))


def _hide_foreign_webhooks(runs: SyncRunQuerySet, operator: Operator) -> SyncRunQuerySet:
    """Leave out runs for webhooks that changed nothing in the operator's tenants."""
    if operator.sees_everything:
        return runs
    own = SyncChange.objects.filter(run=OuterRef("pk"), tenant__in=visible_tenants(operator))
    return runs.filter(~Q(trigger=Trigger.WEBHOOK, tenant=None) | Exists(own))


def _resolve_run(operator: Operator, name: str) -> SyncRun:
    runs = _hide_foreign_webhooks(visible_runs(operator), operator)
    if name == LAST:
        matches = list(runs[:1])
    else:
        matches = list(runs.filter(_id_q(name))[: MAX_CANDIDATES + 1])
    if not matches:
        raise SyncRunNotFound(f"Sync run not found: {name}.")
    if len(matches) == 1:
        return matches[0]
    candidates = [str(run.pk) for run in matches[:MAX_CANDIDATES]]
    more = "; and more" if len(matches) > MAX_CANDIDATES else ""
    raise AmbiguousName(
        f"{name} is ambiguous: {'; '.join(candidates)}{more}.",
        fix="Type more characters of the ID of the one you mean.",
        candidates=candidates,
    )


def _id_q(prefix: str) -> Q:
    """Match the IDs that begin with these hexadecimal digits, with or without dashes."""
    digits = prefix.replace("-", "").lower()
    if not 0 < len(digits) <= 32 or set(digits) - set("0123456789abcdef"):
        return Q(pk__in=[])
    return Q(pk__gte=UUID(digits.ljust(32, "0")), pk__lte=UUID(digits.ljust(32, "f")))
