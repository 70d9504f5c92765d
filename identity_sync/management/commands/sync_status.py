from __future__ import annotations

from functools import partial

from identity_sync.management.status_output import print_status
from identity_sync.reports.status import sync_status
from identity_sync.sync.variants import compute_drift
from scaiwave.cli.arguments import ONLY_TENANT, Arguments, option
from scaiwave.cli.command import OperatorCommand


class SyncStatusArguments(Arguments):
    tenant: str | None = option(ONLY_TENANT, group="only")
    partner: str | None = option("only the tenants of this partner", group="only")
    no_drift: bool = option("no drift (reads no lists of ScaiKey)")
    exit_zero: bool = option("exit code 0, whatever the status is")


class Command(OperatorCommand[SyncStatusArguments]):
    service = staticmethod(sync_status)
    words = "sync status"
    alias = "status"
    summary = "Show registration, last runs and drift"
    area, place = "sync", 30
    is_everyday = True
    permission = "VIEW"
    examples = (
        "scaiwave sync status",
        "scaiwave sync status --tenant acme",
        "scaiwave sync status --no-drift --exit-zero --json",
    )
    help = "Show the registration, the credentials, the last runs and the drift."

    def run(self, given: SyncStatusArguments) -> None:
        drift = partial(
            compute_drift,
            operator=self.operator,
            progress_factory=self.output.progress,
            tenant=given.tenant,
        )
        status = self.call_service(given, drift=None if given.no_drift else drift)
        if self.output.as_json:
            self.output.print_json(status.document())
        else:
            print_status(self.output, status)
        if status.problem is not None:
            if not given.exit_zero:
                raise status.problem
            self.output.print_error(status.problem)
