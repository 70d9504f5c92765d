"""Exports and erasures of tenants that are started in the admin site: in a job or a process.

As for syncs, the request is an entry of the audit log, and the job gets nothing but its ID. A task
in progress has a lock, so that one whose process has ended is known.
"""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from django.utils.text import slugify

from rooms.erasure.erase_tenant import erase_tenant, plan_erasure
from rooms.erasure.plan import ErasureOptions, ErasurePlan, require_erasable, require_fresh
from rooms.errors import TenantBusy, TenantExportOutdated
from rooms.imports.source import get_max_bytes
from rooms.models import TaskKind, TaskState, TenantTask
from rooms.moves.export_tenant import ExportTenantOptions, export_tenant
from rooms.moves.index import read_index
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressCallback, ProgressFactory, null_progress_factory
from scaiwave.core.errors import ScaiWaveError, UsageError
from scaiwave.core.files import make_directories, translate_write_errors
from scaiwave.core.locks import is_locked, process_lock
from scaiwave.core.operators import Operator, OperatorRole, Permission
from scaiwave.queue.launch import launch
from scaiwave.storage.error_mapping import translate_errors
from scaiwave.storage.schema_version import require_known_schema
from tenants.audit.record import AuditSubject, record_audit
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.restoration import require_activated
from tenants.lookup.validators import validate_required_reason
from tenants.models import AuditEntry, Tenant, TenantErasure
from tenants.people.suspension import suspend_tenant

JOB = "rooms.jobs.run_tenant_task"
ACTION = {
    TaskKind.EXPORT: "request-export",
    TaskKind.PLAN: "request-plan",
    TaskKind.ERASURE: "request-erasure",
}
"""The audit entry of a request."""
SUBJECT_TYPE = "tenant task"
MAX_START_TIME = timedelta(minutes=15)
"""A task that still waits then may have been lost with Redis, so another one may be started."""
ENDED_EARLY = "Its process has ended early."
_WRITE_SECONDS = 2.0

logger = logging.getLogger(__name__)


def find_last_export(tenant: Tenant, **conditions: Any) -> TenantTask | None:
    exports = tenant.tasks.filter(kind=TaskKind.EXPORT, **conditions)
    return exports.order_by("-requested_at").first()


def is_interrupted(task: TenantTask) -> bool:
    return task.state == TaskState.RUNNING and not is_locked(_name_lock(task.tenant_id))


def start_export(
    *,
    operator: Operator,
    tenant: str,
    details: dict[str, Any],
    confirm: Callable[[str], None],
    now: datetime,
) -> TenantTask:
    """Start an export with the details `incremental`, `freeze` and `reason`.

    It goes into a new directory, or `incremental` into the last one. Raises `TenantNotFound`,
    `TenantBusy`, `ServerRestored` and what `suspend_tenant` raises.
    """
    found = _check_request(operator, tenant, details["reason"], now)
    if details["freeze"]:  # Here, where the operator can be asked.
        asked = {"reason": details["reason"], "confirm": confirm, "now": now}
        suspend_tenant(operator=operator, name=str(found.pk), **asked)
    last = find_last_export(found) if details["incremental"] else None
    name = f"{slugify(found.slug)[:50]}-{now:%Y%m%d-%H%M%S}"
    directory = last.directory if last else str(settings.HOME / "exports" / name)
    task = TenantTask(tenant=found, kind=TaskKind.EXPORT, directory=directory)
    return _start(operator, task, details, now)


def start_plan(
    *, operator: Operator, tenant: str, details: dict[str, Any], now: datetime
) -> TenantTask:
    """Start the plan of an erasure with the details `not_exported`, `missing_files`, `at_once` and
    `reason`.

    It compares the last export that has finished. Raises `TenantExportOutdated`, `TenantBusy`, and
    what `require_erasable` raises.
    """
    found = _check_request(operator, tenant, details["reason"], now)
    require_erasable(found, at_once=details["at_once"], now=now)
    export = find_last_export(found, state=TaskState.FINISHED)
    if export is None:
        raise TenantExportOutdated(
            f"Tenant {found.slug} has no finished export that was started in this site.",
            fix="Use Export tenant in the menu More, and let it suspend the tenant. Then plan "
            "the erasure.",
        )
    task = TenantTask(tenant=found, kind=TaskKind.PLAN, directory=export.directory)
    return _start(operator, task, details, now)


def start_erasure(
    *,
    operator: Operator,
    task: TenantTask,
    reason: str,
    backups_gone_by: date | None,
    now: datetime,
) -> TenantTask:
    """Start the erasure by the plan of a task.

    Raises `ErasurePlanInvalid`, `TenantBusy`, and what `require_erasable` raises.
    """
    found = _check_request(operator, str(task.tenant_id), reason, now)
    plan = msgspec.convert(task.plan, ErasurePlan)
    require_fresh(plan, Path("The plan"), now)
    require_erasable(found, at_once=plan.at_once, now=now)
    task.kind = TaskKind.ERASURE
    return _start(operator, task, _describe_erasure(backups_gone_by, reason), now)


