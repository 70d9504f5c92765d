"""Write the audit log. No other module does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from typing import Any

from django.db import transaction
from django.db.models import Model

from scaiwave.core.completed_work import record_on_commit
from scaiwave.core.operators import Operator
from tenants.audit.chain import new_entry_id
from tenants.models import AdminUser, AuditEntry, Participant, Tenant


@dataclass(frozen=True)
class AuditSubject:
    """A subject that is not a row of the database."""

    type: str
    id: str
    name: str


def record_audit(
    operator: Operator,
    action: str,
    subject: Model | AuditSubject,
    now: datetime,
    details: Mapping[str, Any] | None = None,
    *,
    tenant: Tenant | None = None,
    is_change: bool = True,
) -> AuditEntry:
    """Insert an audit entry. Call it in the transaction that makes the change.

    It is an entry of `tenant`, by default of the subject's own.

    `action` is the command as typed, such as create-tenant. A subject that is not saved stands for
    one that does not exist, and is recorded without an ID. `details` has JSON values, no secrets,
    and of participants nothing but IDs: entries can't be changed when a person's data is erased.
    `is_change` is false for what only reads, such as an export.
    """
    if tenant is None:
        tenant = subject if isinstance(subject, Tenant) else getattr(subject, "tenant", None)
    if isinstance(subject, Model):
        kind = str(subject._meta.verbose_name)
        # A row that is not saved has no ID, and a person no name, which would stay after a purge.
        name = "" if isinstance(subject, Participant) else str(subject)
        name = subject.username if isinstance(subject, AdminUser) else name
        row_id = "" if subject.pk is None else str(subject.pk)
        subject = AuditSubject(subject._meta.model_name or "", row_id, name)
    else:
        kind = subject.type
    if is_change:
        _record_completed(action, kind, subject, tenant)
    with transaction.atomic(savepoint=False):
        return AuditEntry.objects.create(
            id=new_entry_id(),
            at=now,
            operator=operator.name,
            operator_id=operator.subject,
            operator_role=operator.role.value,
            origin=operator.origin,
            action=action,
            tenant_id=str(tenant.pk) if tenant else "",
            tenant_slug=tenant.slug if tenant else "",
            subject_type=subject.type,
            subject_id=subject.id,
            subject_name=subject.name[:1000],
            details=dict(details or {}),
        )


# The command that shows a subject; `{id}` and `{tenant}` are quoted for the shell.
_SHOW_COMMANDS = {
    "adminuser": "admin list-administrators",
    "knownpeer": "admin federation peer list",
    "participant": "admin show-participant {id}",
    "partner": "admin show-partner {id}",
    "policy": "admin federation policy show",
    "registration": "sync status",
    "role": "role list --tenant {tenant}",
    "rolegrant": "role list --tenant {tenant}",
    "room": "room show {id} --tenant {tenant}",
    "syncrun": "sync show-run {id}",
    "serverkey": "admin federation key list",
    "tenant": "admin show-tenant {id}",
    "workspace": "room workspaces --tenant {tenant}",
}


def _record_completed(action: str, kind: str, subject: AuditSubject, tenant: Tenant | None) -> None:
    named = " ".join(filter(None, (kind, subject.name)))
    subject_id = subject.id
    command = _SHOW_COMMANDS.get(subject.type, "admin audit") if subject_id else "admin audit"
    slug = tenant.slug if tenant else ""
    if "{tenant}" in command and not slug:
        command = "admin audit"
    record_on_commit(
        f"{action}: {named}{f' ({subject_id})' if subject_id else ''}",
        command="scaiwave " + command.format(id=quote(subject_id), tenant=quote(slug)),
    )
