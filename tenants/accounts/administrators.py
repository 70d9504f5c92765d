"""Disable, enable and remove accounts of the admin site, and set their passwords."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from django.db import transaction

from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from scaiwave.extensions import PurgedPerson
from tenants.accounts.create_administrator import set_password
from tenants.accounts.queries import (
    MAY_SIGN_IN,
    build_administrator_row,
    get_administrator,
    may_sign_in,
)
from tenants.accounts.sessions import delete_sessions_of
from tenants.audit.record import record_audit
from tenants.errors import AdministratorFromScaiKey, AdministratorNotFound, LastAdministrator
from tenants.lookup.serializers import Row
from tenants.models import AdminUser

RESET = "reset"
_WORDS = ChangeWords(
    "administrator",
    "{account} would be {done}.",
    "{account} {done}.",
    "{account} is already {done}; nothing changed.",
)


def disable_administrator(
    *,
    operator: Operator,
    username: str,
    confirm: Callable[[str], None],
    now: datetime,
    allow_last: bool = False,
    dry_run: bool = False,
) -> Change:
    """Disable an account: it can't sign in, and its sessions end, even if it is enabled again.

    `confirm` gets the question to ask, and raises if the answer is not yes. Raises
    AdministratorNotFound, and LastAdministrator unless `allow_last`.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    account = get_administrator(operator, username)
    if not account.is_active:
        return _build_result(build_administrator_row(account), "disabled")
    _ensure_not_last(account, "disabled", allow_last=allow_last)
    if dry_run:
        return _build_result(build_administrator_row(account), "disabled", dry_run=True)
    confirm(f"This blocks {account.username} from the admin site and ends their sessions.")
    with transaction.atomic():
        account = _lock(account)
        _ensure_not_last(account, "disabled", allow_last=allow_last)
        account.is_active = False
        account.save(update_fields=["is_active"])
        delete_sessions_of(account.pk)
        record_audit(operator, "disable-administrator", account, now)
    return _build_result(build_administrator_row(account), "disabled", changed=True)


def enable_administrator(
    *, operator: Operator, username: str, now: datetime, dry_run: bool = False
) -> Change:
    """Let a disabled account sign in again. Raises AdministratorNotFound."""
    operator.require(Permission.MANAGE_PLATFORM)
    account = get_administrator(operator, username)
    if account.is_active:
        return _build_result(build_administrator_row(account), "enabled")
    if dry_run:
        return _build_result(build_administrator_row(account), "enabled", dry_run=True)
    with transaction.atomic():
        account = _lock(account)
        account.is_active = True
        account.save(update_fields=["is_active"])
        record_audit(operator, "enable-administrator", account, now)
    return _build_result(build_administrator_row(account), "enabled", changed=True)


def reset_administrator_password(
    *,
    operator: Operator,
    username: str,
    password: Callable[[], str],
    now: datetime,
    dry_run: bool = False,
) -> Change:
    """Set a new password, which ends the sessions of the account.

    `password` is not called in a dry run. Raises AdministratorNotFound, AdministratorFromScaiKey
    and WeakPassword.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    account = get_administrator(operator, username)
    if account.scaikey_id is not None:
        raise AdministratorFromScaiKey(
            f"The account {account.username} has no password: its owner signs in with ScaiKey."
        )
    if dry_run:
        return _build_result(build_administrator_row(account), RESET, dry_run=True)
    set_password(account, password())
    with transaction.atomic():
        current = _lock(account)
        current.password = account.password
        current.save(update_fields=["password"])
        record_audit(operator, "reset-administrator-password", current, now)
    return _build_result(build_administrator_row(current), RESET, changed=True)


def change_own_password(
    *, operator: Operator, account: AdminUser, password: str, now: datetime
) -> AdminUser:
    """Set the password of the account that is signed in, which ends its other sessions.

    It takes no permission: the caller has checked the old password. Raises AdministratorNotFound
    and WeakPassword.
    """
    set_password(account, password)
    with transaction.atomic():
        current = _lock(account)
        current.password = account.password
        current.save(update_fields=["password"])
        record_audit(operator, "change-password", current, now)
    return account


def remove_administrator(
    *,
    operator: Operator,
    username: str,
    confirm: Callable[[str], None],
    now: datetime,
    allow_last: bool = False,
    dry_run: bool = False,
) -> Change:
    """Delete an account; the audit log keeps its name.

    `confirm` gets the question to ask, and raises if the answer is not yes. Raises
    AdministratorNotFound, and LastAdministrator unless `allow_last`.
    """
    operator.require(Permission.MANAGE_PLATFORM)
    account = get_administrator(operator, username)
    _ensure_not_last(account, "removed", allow_last=allow_last)
    row = build_administrator_row(account)
    if dry_run:
        return _build_result(row, "removed", dry_run=True)
    confirm(f"This deletes the account {account.username} and ends its sessions.")
    with transaction.atomic():
        account = _lock(account)
        _ensure_not_last(account, "removed", allow_last=allow_last)
        record_audit(operator, "remove-administrator", account, now, {"email": account.email})
        delete_sessions_of(account.pk)
        account.delete()
    return _build_result(row, "removed", changed=True)


def _lock(account: AdminUser) -> AdminUser:
    """Return the account as it is now. Locks all, so that two changes can't take the last two.

    Raises AdministratorNotFound if it was removed a moment ago.
    """
    locked = {other.pk: other for other in AdminUser.objects.select_for_update().order_by("pk")}
    if account.pk not in locked:
        raise AdministratorNotFound(f"Administrator not found: {account.username}.")
    return locked[account.pk]


def _ensure_not_last(account: AdminUser, done: str, *, allow_last: bool) -> None:
    others = AdminUser.objects.filter(MAY_SIGN_IN, is_auditor=False).exclude(pk=account.pk)
    if allow_last or account.is_auditor or not may_sign_in(account) or others.exists():
        return
    raise LastAdministrator(
        f"{account.username} can't be {done}: no other administrator can sign in.",
        fix="Create or enable another one first, or pass --allow-last.",
    )


def _build_result(row: Row, done: str, *, changed: bool = False, dry_run: bool = False) -> Change:
    """`done` is the participle of the change, such as disabled."""
    account = f"{'Password of' if done == RESET else 'Administrator'} {row['username']}"
    return Change(_WORDS, row, changed, dry_run, {"account": account, "done": done})


def erase_accounts(people: Sequence[PurgedPerson], replacement: str) -> None:
    """Delete the accounts of people who signed in with ScaiKey, and their sessions.

    A session contains the name, the e-mail address, and a token that states them.
    """
    scaikey_ids = [person.scaikey_id for person in people if person.scaikey_id]
    accounts = AdminUser.objects.filter(scaikey_id__in=scaikey_ids)
    delete_sessions_of(*accounts.values_list("pk", flat=True))
    accounts.delete()
