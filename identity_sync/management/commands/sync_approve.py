from __future__ import annotations

from argparse import ArgumentParser
from functools import partial
from typing import Any

from identity_sync.management.output import print_report, print_sync
from identity_sync.management.removal_arguments import add_removals, read_selection
from identity_sync.removals.decide import approve_removals
from identity_sync.report import SyncReport
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.run import run_sync
from scaiwave.cli.command import OperatorCommand
from scaiwave.core.change import Change


class Command(OperatorCommand):
    service = staticmethod(approve_removals)
    words = "sync approve"
    summary = "Approve pending removals for the next sync"
    area, place = "sync", 80
    permission = "SYNC_TENANTS"
    examples = (
        "scaiwave sync approve 5f3a9c01d2e4 --now",
        "scaiwave sync approve --tenant acme --expect 1f0c2a9b7d3e5f61",
        "scaiwave sync approve --from removals.csv --yes",
    )
    help = (
        "Approve exactly the pending removals that you name. The next sync looks each up again, "
        "and applies the ones that are still true, once, within 24 hours."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_removals(parser)
        parser.add_argument(
            "--tenant", help="all pending removals of this tenant (slug, ID or ScaiKey ID)"
        )
        parser.add_argument(
            "--expect",
            metavar="DIGEST",
            default="",
            help="digest that `sync removals` printed for the tenant; others are refused",
        )
        parser.add_argument("--reason", default="", help="reason for the audit log")
        parser.add_argument(
            "--now", action="store_true", help="sync at once, instead of at the next schedule"
        )

    def handle(self, **options: Any) -> None:
        decision = self.call_service(options, selection=read_selection(options))
        self.output.print_line(decision.sentence)
        if not options["now"] or self.dry_run:
            self.print_result(decision.document())
            return
        print_sync(partial(self._sync, decision), partial(self._print_report, decision))

    def _sync(self, decision: Change) -> SyncReport:
        tenants = {row["tenant_id"] for row in decision.subject}
        tenant = str(tenants.pop()) if len(tenants) == 1 and None not in tenants else None
        return run_sync(
            SyncOptions(self.operator, tenant=tenant, progress_factory=self.output.progress)
        )

    def _print_report(self, decision: Change, report: SyncReport) -> None:
        if self.output.as_json:
            self.print_result({**decision.document(), "sync": report.document()})
        else:
            print_report(self.output, report)
