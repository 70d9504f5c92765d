"""Admin pages of partners, tenants, participants, groups, roles and the audit log; signing in."""

from tenants.admin import (
    accounts,
    acts,
    audit,
    directory,
    overview,
    role_acts,
    roles,
    sign_in,
    tenants,
)

__all__ = [
    "accounts",
    "acts",
    "audit",
    "directory",
    "overview",
    "role_acts",
    "roles",
    "sign_in",
    "tenants",
]
