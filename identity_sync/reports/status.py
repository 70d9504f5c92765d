"""The status of the sync: registration, credentials, last runs and current drift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypedDict

from identity_sync.errors import TenantNotLinked
from identity_sync.models import LOCK, Registration, RegistrationState
from identity_sync.registration.credentials import CREDENTIAL_SETTINGS, verify_credentials
from identity_sync.registration.missing import describe_missing_registration, find_progress
from identity_sync.registration.redirects import find_redirect_problem
from identity_sync.removals.queries import count_removals, is_pending_q
from identity_sync.report import SyncReport
from identity_sync.reports.health import judge_sync
from identity_sync.reports.judgement import RunScope
from identity_sync.reports.runs import age_seconds, describe_run
from identity_sync.reports.webhooks import WebhooksRow, summarise_webhooks
from identity_sync.sync.lock import HolderRow, describe_holder
from identity_sync.sync.time_limit import get_time_limit
from scaiwave.config import Configuration
from scaiwave.core.errors import InsufficientPermission, ScaiWaveError
from scaiwave.core.locks import find_lock_holder
from scaiwave.core.operators import Operator, Permission
from tenants.lookup.resolve import resolve_partner, resolve_tenant
from tenants.lookup.restoration import find_restoration_problem

MAX_RUNS = 5
Drift = Callable[[], SyncReport]


class CredentialsRow(TypedDict):
    """Whether ScaiKey accepts the credentials, as JSON has it."""

    accepted: bool
    token_scope: str | None
    error: dict[str, str] | None


class SkipsRow(TypedDict):
    """How many rows the last syncs have skipped, as JSON has it."""

    count: int
    postponed: int
    oldest_at: datetime | None
    oldest: str | None


@dataclass
class SyncStatus:
    """The document of `sync status`. `problem` is the most urgent error, or None if it is healthy.

    `drift_reason` is why drift was not measured, and for whom; `drift_error` is one of `errors`, if
    it is the reason. `lock` is the session of PostgreSQL
    that has the lock of syncs.
    """

    registration: dict[str, Any]
    credentials: CredentialsRow
    runs: list[dict[str, Any]]
    running: dict[str, Any] | None
    lock: HolderRow | None
    interrupted: dict[str, Any] | None
    last_success_at: datetime | None
    last_success_age_seconds: int | None
    schedule: dict[str, Any]
    next_run_at: datetime | None
    skipped: SkipsRow | None = None
    pending_removals: dict[str, int | datetime | None] | None = None
    webhooks: WebhooksRow | None = None
    drift: dict[str, dict[str, int]] | None = None
    drift_reason: str | None = None
    warnings: list[str] = field(default_factory=list)
    errors: list[ScaiWaveError] = field(default_factory=list)
    drift_error: ScaiWaveError | None = None

    @property
    def problem(self) -> ScaiWaveError | None:
        return self.errors[0] if self.errors else None

    def document(self) -> dict[str, object]:
        document = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in {"errors", "drift_error"}
        }
        problems = [
            {"code": error.code, "message": error.message, "fix": error.fix or None}
            for error in self.errors
        ]
        return {"is_healthy": not problems, "problems": problems, **document}


def sync_status(
    *,
    operator: Operator,
    config: Configuration,
    now: datetime,
    drift: Drift | None,
    tenant: str | None = None,
    partner: str | None = None,
) -> SyncStatus:
    """Return the status; an unreadable part is null, and its error is one of `errors`.

    `drift` reads ScaiKey's lists; None omits it. `tenant` or `partner` restricts runs, skips and
    the judgement. An operator who does not see the whole platform sees only the counts of runs for
    their own tenants, and nothing of webhooks, whose runs are not among the last runs.
    """
    operator.require(Permission.VIEW)
    scope = RunScope(
        operator,
        None if tenant is None else resolve_tenant(operator, tenant),
        None if partner is None else resolve_partner(operator, partner),
    )
    credentials, problem = _check_credentials(config)
    health = judge_sync(scope, config=config, now=now, credentials_problem=problem)
    judgement, schedule = health.judgement, health.schedule
    success = judgement.last_success
    holder = find_lock_holder(LOCK) if operator.sees_everything else None
    running, interrupted = (
        describe_run(run, operator, now) if run is not None else None
        for run in (judgement.running, judgement.interrupted)
    )
    status = SyncStatus(
        registration=_describe_registration(operator, config),
        credentials=credentials,
        runs=[describe_run(run, operator, now) for run in scope.runs().ended()[:MAX_RUNS]],
        running=running,
        lock=describe_holder(holder) if holder else None,
        interrupted=interrupted,
        last_success_at=success.ended_at if success else None,
        last_success_age_seconds=age_seconds(success.ended_at, now) if success else None,
        schedule={
            **schedule.document(shows_host=operator.sees_everything),
            "timeout_seconds": get_time_limit(config),
        },
        next_run_at=schedule.next_run_at,
        skipped=summarise_skips(scope),
        pending_removals=summarise_removals(scope, now),
        warnings=[warning.message for warning in health.warnings],
        errors=health.problems,
    )
    if operator.sees_everything:
        if not scope.is_restricted:
            status.webhooks = summarise_webhooks(config, now)
        if redirect_problem := find_redirect_problem(config):
            status.warnings.append(redirect_problem)
    _add_drift(status, drift, scope, problem)
    return status


def summarise_skips(scope: RunScope) -> SkipsRow:
    skips = scope.skips()
    oldest = skips.first()
    return {
        "count": skips.count(),
        "postponed": skips.filter(is_postponed=True).count(),
        "oldest_at": oldest.first_skipped_at if oldest else None,
        "oldest": f"{oldest.kind} {oldest.subject_scaikey_id}" if oldest else None,
    }


def summarise_removals(scope: RunScope, now: datetime) -> dict[str, int | datetime | None]:
    rows = scope.removals()
    oldest = rows.filter(is_pending_q(now)).order_by("first_seen_at").first()
    return {
        **count_removals(rows, now),
        "oldest_at": oldest.first_seen_at if oldest else None,
    }


def _check_credentials(config: Configuration) -> tuple[CredentialsRow, ScaiWaveError | None]:
    """Return whether ScaiKey accepts the credentials, and the error if it does not."""
    values = [config.get_str(name) for name in CREDENTIAL_SETTINGS]
    problem: ScaiWaveError | None = find_restoration_problem()
    token_scope = ""
    if problem is not None:
        pass  # A copy of the live server must not use its credentials.
    elif not all(values):
        problem = describe_missing_registration(config)
    else:
        try:
            token_scope = verify_credentials(*values)
        except ScaiWaveError as error:
            problem = error
    document: CredentialsRow = {
        "accepted": problem is None,
        "token_scope": token_scope or None,
        "error": {"code": problem.code, "message": problem.message} if problem else None,
    }
    return document, problem


def _describe_registration(operator: Operator, config: Configuration) -> dict[str, object]:
    """Return the request in use and the configuration; credentials may be set manually, too."""
    progress = find_progress(config)
    row, pending = progress.in_use, progress.pending
    document: dict[str, object] = {
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


def _add_drift(
    status: SyncStatus, drift: Drift | None, scope: RunScope, problem: ScaiWaveError | None
) -> None:
    """Measure the drift, or add why it is not measured."""
    if drift is None:
        status.drift_reason = "--no-drift"
    elif problem is not None:
        status.drift_reason, status.drift_error = problem.message, problem
    elif scope.partner is not None:
        status.drift_reason = "only of everything, or with --tenant"
    elif status.running is not None:
        status.drift_reason = "a sync is running"
    if status.drift_reason is not None or drift is None:
        return
    try:
        report = drift()
    except (InsufficientPermission, TenantNotLinked) as error:
        status.drift_reason = error.message
    except ScaiWaveError as error:
        status.drift_reason, status.drift_error = error.message, error
        status.errors.insert(0, error)
    else:
        status.drift = report.counts()
        status.warnings += report.warnings


def find_application_scope(client_id: str) -> str:
    """Return the scope of the application that this server has registered; empty if unknown."""
    registrations = Registration.objects.filter(
        client_id=client_id, state=RegistrationState.APPROVED
    )
    return registrations.order_by("requested_at").values_list("scope", flat=True).last() or ""
