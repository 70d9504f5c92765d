"""Partners, tenants, people, groups, roles and the ledgers, to look at."""

from tenants.admin import accounts, directory, ledgers, roles

__all__ = ["accounts", "directory", "ledgers", "roles"]