def continue_erasure(
    *, operator: Operator, erasure: TenantErasure, backups_gone_by: date | None, now: datetime
) -> None:
    """Start an erasure again that has ended early. Raises `TenantBusy`."""
    operator.require(Permission.MANAGE_PLATFORM)
    require_activated()
    if is_locked(_name_lock(erasure.tenant_id)):
        raise TenantBusy("The tenant is being erased already.", fix="Wait for the end.")
    with transaction.atomic():
        task = TenantTask(id=erasure.pk, tenant_id=erasure.tenant_id, kind=TaskKind.ERASURE)
        _record(operator, task, _describe_erasure(backups_gone_by), now)
    _launch(erasure.pk)


def _describe_erasure(backups_gone_by: date | None, reason: str = "") -> dict[str, Any]:
    day = backups_gone_by.isoformat() if backups_gone_by else None
    return {"reason": reason, "backups_gone_by": day}


def _check_request(operator: Operator, tenant: str, reason: str, now: datetime) -> Tenant:
    operator.require(Permission.MANAGE_PLATFORM)
    require_activated()
    validate_required_reason(reason)
    found = resolve_tenant(operator, tenant)
    _require_no_task(found, now)
    return found


def _require_no_task(tenant: Tenant, now: datetime) -> None:
    """Raises `TenantBusy` if a task is in progress; marks those as failed that have ended early."""
    for task in tenant.tasks.filter(state__in=(TaskState.WAITING, TaskState.RUNNING)):
        is_waiting = task.state == TaskState.WAITING
        if (now - task.requested_at < MAX_START_TIME) if is_waiting else not is_interrupted(task):
            raise TenantBusy(
                f"The {task.get_kind_display()} of tenant {tenant.slug} that was requested at "
                f"{task.requested_at:%H:%M} UTC is {task.state}.",
                fix="Wait for its end: its page shows how far it is. `scaiwave doctor` checks "
                "whether a worker is running.",
            )
        _end(task.pk, error=_describe_error(TenantBusy(ENDED_EARLY, fix="Start it again.")))


def _start(
    operator: Operator, task: TenantTask, details: dict[str, Any], now: datetime
) -> TenantTask:
    task.state, task.phases, task.error = TaskState.WAITING, [], None
    task.requested_at, task.started_at, task.ended_at = now, None, None
    with transaction.atomic():
        _require_no_task(Tenant.objects.select_for_update().get(pk=task.tenant_id), now)
        task.save()
        _record(operator, task, details, now)
    _launch(task.pk)
    return task


def _record(operator: Operator, task: TenantTask, details: dict[str, Any], now: datetime) -> None:
    subject = AuditSubject(SUBJECT_TYPE, str(task.pk), task.tenant.slug)
    record_audit(operator, ACTION[TaskKind(task.kind)], subject, now, details, tenant=task.tenant)


def _launch(task_id: UUID) -> None:
    """Let a worker run the task; without Redis a process of its own. Raises `TenantBusy`."""
    try:
        launch(JOB, str(task_id))
    except (OSError, subprocess.SubprocessError) as error:
        problem = TenantBusy(f"No process can be started: {error}.", fix="Start it again later.")
        _end(task_id, error=_describe_error(problem))
        raise problem from error


def run_task(task_id: UUID) -> dict[str, Any]:
    """Run a task that was requested on this server, in the name of its operator.

    An error is recorded in the task or in the erasure, where the operator looks for it. One that is
    no longer waiting is left alone. Raises `UsageError` and `TenantBusy`.
    """
    entries = AuditEntry.objects.filter(
        action__in=_RUNNERS, subject_type=SUBJECT_TYPE, subject_id=str(task_id)
    )
    if (entry := entries.order_by("-id").first()) is None:
        raise UsageError(f"No one has requested the task {task_id}.", fix="Start it in the site.")
    tenant_id = UUID(entry.tenant_id)
    with process_lock(_name_lock(tenant_id)) as acquired:
        if not acquired:
            raise TenantBusy("Another task of the tenant is running.", fix="Wait for its end.")
        tasks = TenantTask.objects.filter(pk=task_id)
        is_waiting = tasks.filter(state=TaskState.WAITING).update(
            state=TaskState.RUNNING, started_at=timezone.now()
        )
        erasures = TenantErasure.objects.filter(tenant_id=tenant_id, finished_at=None)
        if not (is_waiting or erasures.filter(pk=task_id).exists()):
            return {"state": "not waiting"}
        result, error = {}, None
        try:
            with translate_errors():
                require_known_schema(connection, allow_newer=False)  # As its command does.
                run = _RUNNERS[entry.action] if is_waiting else _erase
                result = run(entry, tasks.first())  # type: ignore[arg-type]
        except ScaiWaveError as problem:
            logger.warning("Task %s has failed: %s", task_id, problem.message)
            error = _describe_error(problem)
            erasures.update(error=error)
        _end(task_id, error=error, **result)
    return {"error": error}


