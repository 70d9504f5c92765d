"""How "who" stands: the registration, its credentials, the last runs, and drift right now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet

from identity_sync.errors import RemovalsPostponed
from identity_sync.models import Outcome, Registration, RegistrationState, SyncRun, SyncSkip
from identity_sync.services.registration.credentials import (
    find_waiting_credentials,
    verify_credentials,
)
from identity_sync.services.sync.report import SyncReport
from scaiwave.auth.operators import Operator, Permission
from scaiwave.clients.connect import NotRegistered
from scaiwave.config import Configuration
from scaiwave.errors import ScaiWaveError
from tenants.queries.visibility import visible_tenants

LAST_RUNS = 5
SCHEDULED_MINUTES = range(3, 60, 10)
"""Off the full tens, when everybody else's jobs run."""

POSTPONED_TOO_LONG = timedelta(hours=24)
"""By then a look-up should have proven something."""

Drift = Callable[[], SyncReport]


@dataclass
class SyncStatus:
    """What `sync status` shows. `problem` is what keeps a sync from working, if anything."""

    registration: dict[str, Any]
    credentials: dict[str, Any]
    runs: list[dict[str, Any]]
    running: dict[str, Any] | None
    last_success_at: datetime | None
    last_success_age_seconds: int | None
    next_run_at: datetime
    skipped: dict[str, Any] | None = None
    drift: dict[str, dict[str, int]] | None = None
    warnings: list[str] = field(default_factory=list)
    problem: ScaiWaveError | None = None

    def document(self) -> dict[str, Any]:
        names = ("registration", "credentials", "runs", "running", "last_success_at")
        more = ("last_success_age_seconds", "next_run_at", "skipped", "drift", "warnings")
        return {name: getattr(self, name) for name in names + more}


def sync_status(
    *, operator: Operator, config: Configuration, now: datetime, drift: Drift | None
) -> SyncStatus:
    """Everything at once; what can't be found out becomes `problem` and is null.

    `drift` walks ScaiKey; None leaves that out, and so does an operator who doesn't see the
    whole platform. Such an operator sees the counts of runs for their own tenants only.
    """
    operator.require(Permission.VIEW)
    credentials, problem = _credentials(config)
    success = _visible(operator).filter(outcome=Outcome.APPLIED, tenant=None).first()
    status = SyncStatus(
        registration=_registration(operator, config),
        credentials=credentials,
        runs=[_run(run, operator, now) for run in _visible(operator)[:LAST_RUNS]],
        running=_running(operator, now),
        last_success_at=success.ended_at if success else None,
        last_success_age_seconds=_age(success.ended_at, now) if success else None,
        next_run_at=next_scheduled(now),
        problem=problem,
    )
    status.skipped, postponed = summarise_skips(operator, now)
    if status.problem is None:
        status.problem = postponed
    if drift is not None and problem is None and operator.sees_everything:
        _measure(status, drift)
    return status


def summarise_skips(
    operator: Operator, now: datetime
) -> tuple[dict[str, Any], RemovalsPostponed | None]:
    """What runs skip at the moment, and what is wrong if a removal is postponed for too long."""
    skips = SyncSkip.objects.order_by("first_skipped_at", "id")
    if not operator.sees_everything:
        skips = skips.filter(tenant__in=visible_tenants(operator))
    oldest = skips.first()
    summary = {
        "count": skips.count(),
        "postponed": skips.filter(is_postponed=True).count(),
        "oldest_at": oldest.first_skipped_at if oldest else None,
        "oldest": f"{oldest.kind} {oldest.subject_scaikey_id}" if oldest else None,
    }
    late = skips.filter(is_postponed=True, first_skipped_at__lte=now - POSTPONED_TOO_LONG)
    if not (number := late.count()):
        return summary, None
    first = late[0]
    return summary, RemovalsPostponed(
        f"{number:,} removals have been postponed for more than 24 hours, the oldest is "
        f"{first.kind} {first.subject_scaikey_id} ({first.subject_name}): {first.reason}."
    )


