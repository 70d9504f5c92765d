"""What may not happen to a tenant because of who is in it."""

from __future__ import annotations

from tenants.models import Tenant
from tenants.queries.super_admins import GRANT_IT, SuperAdmins, count_super_admins
from tenants.services.role_rules import last_super_admin


def ensure_super_admin_remains(tenant: Tenant) -> None:
    """Raises `LastSuperAdmin` if nobody would be super_admin once this tenant is not active.

    To be sure of it, call it with the super_admins locked.
    """
    _check(count_super_admins(besides=tenant))


def ensure_super_admin_remains_after_unlink(tenant: Tenant) -> None:
    """Raises `LastSuperAdmin` if nobody who is super_admin could sign in once ScaiKey's hands are
    off this tenant; its people stay active. Lock the super_admins here too."""
    _check(
        SuperAdmins(
            active=count_super_admins().active, able=count_super_admins(besides=tenant).able
        )
    )


def _check(after: SuperAdmins) -> None:
    if nobody := count_super_admins().lost(after):
        raise last_super_admin(
            nobody, fix=f"Grant it to somebody of another tenant first: {GRANT_IT}."
        )
