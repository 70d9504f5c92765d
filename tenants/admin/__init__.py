"""Partners, tenants, people, groups, roles and the ledgers, to look at."""

from tenants.admin import accounts, audit, directory, roles

__all__ = ["accounts", "audit", "directory", "roles"]
