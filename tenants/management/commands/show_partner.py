from __future__ import annotations

from scaiwave.cli.arguments import Arguments, argument
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType, columns_of
from tenants.management.output import AUDIT_COLUMNS, format_status, print_sections
from tenants.people.queries.partners import show_partner

FACTS = (
    *columns_of("slug", "name", "id", "scaikey_id", "status"),
    Column("contact_email", "Contact"),
    Column("tenants", "Tenants"),
    Column("members", "Members", ColumnType.COUNT),
    Column("max_tenants", "Max tenants"),
    Column("max_users_per_tenant", "Max people per tenant"),
    Column("max_applications_per_tenant", "Max applications per tenant"),
    Column("created_at", "Created", ColumnType.TIME),
    Column("updated_at", "Changed", ColumnType.TIME),
)
_LIMITS = ("max_tenants", "max_users_per_tenant", "max_applications_per_tenant")


class ShowPartnerArguments(Arguments):
    partner: str = argument("partner (slug, ID or ScaiKey ID)")


class Command(OperatorCommand[ShowPartnerArguments]):
    words = "admin show-partner"
    summary = "Show a partner's status, limits and tenants"
    area, place = "tenants", 110
    permission = "VIEW"
    refuses = ("tenant_admin",)
    examples = ("scaiwave admin show-partner northwind",)
    help = "Show a partner's status, limits and number of tenants and people."

    def run(self, given: ShowPartnerArguments) -> None:
        document = show_partner(operator=self.operator, name=given.partner)
        if self.output.as_json:
            self.output.print_json({"partner": document})
            return
        inactive = document["inactive_tenants"]
        more = f" and {inactive:,} inactive" if inactive else ""
        facts = {
            **document,
            "scaikey_id": document["scaikey_id"] or "none (local partner)",
            "status": format_status(document),
            "tenants": f"{document['tenants']:,}{more}",
        }
        for name in _LIMITS:
            facts[name] = "no limit" if document[name] is None else f"{document[name]:,}"
        self.output.print_record(FACTS, facts)
        print_sections(self.output, ("Recent changes", AUDIT_COLUMNS, document["audit_entries"]))
