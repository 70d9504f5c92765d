from __future__ import annotations

from scaiwave.cli.arguments import Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from tenants.management.arguments import limit, read_limits
from tenants.people.update_partner import update_partner


class UpdatePartnerArguments(Arguments):
    partner: str = argument("partner (slug, ID or ScaiKey ID)")
    name: str | None = option("new full name")
    slug: str | None = option("new short name")
    contact_email: str | None = option('new e-mail address ("" removes it)', metavar="ADDRESS")
    max_tenants: int | str | None = limit("maximum number of tenants (`none`: no limit)")
    max_users_per_tenant: int | str | None = limit(
        "maximum number of people in each of its tenants (`none`: no limit)"
    )
    max_applications_per_tenant: int | str | None = limit(
        "maximum number of applications in each of its tenants (`none`: no limit)"
    )


class Command(OperatorCommand[UpdatePartnerArguments]):
    service = staticmethod(update_partner)
    words = "admin update-partner"
    summary = "Change a local partner"
    area, place = "tenants", 120
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin update-partner northwind --max-tenants 30",
        'scaiwave admin update-partner northwind --name "Northwind Traders" --dry-run',
    )
    help = (
        "Change the name, slug, contact and limits of a local partner. Omitted values stay "
        "unchanged. For a partner that is in ScaiKey, change them there."
    )
    changes = True

    def run(self, given: UpdatePartnerArguments) -> None:
        self.print_report(self.call_service(given, limits=read_limits(given)))
