"""The status of the sync: registration, credentials, last runs and current drift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from identity_sync.errors import RemovalsPostponed
from identity_sync.models import (
    Outcome,
    Registration,
    RegistrationState,
    SyncRunQuerySet,
    SyncSkip,
    Trigger,
)
from identity_sync.queries.runs import age_seconds, describe_run, visible_runs
from identity_sync.queries.webhooks import summarise_webhooks
from identity_sync.services.registration.credentials import (
    find_waiting_credentials,
    verify_credentials,
)
from identity_sync.services.registration.receipt import MAX_ID_CHARS
from identity_sync.services.registration.redirects import find_redirect_problem
from identity_sync.services.sync.report import SyncReport
from scaiwave.auth.operators import Operator, Permission
from scaiwave.config import Configuration
from scaiwave.console.text import pluralize
from scaiwave.errors import NotRegistered, ScaiWaveError
from tenants.queries.visibility import visible_tenants

MAX_RUNS = 5
SCHEDULED_MINUTES = range(3, 60, 10)
"""Every ten minutes, but not on the full ten, when jobs of other systems run."""

MAX_POSTPONED_AGE = timedelta(hours=24)
"""From then on postponed removals are an error."""

Drift = Callable[[], SyncReport]


@dataclass
class SyncStatus:
    """The document of `sync status`. `problem` is the error that prevents syncs, or None."""

    registration: dict[str, Any]
    credentials: dict[str, Any]
    runs: list[dict[str, Any]]
    running: dict[str, Any] | None
    last_success_at: datetime | None
    last_success_age_seconds: int | None
    next_run_at: datetime
    skipped: dict[str, Any] | None = None
    webhooks: dict[str, Any] | None = None
    drift: dict[str, dict[str, int]] | None = None
    warnings: list[str] = field(default_factory=list)
    problem: ScaiWaveError | None = None

    def document(self) -> dict[str, Any]:
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name != "problem"
        }


def sync_status(
    *, operator: Operator, config: Configuration, now: datetime, drift: Drift | None
) -> SyncStatus:
    """Return the status; what can't be read is null, and its error becomes `problem`.

    `drift` reads ScaiKey's lists; None omits it, and so does an operator who does not see the whole
    platform. Such an operator sees only the counts of runs for their own tenants, and nothing of
    webhooks, whose runs are not among the last runs.
    """
    operator.require(Permission.VIEW)
    credentials, problem = _check_credentials(config)
    success = _ended_runs(operator).full().filter(outcome=Outcome.APPLIED).first()
    status = SyncStatus(
        registration=_describe_registration(operator, config),
        credentials=credentials,
        runs=[describe_run(run, operator, now) for run in _ended_runs(operator)[:MAX_RUNS]],
        running=_find_running(operator, now),
        last_success_at=success.ended_at if success else None,
        last_success_age_seconds=age_seconds(success.ended_at, now) if success else None,
        next_run_at=next_scheduled(now),
        problem=problem,
    )
    status.skipped, postponed = summarise_skips(operator, now)
    if operator.sees_everything:
        status.webhooks = summarise_webhooks(config, now)
        if redirect_problem := find_redirect_problem(config):
            status.warnings.append(redirect_problem)
    if status.problem is None:
        status.problem = postponed
    if drift is not None and problem is None and operator.sees_everything:
        _add_drift(status, drift)
    return status


def summarise_skips(
    operator: Operator, now: datetime
) -> tuple[dict[str, Any], RemovalsPostponed | None]:
    """Return a summary of what runs skip, and the error if removals are postponed for too long."""
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
    overdue = skips.filter(is_postponed=True, first_skipped_at__lte=now - MAX_POSTPONED_AGE)
    if not (number := overdue.count()):
        return summary, None
    first = overdue[0]
    return summary, RemovalsPostponed(
        f"{pluralize(number, 'removal')} postponed for more than 24 hours, the oldest is "
        f"{first.kind} {first.subject_scaikey_id} ({first.subject_name}): {first.reason}."
    )


def next_scheduled(now: datetime) -> datetime:
    """Return the first minute after `now` at which the schedule (`3-59/10`) starts a sync."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    later = (hour + timedelta(minutes=minute) for minute in SCHEDULED_MINUTES)
    first_of_next_hour = hour + timedelta(hours=1, minutes=SCHEDULED_MINUTES[0])
    return next((time for time in later if time > now), first_of_next_hour)


