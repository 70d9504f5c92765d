from __future__ import annotations

from typing import Any

from scaiwave.cli.arguments import TENANT, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand
from tenants.management.arguments import limit, read_limits
from tenants.people.update_tenant import TenantUpdate, parse_feature, update_tenant


class UpdateTenantArguments(Arguments):
    tenant: str = argument(TENANT)
    max_participants: int | str | None = limit(
        "maximum number of active participants (`none`: no limit)"
    )
    max_rooms: int | str | None = limit("maximum number of rooms (`none`: no limit)")
    max_storage_mb: int | str | None = limit("maximum storage in MiB (`none`: no limit)")
    max_ai_tokens_month: int | str | None = limit("maximum AI tokens per month (`none`: no limit)")
    feature: list[tuple[str, Any]] = option(
        "feature to set, such as search.semantic=true (repeatable)",
        metavar="KEY=JSON",
        type=parse_feature,
    )
    remove_feature: list[str] = option(
        "feature to remove before others are set (repeatable)", metavar="KEY"
    )
    sync_removals: str | None = option(
        "permission for syncs to take access from the tenant's people", choices=("on", "off")
    )
    name: str | None = option("new full name")
    slug: str | None = option("new short name; links with the old one stop working")
    partner: str | None = option("new partner (slug, ID or ScaiKey ID)", group="owner")
    no_partner: bool = option("remove the partner", group="owner")


class Command(OperatorCommand[UpdateTenantArguments]):
    service = staticmethod(update_tenant)
    words = "admin update-tenant"
    summary = "Change a tenant's limits and features"
    area, place = "tenants", 70
    permission = "MANAGE_TENANTS"
    examples = (
        "scaiwave admin update-tenant acme --max-participants 200 --max-storage-mb none",
        "scaiwave admin update-tenant acme --feature search.semantic=true",
        "scaiwave admin update-tenant acme --sync-removals off",
        'scaiwave admin update-tenant lab --name "The Lab" --dry-run',
    )
    help = (
        "Change a tenant's limits and features, and the name, slug and partner of a local tenant. "
        "Omitted values stay unchanged."
    )
    changes = True

    def run(self, given: UpdateTenantArguments) -> None:
        update = TenantUpdate(
            limits=read_limits(given),
            features=given.feature,
            remove_features=given.remove_feature,
            name=given.name,
            slug=given.slug,
            partner=given.partner,
            no_partner=given.no_partner,
            sync_removals=given.sync_removals == "on" if given.sync_removals else None,
        )
        self.print_report(self.call_service(given, update=update))
