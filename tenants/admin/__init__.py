"""Admin pages of partners, tenants, participants, groups, roles, audit log and jobs; signing in."""

from tenants.admin import (
    accounts,
    acts,
    audit,
    directory,
    jobs,
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
    "jobs",
    "overview",
    "role_acts",
    "roles",
    "sign_in",
    "tenants",
]
