"""Record attempts to sign in to the admin site."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from scaiwave.core.operators import Operator, OperatorRole
from tenants.audit.record import record_audit
from tenants.models import AdminUser


class SignInOutcome(Enum):
    """The value is the action of the audit entry."""

    SUCCEEDED = "sign-in"
    FAILED = "sign-in-failed"
    LOCKED = "sign-in-locked"


def record_sign_in(*, outcome: SignInOutcome, username: str, address: str, now: datetime) -> None:
    """Write an audit entry. There is no operator to authorise: the caller may be anyone.

    A name without an account is not recorded, since people type their password there by mistake.
    """
    account = AdminUser.objects.filter(username=username).first()
    record_audit(
        operator=_build_operator(outcome, username, address),
        action=outcome.value,
        subject=account or AdminUser(),
        now=now,
    )


def record_scaikey_failure(
    *, outcome: SignInOutcome, code: str, address: str, now: datetime
) -> None:
    """Write an audit entry of a sign-in with ScaiKey that was refused with an `SW_…` code."""
    record_audit(
        operator=Operator("anonymous", OperatorRole.ANONYMOUS, origin=address),
        action=outcome.value,
        subject=AdminUser(),
        now=now,
        details={"via": "ScaiKey", "code": code},
    )


def _build_operator(outcome: SignInOutcome, username: str, address: str) -> Operator:
    if outcome is SignInOutcome.SUCCEEDED:
        return Operator(username, OperatorRole.ADMINISTRATOR, origin=address)
    return Operator("anonymous", OperatorRole.ANONYMOUS, origin=address)