def next_scheduled(now: datetime) -> datetime:
    """The first minute after `now` at which the schedule (`3-59/10`) starts a sync."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    later = (hour + timedelta(minutes=minute) for minute in SCHEDULED_MINUTES)
    first_of_next_hour = hour + timedelta(hours=1, minutes=SCHEDULED_MINUTES[0])
    return next((moment for moment in later if moment > now), first_of_next_hour)


def _credentials(config: Configuration) -> tuple[dict[str, Any], ScaiWaveError | None]:
    """Whether ScaiKey gives us a token, and what is wrong if it does not."""
    values = [
        config.get_str(f"SCAIWAVE_SCAIKEY_{name}") for name in ("URL", "CLIENT_ID", "CLIENT_SECRET")
    ]
    problem: ScaiWaveError | None = None
    reach = ""
    if not all(values):
        problem = _not_registered(config)
    else:
        try:
            reach = verify_credentials(*values)
        except ScaiWaveError as error:
            problem = error
    found = {
        "accepted": problem is None,
        "reach": reach or None,
        "error": {"code": problem.code, "message": problem.message} if problem else None,
    }
    return found, problem


def _not_registered(config: Configuration) -> NotRegistered:
    if waiting := find_waiting_credentials(config):
        return NotRegistered(
            f"ScaiKey has approved request {waiting.request_id}, and its credentials are saved but "
            "not configured.",
            fix="Run `scaiwave sync register` to configure them.",
        )
    row = Registration.objects.order_by("-requested_at").first()
    if row is not None and row.state == RegistrationState.PENDING:
        return NotRegistered(
            "This server's registration with ScaiKey is not approved yet.",
            fix=f"Approve request {row.request_id} in ScaiKey, then run `scaiwave sync register`.",
        )
    return NotRegistered("This server is not registered with ScaiKey.")


def _registration(operator: Operator, config: Configuration) -> dict[str, Any]:
    """The newest request, beside what is configured: credentials may be set by hand, too."""
    row = Registration.objects.order_by("-requested_at").first()
    found: dict[str, Any] = {
        "state": row.state if row else None,
        "url": config.get_url("SCAIWAVE_SCAIKEY_URL") or (row.scaikey_url if row else None),
    }
    if not operator.sees_everything:
        return found
    names = ("request_id", "name", "scope", "scope_slug", "rejection_reason")
    times = ("requested_at", "decided_at")
    return {
        **found,
        "client_id": config.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID") or None,
        "application_id": config.get_str("SCAIWAVE_SCAIKEY_APP_ID") or None,
        **{name: (getattr(row, name) or None) if row else None for name in names + times},
    }


def _visible(operator: Operator) -> QuerySet[SyncRun]:
    """Ended runs within the operator's sight, newest first."""
    return _in_sight(operator).exclude(outcome=Outcome.RUNNING)


def _in_sight(operator: Operator) -> QuerySet[SyncRun]:
    runs = SyncRun.objects.select_related("tenant").order_by("-started_at", "-id")
    if operator.sees_everything:
        return runs
    return runs.filter(Q(tenant=None) | Q(tenant__in=visible_tenants(operator)))


def _running(operator: Operator, now: datetime) -> dict[str, Any] | None:
    run = _in_sight(operator).filter(outcome=Outcome.RUNNING).first()
    return _run(run, operator, now) if run else None


def _run(run: SyncRun, operator: Operator, now: datetime) -> dict[str, Any]:
    whole = operator.sees_everything or run.tenant is not None
    return {
        "run_id": run.pk,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "age_seconds": _age(run.ended_at or run.started_at, now),
        "trigger": run.trigger,
        "tenant": run.tenant.slug if run.tenant else None,
        "outcome": run.outcome,
        "kinds": run.counts if whole else None,
        "requests": run.requests if whole else None,
        "duration_seconds": run.duration_seconds,
        "error": _error(run, whole=whole),
    }


def _error(run: SyncRun, *, whole: bool) -> dict[str, str | None] | None:
    if not run.error_code:
        return None
    return {"code": run.error_code, "message": run.error_message if whole else None}


def _age(moment: datetime | None, now: datetime) -> int | None:
    """Whole seconds, never negative: another machine's clock may be ahead."""
    return None if moment is None else max(0, int((now - moment).total_seconds()))


def _measure(status: SyncStatus, drift: Drift) -> None:
    try:
        report = drift()
    except ScaiWaveError as error:
        status.problem = error
    else:
        status.drift = report.counts()
        status.warnings = report.warnings
