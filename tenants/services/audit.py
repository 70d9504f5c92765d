"""Write the audit log. No other module does."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Model

from scaiwave.auth.operators import Operator
from tenants.models import AuditEntry, Participant, Tenant


def record_audit(
    *,
    operator: Operator,
    action: str,
    subject: Model,
    now: datetime,
    tenant: Tenant | None = None,
    details: dict[str, Any] | None = None,
) -> AuditEntry:
    """Insert an audit entry. Call it in the transaction that makes the change.

    `action` is the command as typed, such as create-tenant. A subject that is not saved stands for
    one that does not exist, and is recorded without an ID. `details` has JSON values, no secrets,
    and of participants nothing but IDs: entries can't be changed when a person's data is erased.
    """
    is_participant = isinstance(subject, Participant)
    return AuditEntry.objects.create(
        at=now,
        operator=operator.name,
        operator_role=operator.role.value,
        origin=operator.origin,
        action=action,
        tenant_id=str(tenant.pk) if tenant else "",
        tenant_slug=tenant.slug if tenant else "",
        subject_type=subject._meta.model_name or "",
        subject_id="" if subject.pk is None else str(subject.pk),
        subject_name="" if is_participant else str(subject)[:1000],
        details=details or {},
    )
