"""Metrics of the sync and of webhooks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.conf import settings
from django.db.models import Count, Q

from identity_sync.models import Outcome, PendingRemoval, SyncRun, SyncSkip
from identity_sync.removals.queries import count_removals
from identity_sync.reports.health import judge_sync
from identity_sync.reports.judgement import RunScope
from identity_sync.reports.webhooks import summarise_webhooks
from identity_sync.sync.history import CHANGES_COUNTER
from scaiwave.core.clock import get_latest_time
from scaiwave.core.operators import get_host_operator
from scaiwave.operations.metrics.metric import Metric
from tenants.counters import read_counter


def collect_sync_metrics(now: datetime) -> Iterator[Metric]:
    yield Metric(
        "scaikey_reconcile_diffs",
        "Differences from ScaiKey that syncs and webhooks have applied.",
        read_counter(CHANGES_COUNTER),
        is_counter=True,
    )
    latest_time = get_latest_time(now)
    is_ahead = Q(started_at__gt=latest_time) | Q(ended_at__gt=latest_time)
    full = SyncRun.objects.full().ended().exclude(outcome=Outcome.PLANNED).newest_first()
    yield Metric(
        "sync_runs_from_future",
        "Full syncs that are dated in the future; the metrics below leave them out.",
        [({}, full.filter(is_ahead).count())],
    )
    full = full.exclude(is_ahead)
    success = full.written().first()
    yield _build_timestamp(
        "sync_last_success", "End of the last full sync that was applied", success
    )
    last = full.first()
    yield _build_timestamp("sync_last_run", "End of the last full sync", last)
    if last is not None:
        outcomes = [Outcome.APPLIED, Outcome.PARTIAL, Outcome.REFUSED, Outcome.FAILED]
        yield Metric(
            "sync_last_outcome",
            "1 for the outcome of the last full sync.",
            [({"outcome": name.value}, int(name == last.outcome)) for name in outcomes],
        )
        yield Metric(
            "sync_last_duration_seconds",
            "Duration of the last full sync.",
            [({}, last.duration_seconds or 0.0)],
        )
        yield Metric(
            "sync_last_requests",
            "Requests to ScaiKey of the last full sync.",
            [({}, last.requests)],
        )
    running = SyncRun.objects.filter(outcome=Outcome.RUNNING).count()
    problems = judge_sync(RunScope(get_host_operator()), config=settings.CONFIG, now=now).problems
    yield Metric(
        "sync_healthy",
        "1 if `sync status` finds no problem; ScaiKey is not asked.",
        [({}, int(not problems))],
    )
    yield Metric(
        "sync_problem",
        "1 for each problem that `sync status` finds.",
        [({"code": code}, 1) for code in sorted({problem.code for problem in problems})],
    )
    yield Metric("sync_runs_in_progress", "Runs that have not ended.", [({}, running)])
    yield _count_skips()
    counts = count_removals(PendingRemoval.objects.open(), now)
    yield Metric(
        "sync_removals",
        "Losses of access that syncs have set aside: pending ones wait for a decision.",
        [({"state": state}, number) for state, number in counts.items()],
    )


def _build_timestamp(name: str, description: str, run: SyncRun | None) -> Metric:
    ended_at = run.ended_at if run is not None else None
    return Metric(
        f"{name}_timestamp_seconds",
        f"{description}, in Unix time.",
        [({}, ended_at.timestamp())] if ended_at is not None else [],
    )


def _count_skips() -> Metric:
    rows = SyncSkip.objects.values("kind", "is_postponed").annotate(count=Count("id"))
    return Metric(
        "sync_skipped",
        "Rows and removals that the last sync skipped.",
        [
            ({"kind": row["kind"], "postponed": str(row["is_postponed"]).lower()}, row["count"])
            for row in rows.order_by("kind", "is_postponed")
        ],
    )


def collect_webhook_metrics(now: datetime) -> Iterator[Metric]:
    state = summarise_webhooks(settings.CONFIG, now)
    if (last := state["last_delivery_at"]) is not None:
        yield Metric(
            "webhook_last_delivery_timestamp_seconds",
            "Arrival of the last webhook, in Unix time.",
            [({}, last.timestamp())],
        )
    if (seconds := state["last_handled_seconds"]) is not None:
        yield Metric(
            "webhook_last_handled_seconds",
            "Time from the arrival of the last webhook that was handled to its end.",
            [({}, seconds)],
        )
    yield Metric("webhook_events_waiting", "Webhooks that wait.", [({}, state["waiting"])])
    yield Metric("webhook_lag_seconds", "Age of the oldest one.", [({}, state["lag_seconds"])])
    yield Metric(
        "webhook_events_failed",
        "Webhooks that are left to the next full sync.",
        [({}, state["failed"])],
    )
