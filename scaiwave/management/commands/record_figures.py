from __future__ import annotations

from scaiwave.cli.command import OperatorCommand
from scaiwave.operations.record_figures import record_figures


class Command(OperatorCommand):
    service = staticmethod(record_figures)
    words = "admin record-figures"
    summary = "Record today's size of this server, for charts"
    area, place = "tenants", 150
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin record-figures", "scaiwave admin record-figures --dry-run")
    help = (
        "Record how many tenants, members, rooms and bytes there are today (UTC), for the charts "
        "of the admin site. The schedule runs this every night."
    )
    changes = True
