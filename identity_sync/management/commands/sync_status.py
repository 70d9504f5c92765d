from __future__ import annotations

from argparse import ArgumentParser
from functools import partial
from typing import Any

from identity_sync.management.status_output import print_status
from identity_sync.reports.status import sync_status
from identity_sync.sync.drift import compute_drift
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        only = parser.add_mutually_exclusive_group()
        only.add_argument("--tenant", help="only this tenant (slug, ID or ScaiKey ID)")
        only.add_argument("--partner", help="only the tenants of this partner")
        parser.add_argument(
            "--no-drift", action="store_true", help="no drift (reads no lists of ScaiKey)"
        )
        parser.add_argument(
            "--exit-zero", action="store_true", help="exit code 0, whatever the status is"
        )

    def handle(self, no_drift: bool, exit_zero: bool, **options: Any) -> None:
        drift = partial(
            compute_drift,
            operator=self.operator,
            progress_factory=self.output.progress,
            tenant=options["tenant"],
        )
        status = self.call_service(options, drift=None if no_drift else drift)
        if self.output.as_json:
            self.output.print_json(status.document())
        else:
            print_status(self.output, status)
        if status.problem is not None:
            if not exit_zero:
                raise status.problem
            self.output.print_error(status.problem)
