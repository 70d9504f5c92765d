from __future__ import annotations

from tenants.management.suspension import PartnersArguments, SuspendCommand
from tenants.people.suspension import PARTNER


class Command(SuspendCommand):
    rules = PARTNER
    arguments = PartnersArguments
    words = "admin suspend-partner"
    summary = "Suspend a partner manually, with all its tenants"
    area, place = "tenants", 130
    permission = "MANAGE_PLATFORM"
    examples = ('scaiwave admin suspend-partner northwind --reason "contract ended"',)
    help = (
        "Suspend a partner manually. No one in its tenants can sign in until you resume it; "
        "syncs do not lift the suspension."
    )
