"""Writes down how far a registration has come, with its audit entry."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from identity_sync.models import Registration, RegistrationState
from identity_sync.services.registration.receipt import PendingRegistration
from scaiwave.auth.operators import Operator
from scaiwave.console.output import strip_control_chars
from tenants.services.audit import record_audit

# As long as the columns; ScaiKey's ids are opaque, and a longer one must not stop us now.
LONGEST_ID = 200


def record_state(
    *,
    operator: Operator,
    receipt: PendingRegistration,
    state: RegistrationState,
    now: datetime,
    reason: str = "",
) -> Registration:
    """Make or update the row of this request; doing it twice is the same as once."""
    known = {
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
        known["client_id"] = receipt.credentials.client_id[:LONGEST_ID]
        known["application_id"] = receipt.credentials.application_id[:LONGEST_ID]
    with transaction.atomic():
        row, _ = Registration.objects.update_or_create(
            scaikey_url=receipt.url, request_id=receipt.request_id, defaults=known
        )
        _audit(operator, row, now)
    return row


def cancel_registration_row(*, operator: Operator, row: Registration, now: datetime) -> None:
    """Close a request whose status token is not in this home."""
    with transaction.atomic():
        row.state = RegistrationState.CANCELLED
        row.decided_at = now
        row.save(update_fields=["state", "decided_at"])
        _audit(operator, row, now)


def _audit(operator: Operator, row: Registration, now: datetime) -> None:
    record_audit(
        operator=operator,
        action="register",
        subject=row,
        now=now,
        details={"state": str(row.state), "url": row.scaikey_url, "client_id": row.client_id},
    )
