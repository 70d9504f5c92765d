"""The metrics of this server, by the part of it that they describe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from django.conf import settings
from django.db.models import Count, Q

from federation.keys.queries import (
    find_signing_key,
    get_rotation_due_at,
    has_future_times,
    load_keys,
)
from identity_sync.models import Outcome, PendingRemoval, SyncRun, SyncSkip
from identity_sync.removals.queries import count_removals
from identity_sync.reports.health import judge_sync
from identity_sync.reports.judgement import RunScope
from identity_sync.reports.webhooks import summarise_webhooks
from identity_sync.sync.record.history import CHANGES_COUNTER
from rooms.exports.export_room import EXPORT_BYTES_COUNTER, EXPORTS_COUNTER
from rooms.imports.import_room import IMPORT_BYTES_COUNTER, IMPORTS_COUNTER
from rooms.models import DeletedRoom, ImportIntent, RemovedFile
from rooms.retention.policies import MAX_AGE, find_last_run, find_overdue_policies
from rooms.retention.run_retention import EVENTS_COUNTER
from rooms.search.backlog import MAX_EVENTS
from scaiwave.core.clock import get_latest_time
from scaiwave.core.operators import get_host_operator
from scaiwave.operations.doctor.rooms import judge_backlog
from scaiwave.queue.connection import open_redis
from scaiwave.queue.definitions import (
    FAILED,
    REFUSALS_COUNTER,
    RUNNING,
    WAITING,
    RefusalReason,
)
from tenants.audit.chain import get_first_day, get_last_ended_day, load_chain
from tenants.counters import read_counter
from tenants.holds.queries import holds_in_force

_DAY = timedelta(days=1)
_ROOM_COUNTERS = {
    EXPORTS_COUNTER: "Bundles that were read to their end.",
    EXPORT_BYTES_COUNTER: "Bytes of these bundles.",
    IMPORTS_COUNTER: "Rooms that were imported.",
    IMPORT_BYTES_COUNTER: "Bytes of the attachments that imports have stored.",
    EVENTS_COUNTER: "Events that retention has deleted, or whose content it has.",
}


@dataclass(frozen=True)
class Metric:
    """One metric for Prometheus, without the prefix `scaiwave_`.

    `samples` are values with their labels. A counter only grows, and its name gets the suffix
    `_total`; any other metric is a gauge.
    """

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]
    is_counter: bool = False


def _gauge(name: str, description: str, value: float | None) -> Metric:
    """Return a metric without labels; for None, one without a value."""
    return Metric(name, description, [] if value is None else [({}, value)])


def _label(label: str, values: Mapping[str, float]) -> list[tuple[dict[str, str], float]]:
    return [({label: name}, value) for name, value in values.items()]


def collect_job_metrics(now: datetime) -> Iterator[Metric]:
    """Yield nothing without Redis. Raises RedisUnreachable."""
    if not settings.REDIS_URL:
        return
    from scaiwave.operations.jobs.jobs_in_redis import count_jobs
    from scaiwave.queue.heartbeats import list_schedulers, list_workers

    with open_redis() as redis:
        counts = [_label("queue", count_jobs(redis, state)) for state in (WAITING, RUNNING, FAILED)]
        workers, schedulers = list_workers(redis), list_schedulers(redis)
    active = [beat for beat in schedulers if beat.is_active]
    yield Metric("jobs_waiting", "Jobs that wait for a worker.", counts[0])
    yield Metric("jobs_running", "Jobs in progress.", counts[1])
    yield Metric("jobs_failed", "Failed jobs that Redis keeps.", counts[2])
    yield _gauge("workers", "Workers with a recent heartbeat.", len(workers))
    yield _gauge(
        "worker_last_heartbeat_timestamp_seconds",
        "Latest heartbeat of a worker, in Unix time.",
        max((beat.seen_at.timestamp() for beat in workers), default=None),
    )
    yield Metric(
        "schedulers",
        "Schedulers with a recent heartbeat: one is active, the others wait.",
        _label("state", {"active": len(active), "standby": len(schedulers) - len(active)}),
    )
    yield _gauge(
        "scheduler_last_heartbeat_timestamp_seconds",
        "Latest heartbeat of the active scheduler, in Unix time.",
        max((beat.seen_at.timestamp() for beat in active), default=None),
    )


def collect_job_refusals(now: datetime) -> Iterator[Metric]:
    counts = {labels["reason"]: count for labels, count in read_counter(REFUSALS_COUNTER)}
    # Prometheus does not notice the increase of a count that begins with 1.
    samples = _label("reason", {name.value: counts.get(name.value, 0) for name in RefusalReason})
    description = "Jobs in Redis that workers have refused, by reason."
    yield Metric(REFUSALS_COUNTER, description, samples, is_counter=True)


def collect_audit_seals(now: datetime) -> Iterator[Metric]:
    chain = load_chain()
    first_unsealed = get_first_day(chain)
    late = 0
    if first_unsealed is not None:
        late = max((get_last_ended_day(now) - first_unsealed).days + 1, 0)
    yield _gauge("audit_unsealed_days", "Ended days of the audit log without a seal.", late)
    if chain is not None and chain.sealed_through is not None:
        yield _gauge(
            "audit_sealed_until_timestamp_seconds",
            "End of the last sealed day of the audit log, as a Unix time.",
            datetime.combine(chain.sealed_through + _DAY, time.min, UTC).timestamp(),
        )


def collect_key_metrics(now: datetime) -> Iterator[Metric]:
    keys = load_keys()
    key = find_signing_key(keys, now)
    wrong = sum(has_future_times(each, now) for each in keys)
    yield _gauge("federation_keys_from_future", "Keys with times in the future.", wrong)
    yield _gauge("federation_signing_key", "1 if a key signs.", int(key is not None))
    if key is not None:
        age = (now - key.signs_from) / _DAY
        yield _gauge("federation_key_age_days", "Age of the signing key.", age)
        yield _gauge(
            "federation_key_rotation_days",
            "Days until the signing key should be rotated; negative if that is overdue.",
            (get_rotation_due_at(key) - now) / _DAY,
        )


def collect_room_metrics(now: datetime) -> Iterator[Metric]:
    for name, description in _ROOM_COUNTERS.items():
        samples = read_counter(name) or [({}, 0)]
        yield Metric(name, description, samples, is_counter=True)
    yield _gauge(
        "room_imports_open",
        "Imports in progress, or interrupted and not cleaned up.",
        ImportIntent.objects.count(),
    )
    yield _gauge("holds", "Holds in force.", holds_in_force().count())
    yield _gauge(
        "rooms_deleted", "Rooms that wait for their deletion.", DeletedRoom.objects.count()
    )
    due = (
        DeletedRoom.objects.filter(purge_at__lte=now),
        RemovedFile.objects.filter(media__isnull=False, purge_at__lte=now),
        ImportIntent.objects.filter(is_deletion=True),
    )
    yield _gauge(
        "deletions_due",
        "Deleted rooms and files whose grace period has ended; holds keep some.",
        sum(rows.count() for rows in due),
    )
    yield _gauge(
        "retention_policies_overdue",
        f"Retention policies that have not run for {MAX_AGE.days} days.",
        find_overdue_policies(now).count(),
    )
    yield _gauge(
        "retention_last_run_timestamp_seconds",
        "Time of the last retention run that a policy had, in Unix time.",
        None if (last_run_at := find_last_run()) is None else last_run_at.timestamp(),
    )
    yield _gauge(
        "search_backlog_messages",
        f"Messages that are not in the search index, among {MAX_EVENTS:,} events to read.",
        judge_backlog(now)[0].messages,
    )


def collect_sync_metrics(now: datetime) -> Iterator[Metric]:
    yield Metric(
        "scaikey_reconcile_diffs",
        "Differences from ScaiKey that syncs and webhooks have applied.",
        read_counter(CHANGES_COUNTER),
        is_counter=True,
    )
    yield from _collect_full_syncs(now)
    problems = judge_sync(RunScope(get_host_operator()), config=settings.CONFIG, now=now).problems
    description = "1 if `sync status` finds no problem; ScaiKey is not asked."
    yield _gauge("sync_healthy", description, int(not problems))
    codes = dict.fromkeys(sorted({problem.code for problem in problems}), 1)
    yield Metric(
        "sync_problem", "1 for each problem that `sync status` finds.", _label("code", codes)
    )
    running = SyncRun.objects.filter(outcome=Outcome.RUNNING).count()
    yield _gauge("sync_runs_in_progress", "Runs that have not ended.", running)
    skips = SyncSkip.objects.values_list("kind", "is_postponed").annotate(count=Count("id"))
    yield Metric(
        "sync_skipped",
        "Rows and removals that the last sync skipped.",
        [
            ({"kind": kind, "postponed": str(is_postponed).lower()}, count)
            for kind, is_postponed, count in skips.order_by("kind", "is_postponed")
        ],
    )
    yield Metric(
        "sync_removals",
        "Losses of access that syncs have set aside: pending ones wait for a decision.",
        _label("state", count_removals(PendingRemoval.objects.open(), now)),
    )


def _collect_full_syncs(now: datetime) -> Iterator[Metric]:
    latest_time = get_latest_time(now)
    is_ahead = Q(started_at__gt=latest_time) | Q(ended_at__gt=latest_time)
    full = SyncRun.objects.full().ended().exclude(outcome=Outcome.PLANNED).newest_first()
    yield _gauge(
        "sync_runs_from_future",
        "Full syncs that are dated in the future; the metrics below leave them out.",
        full.filter(is_ahead).count(),
    )
    full = full.exclude(is_ahead)
    last = full.first()
    for name, description, run in (
        ("sync_last_success", "End of the last full sync that was applied", full.written().first()),
        ("sync_last_run", "End of the last full sync", last),
    ):
        ended = run.ended_at.timestamp() if run is not None and run.ended_at is not None else None
        yield _gauge(f"{name}_timestamp_seconds", f"{description}, in Unix time.", ended)
    if last is not None:
        outcomes = (Outcome.APPLIED, Outcome.PARTIAL, Outcome.REFUSED, Outcome.FAILED)
        yield Metric(
            "sync_last_outcome",
            "1 for the outcome of the last full sync.",
            _label("outcome", {name.value: int(name == last.outcome) for name in outcomes}),
        )
        seconds = last.duration_seconds or 0.0
        yield _gauge("sync_last_duration_seconds", "Duration of the last full sync.", seconds)
        description = "Requests to ScaiKey of the last full sync."
        yield _gauge("sync_last_requests", description, last.requests)


def collect_webhook_metrics(now: datetime) -> Iterator[Metric]:
    state = summarise_webhooks(settings.CONFIG, now)
    if (last := state["last_delivery_at"]) is not None:
        yield _gauge(
            "webhook_last_delivery_timestamp_seconds",
            "Arrival of the last webhook, in Unix time.",
            last.timestamp(),
        )
    if (seconds := state["last_handled_seconds"]) is not None:
        yield _gauge(
            "webhook_last_handled_seconds",
            "Time from the arrival of the last webhook that was handled to its end.",
            seconds,
        )
    yield _gauge("webhook_events_waiting", "Webhooks that wait.", state["waiting"])
    yield _gauge("webhook_lag_seconds", "Age of the oldest one.", state["lag_seconds"])
    yield _gauge(
        "webhook_events_failed", "Webhooks that are left to the next full sync.", state["failed"]
    )
