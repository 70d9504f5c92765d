"""Admin pages of tenants, people, roles, accounts and the audit log; signing in."""

from tenants.accounts import acts as account_acts
from tenants.accounts import sign_in_page
from tenants.accounts import site as accounts
from tenants.audit import site as audit
from tenants.holds import site as holds
from tenants.people.site import acts, directory, erasures, tenants
from tenants.roles.site import acts as role_acts
from tenants.roles.site import pages as roles
from tenants.usage import site as usage

__all__ = [
    "account_acts",
    "accounts",
    "acts",
    "audit",
    "directory",
    "erasures",
    "holds",
    "role_acts",
    "roles",
    "sign_in_page",
    "tenants",
    "usage",
]
