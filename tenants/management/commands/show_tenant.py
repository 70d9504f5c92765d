from __future__ import annotations

from django.utils import timezone

from scaiwave.cli.arguments import TENANT, Arguments, argument
from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import EMPTY_CELL, Column, ColumnType, columns_of
from scaiwave.console.output import to_json
from tenants.lookup.serializers import Row, format_partner
from tenants.management.output import (
    AUDIT_COLUMNS,
    format_status,
    print_sections,
    print_usage_notes,
)
from tenants.people.queries.limits import LIMITS
from tenants.people.queries.tenants import show_tenant
from tenants.people.queries.token_usage import UsageSummary, format_tokens

FACTS = (
    *columns_of("slug", "name", "id"),
    Column("scaikey_tenant_id", "ScaiKey ID"),
    *columns_of("status", "partner"),
    Column("contact_email", "Contact"),
    Column("members", "Members", ColumnType.COUNT),
    *columns_of("groups", "features", "removals"),
    Column("created_at", "Created", ColumnType.TIME),
    Column("updated_at", "Changed", ColumnType.TIME),
)
LIMIT_COLUMNS = (Column("limit_name", "Limit"), Column("used", "Used"), Column("limit", "Maximum"))
PARTICIPANTS = (
    Column("type", "Type"),
    *columns_of("active", "suspended", "deactivated", kind=ColumnType.COUNT),
)


class ShowTenantArguments(Arguments):
    tenant: str = argument(TENANT)


class Command(OperatorCommand[ShowTenantArguments]):
    words = "admin show-tenant"
    summary = "Show a tenant's details, limits and usage"
    area, place = "tenants", 20
    permission = "VIEW"
    examples = ("scaiwave admin show-tenant acme",)
    help = "Show a tenant's status, partner, limits, usage and participants."

    def run(self, given: ShowTenantArguments) -> None:
        now = timezone.now()
        document = show_tenant(operator=self.operator, name=given.tenant, now=now)
        if self.output.as_json:
            self.output.print_json({"tenant": document})
            return
        self.output.print_record(FACTS, _format_facts(document))
        print_sections(
            self.output,
            ("Limits", LIMIT_COLUMNS, _format_limits(document)),
            ("Participants", PARTICIPANTS, document["participants"]),
            ("Recent changes", AUDIT_COLUMNS, document["audit_entries"]),
        )
        print_usage_notes(self.output, UsageSummary([document]), now)


def _format_facts(tenant: Row) -> Row:
    groups, partner = tenant["groups"], tenant["partner"]
    removed = f" and {groups['deactivated']:,} deactivated" if groups["deactivated"] else ""
    partner_status = tenant["partner_reason"] or tenant["partner_status"]
    pending = tenant["pending_removals"].items()
    removals = [f"by syncs: {'on' if tenant['sync_removals'] else 'off'}"]
    removals += [f"{number:,} {state}" for state, number in pending if number]
    return {
        **tenant,
        "scaikey_tenant_id": tenant["scaikey_tenant_id"] or "none (local tenant)",
        "status": format_status(tenant),
        "partner": partner and f"{format_partner(partner)} ({partner_status})",
        "groups": f"{groups['active']:,}{removed}",
        "removals": "; ".join(removals),
        "features": to_json(tenant["features"], indent=None) if tenant["features"] else None,
    }


def _format_limits(tenant: Row) -> list[Row]:
    rows = []
    for each in LIMITS:
        used, limit = tenant["limits"][each.key]["used"], tenant["limits"][each.key]["limit"]
        tokens = format_tokens(tenant) if each.key == "ai_tokens_month" else None
        rows.append(
            {
                "limit_name": each.words[0].upper() + each.words[1:],
                # None if no usage is known, or the app that counts it is not installed.
                "used": tokens or (EMPTY_CELL if used is None else each.format(used)),
                "limit": "no limit" if limit is None else each.format(limit),
            }
        )
    return rows
