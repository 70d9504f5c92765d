"""Accounts of the admin site."""

from __future__ import annotations

from django.db.models import Q

from scaiwave.core.operators import Operator, Permission
from scaiwave.core.paging import Page
from tenants.errors import AdministratorNotFound
from tenants.lookup.nearest import find_nearest, suggest_nearest
from tenants.lookup.resolve import is_storable_text
from tenants.lookup.serializers import Row
from tenants.models import AdminUser

MAY_SIGN_IN = Q(is_active=True, is_staff=True) & ~Q(Q(password="") | Q(password__startswith="!"))  # noqa: S106
"""Django marks a password that can't be used with an exclamation mark."""


def list_administrators(*, operator: Operator, limit: int | None = None) -> Page:
    """Return the accounts by name. Yields one row at a time; errors are raised at once."""
    operator.require(Permission.VIEW_PLATFORM)
    users = AdminUser.objects.order_by("username")
    rows = users[:limit].iterator(chunk_size=500)
    return Page((build_administrator_row(account) for account in rows), count=users.count)


def get_administrator(operator: Operator, username: str) -> AdminUser:
    """Return the account with this name, in any case. Raises `AdministratorNotFound`."""
    if is_storable_text(username):
        matches = AdminUser.objects.filter(username__iexact=username)
        # Accounts made by other means may differ in case only.
        if account := matches.filter(username=username).first() or matches.first():
            return account
    raise AdministratorNotFound(
        f"Administrator not found: {username}.",
        fix=suggest_nearest(
            find_nearest(operator, username, AdminUser.objects.all(), "username"),
            "`scaiwave admin list-administrators` lists all.",
            AdministratorNotFound.fix,
        ),
    )


def may_sign_in(account: AdminUser) -> bool:
    """Whether the account can sign in with a password. Accounts of ScaiKey need a role there."""
    return account.is_active and account.is_staff and account.has_usable_password()


def build_administrator_row(account: AdminUser) -> Row:
    return {
        "id": account.pk,
        "username": account.username,
        "email": account.email or None,
        "role": "auditor"
        if account.is_auditor
        else "administrator"
        if account.is_superuser
        else None,
        "status": "active" if account.is_active else "disabled",
        "can_sign_in": may_sign_in(account)
        or (account.is_active and account.scaikey_id is not None),
        "last_sign_in_at": account.last_login,
        "created_at": account.date_joined,
    }
