"""The row of a registration in the database, and its audit entries."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from identity_sync.models import MAX_ID_CHARS, Registration, RegistrationState
from identity_sync.registration.receipt import PendingRegistration
from scaiwave.console.output import strip_control_chars
from scaiwave.core.operators import Operator
from tenants.audit.record import record_audit


def record_state(
    *,
    operator: Operator,
    receipt: PendingRegistration,
    state: RegistrationState,
    now: datetime,
    reason: str = "",
) -> Registration:
    """Create or update the row of this request; each of its states is audited once."""
    fields = {
        "name": receipt.name,
        "scope": receipt.scope,
        "scope_slug": receipt.scope_slug,
        "contact_email": receipt.contact_email,
        "requested_at": receipt.requested_at,
        "state": state,
        "rejection_reason": strip_control_chars(reason),
        "decided_at": None if state is RegistrationState.PENDING else now,
    }
    if receipt.credentials is not None:
        fields["client_id"] = receipt.credentials.client_id[:MAX_ID_CHARS]
        fields["application_id"] = receipt.credentials.application_id[:MAX_ID_CHARS]
    with transaction.atomic():
        before = _find_row(receipt)
        row, _ = Registration.objects.update_or_create(
            scaikey_url=receipt.url, request_id=receipt.request_id, defaults=fields
        )
        if before is None or before.state != state:
            _record_audit(operator, row, now, replaces=receipt.replaces)
    return row


def ensure_recorded(*, operator: Operator, receipt: PendingRegistration, now: datetime) -> None:
    """Record a request that was sent, if the database was lost before that was recorded."""
    if _find_row(receipt) is None:
        record_state(operator=operator, receipt=receipt, state=RegistrationState.PENDING, now=now)


def _find_row(receipt: PendingRegistration) -> Registration | None:
    return Registration.objects.filter(
        scaikey_url=receipt.url, request_id=receipt.request_id
    ).first()


def cancel_registration_row(*, operator: Operator, row: Registration, now: datetime) -> None:
    """Close a request whose status token is not in this home directory."""
    with transaction.atomic():
        row.state = RegistrationState.CANCELLED
        row.decided_at = now
        row.save(update_fields=["state", "decided_at"])
        _record_audit(operator, row, now)


def _record_audit(
    operator: Operator, row: Registration, now: datetime, *, replaces: str = ""
) -> None:
    details = {"state": str(row.state), "url": row.scaikey_url, "client_id": row.client_id}
    if replaces:
        details["replaced_client_id"] = replaces
    record_audit(operator, "register", row, now, details)
