from __future__ import annotations

from argparse import ArgumentParser

from scaiwave.cli.command import OperatorCommand
from tenants.people.link_tenant import unlink_tenant


class Command(OperatorCommand):
    service = staticmethod(unlink_tenant)
    words = "admin unlink-tenant"
    area, place = "tenants", 50
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave admin unlink-tenant lab",)
    help = "Stop syncing a tenant from ScaiKey. It stays on this server as a local tenant."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="tenant", help="tenant (slug, ID or ScaiKey ID)")
