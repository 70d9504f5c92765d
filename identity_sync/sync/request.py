"""Start a sync that someone has asked for: in a job, or else in a separate process.

A request is an entry of the audit log, which no one can change. The job or the process gets nothing
but its ID, so that entries of Redis can't decide about a sync. The ID becomes the ID of the run, so
that each request runs at most once.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction

from identity_sync.errors import SyncLocked, SyncNotStarted, SyncRequestInvalid
from identity_sync.models import LOCK, SyncRun
from identity_sync.report import SyncReport
from identity_sync.sync.fetch.scope import authorise_sync
from identity_sync.sync.lock import build_locked_error
from identity_sync.sync.options import Pace, RequestedRun, SyncOptions
from identity_sync.sync.record.audit import SUBJECT_TYPE
from identity_sync.sync.run import run_sync
from identity_sync.sync.time_limit import get_time_limit
from scaiwave.auth.identify import find_application_scope
from scaiwave.clients.scaikey.client import own_scaikey_client
from scaiwave.core.locks import is_file_locked, is_locked, process_lock
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.ids import new_id
from scaiwave.queue.launch import is_waiting, launch, name_process
from tenants.audit.record import AuditSubject, record_audit
from tenants.lookup.restoration import require_activated
from tenants.models import AuditEntry, Tenant

JOB = "identity_sync.jobs.run_requested_sync"
ACTION = "request-sync"
REQUEST_LOCK = "sync-request"
"""The process lock of a request from its look for another one until its job or process is there."""

MAX_REQUEST_AGE = timedelta(minutes=15)
MAX_LOCK_WAIT_SECONDS = 60
"""How long a requested sync waits for one that has started since it was requested."""
POLL_SECONDS = 0.1


@dataclass(frozen=True)
class SyncRequest:
    """The requested sync. `run_id` is the ID that its run will have."""

    run_id: UUID
    tenant: Tenant | None
    dry_run: bool
    is_queued: bool

    @property
    def sentence(self) -> str:
        what = "Dry run" if self.dry_run else "Sync"
        whose = f"of {self.tenant.slug}" if self.tenant else "of all tenants"
        return f"{what} {whose} {'queued' if self.is_queued else 'started'}."


def start_sync(
    *,
    operator: Operator,
    tenant: str | None,
    dry_run: bool,
    now: datetime,
) -> SyncRequest:
    """Record the request for a sync of all tenants or of one, start it, and return at once.

    With Redis a worker runs it, else a process of its own. Raises `InsufficientPermission`,
    `TenantNotFound`, `TenantNotLinked`, `NotRegistered`, `SyncLocked` if a sync is running or has
    been requested, and `SyncNotStarted`.
    """
    require_activated()
    row = authorise_sync(operator, tenant, is_interactive=True)
    with own_scaikey_client(settings.CONFIG):
        pass  # Without credentials the run would fail before it is recorded.
    if is_locked(LOCK):
        raise build_locked_error("Another sync is running", shows_host=operator.sees_everything)
    run_id, name = new_id(), row.slug if row else "all tenants"
    with process_lock(REQUEST_LOCK) as is_free:
        if not is_free:
            raise SyncLocked("Another sync is being requested.")
        _require_no_request()
        with transaction.atomic():
            name += " (dry run)" if dry_run else ""
            subject = AuditSubject(SUBJECT_TYPE, str(run_id), name)
            record_audit(operator, ACTION, subject, now, {"dry_run": dry_run}, tenant=row)
        try:
            is_queued = launch(JOB, str(run_id))
        except (OSError, subprocess.SubprocessError) as error:
            raise SyncNotStarted(f"No process can be started: {error}.") from error
    return SyncRequest(run_id, row, dry_run, is_queued)


def _require_no_request() -> None:
    """Raises `SyncLocked` if a requested sync waits for a worker, or has a process on this host."""
    if is_waiting(JOB):
        raise SyncLocked(
            "Another requested sync is waiting for a worker.",
            fix="Check that a worker is running: `scaiwave doctor`.",
        )
    if is_file_locked(name_process(JOB)):
        raise SyncLocked("Another requested sync is running.")


def is_scope_of_registration(operator: Operator) -> bool:
    """Whether this server is registered for one partner or tenant, and the role is for one too.

    Then the operator may sync all, if it is the same one: `start_sync` reads that from the token of
    this server. False if `sync register` has not made the registration.
    """
    scope = find_application_scope(settings.CONFIG.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID"))
    return bool(scope) and scope == {
        OperatorRole.PARTNER_ADMIN: "PARTNER",
        OperatorRole.TENANT_ADMIN: "TENANT",
    }.get(operator.role)


def wait_for_run(request: SyncRequest, seconds: float) -> bool:
    """Wait until a requested run is in the history; return whether it is.

    Raises `SyncNotStarted` if its process has ended before that.
    """
    deadline = time.monotonic() + seconds
    run = SyncRun.objects.filter(pk=request.run_id)
    while True:
        has_process = request.is_queued or is_file_locked(name_process(JOB))
        if run.exists():
            return True
        if not has_process:
            raise SyncNotStarted(
                "The process of the sync has ended before the sync began.",
                fix="The log of this server has the cause. `scaiwave doctor` finds the usual ones.",
            )
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)


def run_request(run_id: UUID, *, now: datetime) -> SyncReport:
    """Run a sync that was requested on this server, once, in the name of its operator.

    It has the rights of the host operator, since the request was authorised, and uses the
    credentials of this server, as scheduled syncs do. Raises `SyncRequestInvalid`, and what
    `run_sync` raises.
    """
    entry = AuditEntry.objects.filter(
        action=ACTION, subject_type=SUBJECT_TYPE, subject_id=str(run_id)
    ).first()
    if entry is None:
        raise SyncRequestInvalid(f"No one has requested a sync with the ID {run_id}.")
    if now - entry.at > MAX_REQUEST_AGE:
        raise SyncRequestInvalid(f"The sync {run_id} was requested too long ago: {entry.at}.")
    operator = Operator(
        entry.operator,
        OperatorRole(entry.operator_role),
        origin=entry.origin,
        subject=entry.operator_id,
    )
    return run_sync(
        SyncOptions(
            replace(operator, role=OperatorRole.HOST),
            tenant=entry.tenant_id or None,
            dry_run=entry.details["dry_run"],
            pace=Pace(MAX_LOCK_WAIT_SECONDS, timeout=get_time_limit(settings.CONFIG)),
            request=RequestedRun(run_id, operator),
            connect=own_scaikey_client,
        )
    )
