from __future__ import annotations

from scaiwave.cli.arguments import TENANT, Arguments, argument
from scaiwave.cli.command import OperatorCommand
from tenants.people.link_tenant import unlink_tenant


class UnlinkTenantArguments(Arguments):
    name: str = argument(TENANT, metavar="tenant")


class Command(OperatorCommand[UnlinkTenantArguments]):
    service = staticmethod(unlink_tenant)
    words = "admin unlink-tenant"
    area, place = "tenants", 50
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave admin unlink-tenant lab",)
    help = "Stop syncing a tenant from ScaiKey. It stays on this server as a local tenant."
    changes = True
