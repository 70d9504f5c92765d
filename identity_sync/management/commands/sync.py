from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from identity_sync.errors import SyncStopped
from identity_sync.management.sync_answer import print_changes, print_report
from identity_sync.models import Trigger
from identity_sync.services.sync.run import SyncOptions, run_sync
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    help = "Make partners, tenants, people and groups equal to ScaiKey's."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="sync this tenant only: slug or id")
        parser.add_argument(
            "--allow-removals",
            type=removals,
            metavar="N",
            help="let this run deactivate up to N rows in all, whatever the brake says",
        )

        parser.add_argument(
            "--scheduled", action="store_true", help="note that a crontab started it"
        )

    def handle(
        self, tenant: str | None, allow_removals: int | None, dry_run: bool, **options: Any
    ) -> None:
        wish = SyncOptions(
            operator=self.operator,
            bars=self.output.progress,
            tenant=tenant,
            dry_run=dry_run,
            allow_removals=allow_removals,
            trigger=Trigger.CRON if options["scheduled"] else Trigger.MANUAL,
            see_plan=(lambda: print_changes(self.output)) if options["verbosity"] > 1 else None,
        )
        try:
            report = run_sync(wish)
        except SyncStopped as stopped:
            print_report(self.output, stopped.report)
            raise
        print_report(self.output, report)


def removals(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ArgumentTypeError("it is a number of rows, 0 or more")
    return number
