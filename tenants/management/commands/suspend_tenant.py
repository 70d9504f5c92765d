from __future__ import annotations

from tenants.management.suspension import SuspendCommand, TenantsArguments
from tenants.people.suspension import TENANT


class Command(SuspendCommand):
    rules = TENANT
    arguments = TenantsArguments
    words = "admin suspend-tenant"
    area, place = "tenants", 80
    is_everyday = True
    permission = "MANAGE_TENANTS"
    examples = ('scaiwave admin suspend-tenant acme --reason "unpaid since May"',)
    help = (
        "Suspend a tenant manually. No one in it can sign in until you resume it; syncs do not "
        "lift the suspension."
    )
