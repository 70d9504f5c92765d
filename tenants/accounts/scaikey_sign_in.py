"""Let people in who signed in with ScaiKey, and keep their accounts of the admin site."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from django.db import IntegrityError, transaction

from scaiwave.core.operators import Operator
from tenants.accounts.callers import find_scope, find_sign_in_blocker
from tenants.accounts.record_sign_in import SignInOutcome
from tenants.audit.record import record_audit
from tenants.errors import SignInRefused
from tenants.models import AdminUser

MAX_EMAIL_CHARS, MAX_USERNAME_CHARS, MAX_FIRST_NAME_CHARS = 254, 150, 150
USERNAME_PREFIX = "scaikey:"
"""Names of accounts with a password contain no colon."""


def sign_in_person(*, operator: Operator, name: str, email: str, now: datetime) -> AdminUser:
    """Return the account of the person whom ScaiKey has just signed in; the first time, create it.

    `operator` is the person with the verified role. There is nothing else to authorise. The person
    is known by their ScaiKey ID alone; name and e-mail address may change, or belong to someone
    else. Raises SignInRefused for people who may not sign in to this server, or
    whose partner or tenant is suspended or deactivated here.
    """
    if blocker := find_sign_in_blocker(operator.subject) or find_scope(operator).blocker:
        raise SignInRefused(f"You can't sign in to this server: {blocker}.")
    account = _get_account(operator.subject)
    if not account.is_active:
        raise SignInRefused(f"Your account {account.username} is disabled on this server.")
    with transaction.atomic():
        account.first_name, account.email = name[:MAX_FIRST_NAME_CHARS], email[:MAX_EMAIL_CHARS]
        account.save(update_fields=["first_name", "email"])
        record_audit(
            operator, SignInOutcome.SUCCEEDED.value, account, now, {"scaikey_id": operator.subject}
        )
    return account


def _get_account(scaikey_id: str) -> AdminUser:
    """Return the account, which has no password and no permission of its own."""
    if account := AdminUser.objects.filter(scaikey_id=scaikey_id).first():
        return account
    username = f"{USERNAME_PREFIX}{scaikey_id}"
    if len(username) > MAX_USERNAME_CHARS:
        username = f"{USERNAME_PREFIX}{sha256(scaikey_id.encode()).hexdigest()}"
    account = AdminUser(scaikey_id=scaikey_id, username=username)
    account.set_unusable_password()
    try:
        with transaction.atomic():
            account.save(force_insert=True)
    except IntegrityError:  # by another sign-in of the same person at the same time
        return AdminUser.objects.get(scaikey_id=scaikey_id)
    return account
