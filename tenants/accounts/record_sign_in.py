"""Record attempts to sign in to the admin site."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from scaiwave.core.operators import Operator, OperatorRole
from tenants.audit.record import record_audit
from tenants.models import AdminUser, AuditEntry

MAX_FAILURES_PER_HOUR = 1000
"""Anyone can fail, and entries stay: more would fill the log, and show nothing new."""

logger = logging.getLogger(__name__)


class SignInOutcome(Enum):
    """The value is the action of the audit entry."""

    SUCCEEDED = "sign-in"
    FAILED = "sign-in-failed"
    LOCKED = "sign-in-locked"


def record_sign_in(*, outcome: SignInOutcome, username: str, address: str, now: datetime) -> None:
    """Write an audit entry. There is no operator to authorise: the caller may be anyone.

    A name without an account is not recorded, since people type their password there by mistake.
    """
    account = AdminUser.objects.filter(username=username).first() or AdminUser()
    if outcome is not SignInOutcome.SUCCEEDED:
        _record_failure(outcome, account, address, now)
        return
    operator = Operator(username, OperatorRole.ADMINISTRATOR, origin=address)
    record_audit(operator, outcome.value, account, now)


def record_scaikey_failure(
    *, outcome: SignInOutcome, code: str, address: str, now: datetime
) -> None:
    """Write an audit entry of a sign-in with ScaiKey that was refused with an `SW_…` code."""
    _record_failure(outcome, AdminUser(), address, now, {"via": "ScaiKey", "code": code})


def _record_failure(
    outcome: SignInOutcome,
    account: AdminUser,
    address: str,
    now: datetime,
    details: dict[str, Any] | None = None,
) -> None:
    role = OperatorRole.ANONYMOUS
    hour = now - timedelta(hours=1), now
    recent = AuditEntry.objects.filter(operator_role=role.value, at__range=hour)
    if recent[:MAX_FAILURES_PER_HOUR].count() == MAX_FAILURES_PER_HOUR:
        logger.warning("The audit log has too many failed sign-ins for one more, from %s.", address)
        return
    record_audit(Operator("anonymous", role, origin=address), outcome.value, account, now, details)