def _end(task_id: UUID, *, error: dict[str, str] | None, **result: Any) -> None:
    state = TaskState.FAILED if error else TaskState.FINISHED
    values = {"state": state, "error": error, "ended_at": timezone.now(), **result}
    TenantTask.objects.filter(pk=task_id).update(**values)


def _describe_error(error: ScaiWaveError) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "fix": error.fix}


def _name_lock(tenant_id: UUID) -> str:
    return f"tenant-task-of-{tenant_id}"


def _build_operator(entry: AuditEntry) -> Operator:
    return Operator(
        entry.operator,
        OperatorRole(entry.operator_role),
        origin=entry.origin,
        subject=entry.operator_id,
    )


def _export(entry: AuditEntry, task: TenantTask) -> dict[str, Any]:
    directory, details = Path(task.directory), entry.details
    with translate_write_errors(directory):
        make_directories(directory.parent)
    result = export_tenant(
        operator=_build_operator(entry),
        tenant=entry.tenant_id,
        options=ExportTenantOptions(
            directory=directory,
            max_bytes=get_max_bytes(),
            clock=timezone.now,
            confirm=lambda effect: None,
            progress_factory=_Progress(task.pk),
            **details,
        ),
    )
    index = read_index(directory)[0]
    figures = {
        **result.figures,
        "host": socket.gethostname(),
        "size_bytes": sum(info.size for _, info in index.iter_files()),
        "not_exported": Counter(room["reason"] for room in result.lists["not_exported"]),
        "problem": result.error.message if result.error else "",
    }
    return {"result": figures}


def _plan(entry: AuditEntry, task: TenantTask) -> dict[str, Any]:
    directory = Path(task.directory)
    options = _build_options(directory=directory, progress=_Progress(task.pk), **entry.details)
    with TemporaryDirectory() as temporary:
        file = Path(temporary) / "plan"
        plan_erasure(
            operator=_build_operator(entry), tenant=entry.tenant_id, options=options, file=file
        )
        return {"plan": json.loads(file.read_bytes())}


def _erase(entry: AuditEntry, task: TenantTask | None) -> dict[str, Any]:
    """Erase by the plan of a task. Without a task, continue: the request has the erasure's ID."""
    plan = (task and task.plan) or {"id": entry.subject_id}
    certificate = settings.HOME / "erasures" / f"{plan['id']}.json"
    with translate_write_errors(certificate):
        make_directories(certificate.parent)
    day = entry.details["backups_gone_by"]
    options = _build_options(
        progress=_Progress(task.pk) if task else null_progress_factory,
        reason=entry.details["reason"],
        certificate=certificate,
        backups_gone_by=date.fromisoformat(day) if day else None,
    )
    with TemporaryDirectory() as temporary:
        file = Path(temporary) / "plan"
        file.write_text(json.dumps(plan))
        erase_tenant(
            operator=_build_operator(entry),
            tenant=entry.tenant_id,
            file=file if task else None,
            options=options,
            confirm=lambda effect, slug: None,
        )
    return {}


def _build_options(*, progress: ProgressFactory, **options: Any) -> ErasureOptions:
    values: dict[str, Any] = {"directory": None, "not_exported": 0, "at_once": False, **options}
    shared: dict[str, Any] = {
        "max_bytes": get_max_bytes(),
        "clock": timezone.now,
        "progress_factory": progress,
    }
    return ErasureOptions(**values, **shared)


_RUNNERS: dict[str, Callable[[AuditEntry, TenantTask], dict[str, Any]]] = {
    ACTION[TaskKind.EXPORT]: _export,
    ACTION[TaskKind.PLAN]: _plan,
    ACTION[TaskKind.ERASURE]: _erase,
}


class _Progress:
    """A factory of progress that writes the phases into the row of a task, from time to time.

    Within a transaction nothing is written, since no other process would see it.
    """

    def __init__(self, task_id: UUID) -> None:
        self._task_id, self._phases, self._written = task_id, list[dict[str, Any]](), 0.0

    @contextmanager
    def __call__(
        self, label: str, kind: ColumnType = ColumnType.COUNT, /
    ) -> Iterator[ProgressCallback]:
        label = f"{label} (bytes)" if kind is ColumnType.BYTES else label
        phase: dict[str, Any] = {"name": label, "done": None, "total": None, "has_ended": False}
        self._phases.append(phase)
        self._write()

        def report(done: int, total: int | None) -> None:
            phase["done"], phase["total"] = done, total
            if time.monotonic() - self._written > _WRITE_SECONDS:
                self._write()

        yield report
        phase["has_ended"] = True
        self._write()

    def _write(self) -> None:
        if not connection.in_atomic_block:
            TenantTask.objects.filter(pk=self._task_id).update(phases=self._phases)
            self._written = time.monotonic()