def _check_credentials(config: Configuration) -> tuple[dict[str, Any], ScaiWaveError | None]:
    """Return whether ScaiKey accepts the credentials, and the error if it does not."""
    values = [
        config.get_str(f"SCAIWAVE_SCAIKEY_{name}") for name in ("URL", "CLIENT_ID", "CLIENT_SECRET")
    ]
    problem: ScaiWaveError | None = None
    token_scope = ""
    if not all(values):
        problem = describe_missing_registration(config)
    else:
        try:
            token_scope = verify_credentials(*values)
        except ScaiWaveError as error:
            problem = error
    document = {
        "accepted": problem is None,
        "token_scope": token_scope or None,
        "error": {"code": problem.code, "message": problem.message} if problem else None,
    }
    return document, problem


def describe_missing_registration(config: Configuration) -> NotRegistered:
    """Return the error for a server without credentials: how far its last request has come."""
    if waiting := find_waiting_credentials(config):
        return NotRegistered(
            f"ScaiKey has approved request {waiting.request_id}, and its credentials are saved but "
            "not configured.",
            fix="Run `scaiwave sync register` to configure them.",
        )
    row = Registration.objects.newest_first().first()
    if row is None:
        return NotRegistered("This server is not registered with ScaiKey.")
    return _describe_last_request(row)


def _describe_last_request(row: Registration) -> NotRegistered:
    again = "Run `scaiwave sync register` to apply again with the same answers."
    match row.state:
        case RegistrationState.PENDING:
            return NotRegistered(
                "This server's registration with ScaiKey is not approved yet.",
                fix=f"Approve request {row.request_id} in ScaiKey, then run `scaiwave sync "
                "register`.",
            )
        case RegistrationState.REJECTED:
            reason = row.rejection_reason.rstrip(".") or "no reason given"
            return NotRegistered(
                f"This server is not registered: ScaiKey rejected request {row.request_id}: "
                f"{reason}.",
                fix=f"Resolve the reason with a ScaiKey administrator. {again}",
            )
        case RegistrationState.EXPIRED | RegistrationState.CANCELLED:
            how = "has expired" if row.state == RegistrationState.EXPIRED else "was cancelled"
            return NotRegistered(
                f"This server is not registered: request {row.request_id} {how}.", fix=again
            )
        case _:
            return NotRegistered(
                f"This server was registered by request {row.request_id}, but no credentials are "
                "configured.",
                fix="Restore the configuration file, or run `scaiwave sync register` to register "
                "again.",
            )


def _find_registrations(config: Configuration) -> tuple[Registration | None, Registration | None]:
    """Return the registration in use, and the request that is pending to replace it.

    Without credentials the newest request is the one in use.
    """
    rows = Registration.objects.newest_first()
    newest = rows.first()
    # The column has no more characters.
    client_id = config.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID")[:MAX_ID_CHARS]
    if not client_id:
        return newest, None
    in_use = rows.filter(client_id=client_id).first()
    if newest is not None and newest.state == RegistrationState.PENDING:
        return in_use, newest
    return in_use or newest, None


def _describe_registration(operator: Operator, config: Configuration) -> dict[str, Any]:
    """Return the request in use and what is configured; credentials may be set manually, too."""
    row, pending = _find_registrations(config)
    document: dict[str, Any] = {
        "state": row.state if row else None,
        "url": config.get_url("SCAIWAVE_SCAIKEY_URL") or (row.scaikey_url if row else None),
    }
    if not operator.sees_everything:
        return document
    names = ("request_id", "name", "scope", "scope_slug", "rejection_reason")
    times = ("requested_at", "decided_at")
    return {
        **document,
        "client_id": config.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID") or None,
        "application_id": config.get_str("SCAIWAVE_SCAIKEY_APP_ID") or None,
        "redirect_uri": config.get_str("SCAIWAVE_SCAIKEY_REDIRECT_URI") or None,
        "pending_request_id": pending.request_id if pending else None,
        **{name: (getattr(row, name) or None) if row else None for name in names + times},
    }


def _ended_runs(operator: Operator) -> SyncRunQuerySet:
    """Return the ended runs that the operator may see, newest first, without those of webhooks."""
    return visible_runs(operator).ended().exclude(trigger=Trigger.WEBHOOK)


def _find_running(operator: Operator, now: datetime) -> dict[str, Any] | None:
    run = visible_runs(operator).filter(outcome=Outcome.RUNNING).first()
    return describe_run(run, operator, now) if run else None


def _add_drift(status: SyncStatus, drift: Drift) -> None:
    try:
        report = drift()
    except ScaiWaveError as error:
        status.problem = error
    else:
        status.drift = report.counts()
        status.warnings += report.warnings
