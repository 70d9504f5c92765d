from __future__ import annotations

from functools import partial

from identity_sync.management.output import print_report, print_sync
from identity_sync.management.removal_arguments import RemovalsArguments
from identity_sync.removals.decide import Selection, approve_removals
from identity_sync.report import SyncReport
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.run import run_sync
from scaiwave.cli.arguments import REASON, Needs, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.core.change import Change
from scaiwave.core.errors import UsageError


class SyncApproveArguments(RemovalsArguments):
    tenant: str | None = option("all pending removals of this tenant (slug, ID or ScaiKey ID)")
    expect: str = option(
        "digest that `sync removals` printed for the tenant; others are refused",
        metavar="DIGEST",
        default="",
    )
    reason: str = option(REASON, default="")
    now: bool = option("sync at once, instead of at the next schedule")


class Command(OperatorCommand[SyncApproveArguments]):
    service = staticmethod(approve_removals)
    words = "sync approve"
    summary = "Approve pending removals for the next sync"
    area, place = "sync", 80
    permission = "SYNC_TENANTS"
    refuses = ("admin:write",)
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
    option_rules = (Needs("--expect", "--tenant", "Leave out --expect."),)

    def run(self, given: SyncApproveArguments) -> None:
        ids, tenant = given.read_ids(), given.tenant
        if (tenant is None) != bool(ids):
            raise UsageError(
                "Name the removals by their IDs, by --from, or by --tenant with --expect.",
                fix="`scaiwave sync removals` lists the IDs and digests.",
            )
        selection = Selection(ids, tenant, given.expect, given.from_file is not None)
        decision = self.call_service(given, selection=selection)
        self.output.print_line(decision.sentence)
        if not given.now or self.dry_run:
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
