"""Admin pages of partners, tenants, participants, groups, roles and the audit log; signing in."""

from tenants.admin import accounts, audit, directory, overview, roles, sign_in

__all__ = ["accounts", "audit", "directory", "overview", "roles", "sign_in"]
