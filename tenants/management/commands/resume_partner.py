from __future__ import annotations

from tenants.management.suspension import PartnersArguments, ResumeCommand
from tenants.people.suspension import PARTNER


class Command(ResumeCommand):
    rules = PARTNER
    arguments = PartnersArguments
    words = "admin resume-partner"
    summary = "Lift a partner's manual suspension"
    area, place = "tenants", 140
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin resume-partner northwind",)
    help = "Lift a manual suspension. The partner's status in ScaiKey applies again."
