from __future__ import annotations

from tenants.management.suspension import ResumeCommand, TenantsArguments
from tenants.people.suspension import TENANT


class Command(ResumeCommand):
    rules = TENANT
    arguments = TenantsArguments
    words = "admin resume-tenant"
    summary = "Lift a tenant's manual suspension"
    area, place = "tenants", 90
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave admin resume-tenant acme",)
    help = "Lift a manual suspension. The tenant's status in ScaiKey applies again."
