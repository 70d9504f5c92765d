"""Admin pages of partners, tenants, participants, groups, roles, audit log and usage."""

from tenants.admin import accounts, audit, directory, roles

__all__ = ["accounts", "audit", "directory", "roles"]
