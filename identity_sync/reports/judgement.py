"""Judge whether syncs run and succeed: what `health` reports to all who show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile

from django.db.models import Count, Min, Q, QuerySet
from django.utils.timesince import timesince

from identity_sync.encoding import add_id
from identity_sync.errors import (
    RemovalsPending,
    RemovalsPostponed,
    SyncFailing,
    SyncOverdue,
    SyncSkipsRepeated,
)
from identity_sync.models import (
    FAILED_Q,
    LOCK,
    WRITTEN,
    Outcome,
    PendingRemoval,
    RemovalState,
    SyncRun,
    SyncRunQuerySet,
    SyncSkip,
    Trigger,
)
from identity_sync.reasons import ON_PURPOSE, Reason, format_cause
from identity_sync.removals.queries import is_pending_q, visible_removals
from identity_sync.reports.runs import visible_runs
from scaiwave.config import Configuration
from scaiwave.console.text import pluralize
from scaiwave.core.clock import get_latest_time, is_in_future
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.locks import is_locked
from scaiwave.core.operators import Operator
from tenants.lookup.visibility import visible_tenants
from tenants.models import Partner, Tenant

MAX_INTERVALS = 2
"""After so many intervals without success a sync is overdue."""

MAX_FAILURES = 2
"""So many failures in a row are a problem; one is often only a short outage of ScaiKey."""

MAX_COUNTED_FAILURES = 100
"""Of more failures in a row, a report has no number."""

MAX_NAMED = 5
"""Tenants that an error names."""

MAX_SKIPS = 2
"""A row that so many runs have skipped is a problem."""

MAX_POSTPONED_AGE = timedelta(hours=24)
"""From then on postponed removals are an error."""


@dataclass(frozen=True)
class RunScope:
    """The runs and skips that are judged: all that the operator sees, or a part of it."""

    operator: Operator
    tenant: Tenant | None = None
    partner: Partner | None = None

    @property
    def is_restricted(self) -> bool:
        return self.tenant is not None or self.partner is not None

    def runs(self) -> SyncRunQuerySet:
        """Return the runs, newest first, except runs for webhooks."""
        runs = visible_runs(self.operator).exclude(trigger=Trigger.WEBHOOK)
        if self.is_restricted:
            runs = runs.filter(Q(tenant=None) | Q(tenant__in=self._tenants()))
        return runs

    def whole_runs(self) -> SyncRunQuerySet:
        """Return the runs that covered all of it."""
        own = Q() if self.tenant is None else Q(tenant=self.tenant)
        return self.runs().filter(Q(tenant=None) | own if own else Q(tenant=None))

    def skips(self) -> QuerySet[SyncSkip]:
        """Return what runs skip, the oldest first."""
        skips = SyncSkip.objects.order_by("first_skipped_at", "id")
        if self.is_restricted or not self.operator.sees_everything:
            skips = skips.filter(tenant__in=self._tenants())
        return skips

    def removals(self) -> QuerySet[PendingRemoval]:
        """Return the open pending removals."""
        rows = visible_removals(self.operator)
        return rows.filter(tenant__in=self._tenants()) if self.is_restricted else rows

    def _tenants(self) -> QuerySet[Tenant]:
        tenants = visible_tenants(self.operator)
        if self.tenant is not None:
            return tenants.filter(pk=self.tenant.pk)
        return tenants if self.partner is None else tenants.filter(partner=self.partner)


@dataclass
class Judgement:
    """The state of the syncs at one time; `problems` are errors, the most urgent first.

    `latest` has ended, was no dry run and was not stopped by the operator. `interrupted` is a run
    without an end that no longer has the lock. `dated_ahead` are the runs of a host whose clock was
    ahead: they count for nothing.
    """

    last_success: SyncRun | None
    latest: SyncRun | None
    running: SyncRun | None
    interrupted: SyncRun | None
    dated_ahead: list[SyncRun]
    problems: list[ScaiWaveError] = field(default_factory=list)


def judge_runs(scope: RunScope, *, config: Configuration, now: datetime) -> Judgement:
    latest_time = get_latest_time(now)
    running, interrupted = _find_open_run(scope.operator)
    past = scope.whole_runs().ended().exclude(Q(started_at__gt=latest_time) | Q(ended_at=None))
    past = past.exclude(ended_at__gt=latest_time)
    success = past.written().first()
    ahead = scope.runs().filter(Q(started_at__gt=latest_time) | Q(ended_at__gt=latest_time))
    judged = past.filter(FAILED_Q | Q(outcome__in=WRITTEN))
    judgement = Judgement(success, judged.first(), running, interrupted, list(ahead[:1]))
    problems = (
        _find_failures(scope, judged, interrupted),
        find_pending(scope, now),
        _find_overdue(success, config, now, has_future_runs=bool(judgement.dated_ahead)),
        _find_postponed(scope, now),
        _find_repeated_skips(scope),
    )
    judgement.problems = [problem for problem in problems if problem is not None]
    return judgement


def _find_open_run(operator: Operator) -> tuple[SyncRun | None, SyncRun | None]:
    """Return the run that is in progress, and the one that was killed; each may be None.

    Every run, including runs for webhooks, has the lock from its first row to its end. One that
    waits for the lock has no row yet.
    """
    open_runs = visible_runs(operator).filter(outcome=Outcome.RUNNING)
    run = open_runs.first()
    if run is None:
        return None, None
    if is_locked(LOCK):
        return run, None
    # Read again, since it may have ended before the lock was looked at.
    return None, open_runs.filter(pk=run.pk).first()


def get_interval(config: Configuration) -> timedelta:
    """Return the time between two full syncs of the schedule."""
    return timedelta(minutes=config.get_int("SCAIWAVE_SYNC_INTERVAL_MINUTES"))


def format_age_in_words(timestamp: datetime, now: datetime) -> str:
    if now - timestamp < timedelta(minutes=1):
        return "less than a minute"
    return timesince(timestamp, now).replace("\N{NO-BREAK SPACE}", " ")


def find_pending(scope: RunScope, now: datetime) -> RemovalsPending | None:
    """Return the error if removals wait for a decision."""
    rows = scope.removals().filter(is_pending_q(now)).order_by().values_list("tenant__slug")
    counted = rows.annotate(number=Count("id"), oldest=Min("first_seen_at"))
    groups = list(counted.order_by("-number", "tenant__slug"))
    if not groups:
        return None
    number = sum(count for _, count, _ in groups)
    places = [f"{slug or 'partners'} ({count:,})" for slug, count, _ in groups[:MAX_NAMED]]
    more = ", …" if len(groups) > MAX_NAMED else ""
    age = format_age_in_words(min(oldest for *_, oldest in groups), now)
    return RemovalsPending(
        f"{pluralize(number, 'removal waits', 'removals wait')} for a decision, "
        f"the oldest for {age}: {', '.join(places)}{more}.",
        removals=number,
    )


def describe_approved(scope: RunScope, now: datetime) -> str:
    """Return how many approved removals wait for a sync; empty if none do."""
    rows = scope.removals().filter(state=RemovalState.APPROVED, expires_at__gt=now).order_by()
    found = rows.aggregate(number=Count("pk"), lapses_at=Min("expires_at"))
    if not found["number"]:
        return ""
    left = format_age_in_words(now, found["lapses_at"])
    number = pluralize(found["number"], "approved removal waits", "approved removals wait")
    return f"{number} for the next sync. The first approval lapses in {left}."


def _find_postponed(scope: RunScope, now: datetime) -> RemovalsPostponed | None:
    """Return the error if removals are postponed for too long."""
    is_overdue = Q(first_skipped_at__lte=now - MAX_POSTPONED_AGE)
    # Since when is not known if the clock was ahead; that must not keep it from being reported.
    is_ahead = Q(first_skipped_at__gt=get_latest_time(now))
    overdue = scope.skips().filter(is_overdue | is_ahead, is_postponed=True)
    if not (number := overdue.count()):
        return None
    first = overdue[0]
    age = (
        "since a time in the future"
        if is_in_future(first.first_skipped_at, now)
        else "for more than 24 hours"
    )
    return RemovalsPostponed(
        f"{pluralize(number, 'removal')} {'has' if number == 1 else 'have'} been postponed {age}. "
        + _describe_oldest(first)
    )


def _describe_oldest(skip: SyncSkip) -> str:
    kind = skip.kind.removesuffix("s")
    subject = add_id(skip.subject_name, skip.subject_scaikey_id)
    cause = format_cause(skip.reason_code, skip.detail)
    return f"The oldest concerns the {kind} {subject}: {cause}."


def _find_failures(
    scope: RunScope, runs: SyncRunQuerySet, interrupted: SyncRun | None
) -> SyncFailing | None:
    """Return the error if the last runs failed. `runs` are written or failed, newest first."""
    recent = list(runs.values_list("pk", "error_code", "outcome")[:MAX_COUNTED_FAILURES])
    is_webhook = interrupted is None or interrupted.trigger == Trigger.WEBHOOK
    if interrupted and not is_webhook and interrupted.tenant in (None, scope.tenant):
        recent.insert(0, (interrupted.pk, "SW_SYNC_INTERRUPTED", Outcome.FAILED))
    failed = list(takewhile(lambda run: run[2] not in WRITTEN, recent))
    if (number := len(failed)) < MAX_FAILURES:
        return None
    codes = dict.fromkeys(code or "SW_SYNC_INTERRUPTED" for _, code, _ in failed)
    command = f"scaiwave sync show-run {failed[0][0]}"
    least = "At least the" if number >= MAX_COUNTED_FAILURES else "The"
    what = f"{least} last {number} full syncs failed"
    return SyncFailing(
        f"{what}: {', '.join(codes)}.",
        fix=f"`{command}` shows the error of the latest and its fix.",
        command=command,
        what=what,
    )


def _find_overdue(
    success: SyncRun | None, config: Configuration, now: datetime, *, has_future_runs: bool
) -> SyncOverdue | None:
    if success is None or success.ended_at is None:
        if has_future_runs:
            return SyncOverdue(
                "No full sync is known to have succeeded: the last runs are dated in the future.",
                fix="Check the clocks of the hosts, then run `scaiwave sync`.",
            )
        return SyncOverdue("No full sync has succeeded yet.", fix="Run `scaiwave sync`.")
    if now - success.ended_at <= MAX_INTERVALS * get_interval(config):
        return None
    age = format_age_in_words(success.ended_at, now)
    return SyncOverdue(f"The last successful full sync was {age} ago.")


def _find_repeated_skips(scope: RunScope) -> SyncSkipsRepeated | None:
    """Return the error if the same row was skipped again, other than on purpose."""
    skips = scope.skips().filter(runs__gte=MAX_SKIPS)
    skips = skips.exclude(reason_code__in=(Reason.PENDING, *ON_PURPOSE))
    if not (number := skips.count()):
        return None
    first = skips[0]
    return SyncSkipsRepeated(
        f"{pluralize(number, 'difference')} from ScaiKey {'remains' if number == 1 else 'remain'}, "
        f"because {MAX_SKIPS} or more syncs in a row have skipped "
        f"{'it' if number == 1 else 'them'}. {_describe_oldest(first)}"
    )
