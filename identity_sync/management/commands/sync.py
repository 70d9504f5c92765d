from __future__ import annotations

import math
from argparse import ArgumentParser
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from django.conf import settings

from identity_sync.management.output import print_plan, print_report, print_sync
from identity_sync.models import Trigger
from identity_sync.report import SyncReport
from identity_sync.sync.options import Pace, Permissions, SyncOptions
from identity_sync.sync.purge import sync_and_purge
from identity_sync.sync.record.plan_file import format_apply_command
from identity_sync.sync.reviewed_plan import apply_sync_plan, write_sync_plan
from identity_sync.sync.run import run_sync
from identity_sync.sync.time_limit import get_time_limit
from scaiwave.cli.command import OperatorCommand
from scaiwave.cli.parsers import positive_int, whole_number
from scaiwave.core.errors import UsageError

_EXCLUSIONS = {
    "apply": {"tenant", "allow_removals", "no_removals", "scheduled"},
    "allow_removals": {"no_removals"},
    "purge_after": {"plan", "apply"},
}
"""Options that can't be combined, with the names of Django's `options`.

The plan of `--apply` contains the tenant and the losses, and is never the scheduler's: a person has
reviewed it. `--purge-after` erases after a sync that is applied. `--plan` applies none, and no
reviewed plan lists erasures.
"""


class Command(OperatorCommand):
    words = "sync"
    summary = "Sync partners, tenants, people and groups"
    area, place = "sync", 10
    is_everyday = True
    permission = "SYNC_TENANTS"
    examples = (
        *("scaiwave sync", "scaiwave sync --dry-run", "scaiwave sync --tenant acme"),
        *("scaiwave sync --no-removals", "scaiwave sync --scheduled --wait 60"),
        *("scaiwave sync --plan plan.json", "scaiwave sync --apply plan.json"),
        "scaiwave sync --allow-removals 120",
    )
    help = "Sync partners, tenants, people and groups from ScaiKey."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", help="only this tenant (slug, ID or ScaiKey ID)")
        parser.add_argument(
            "--allow-removals",
            type=whole_number,
            metavar="N",
            help="maximum number of losses of access in this run, instead of the removal limit",
        )
        parser.add_argument(
            "--no-removals",
            action="store_true",
            help="additions and updates only, without any loss of access",
        )
        parser.add_argument(
            "--allow-no-super-admin",
            action="store_true",
            help="permission to leave no one with the role super_admin",
        )
        parser.add_argument(
            "--purge-after",
            metavar="DAYS",
            type=positive_int,
            help="erasure, after the sync, of the personal data of everyone who was removed this "
            "many days ago or earlier (default off)",
        )
        _add_plan_arguments(parser)
        _add_time_arguments(parser)

    def handle(self, **options: Any) -> None:
        _check_usage(options)
        dry_run = self.dry_run or options["plan"] is not None  # Writing a plan changes nothing.
        timeout = options["timeout"]
        if timeout is None and options["scheduled"]:
            timeout = get_time_limit(settings.CONFIG)
        print_changes = partial(print_plan, self.output, with_values=dry_run)
        sync_options = SyncOptions(
            operator=self.operator,
            progress_factory=self.output.progress,
            tenant=options["tenant"],
            dry_run=dry_run,
            trigger=Trigger.CRON if options["scheduled"] else Trigger.MANUAL,
            on_planned=print_changes if options["verbosity"] > 1 else None,
            permissions=Permissions(
                removals=not options["no_removals"],
                allow_removals=options["allow_removals"],
                allow_no_super_admin=options["allow_no_super_admin"],
            ),
            pace=Pace(
                options["wait"],
                partial(self.output.log, "Waiting for another sync to end."),
                timeout,
            ),
        )
        print_sync(
            partial(self._sync, sync_options, options),
            partial(self._print_report, plan=options["plan"]),
        )

    def _sync(self, sync_options: SyncOptions, options: Mapping[str, Any]) -> SyncReport:
        if options["plan"] is not None:
            return write_sync_plan(sync_options, options["plan"])
        if options["apply"] is not None:
            return apply_sync_plan(sync_options, options["apply"])
        if options["purge_after"] is not None:
            # The line in a crontab is the consent: a question there would stop the sync as well.
            confirm = self.confirm if self.can_ask() else lambda effect: None
            return sync_and_purge(sync_options, days=options["purge_after"], confirm=confirm)
        return run_sync(sync_options)

    def _print_report(self, report: SyncReport, plan: Path | None) -> None:
        print_report(self.output, report)
        if plan is not None and report.plan is not None:
            self.output.print_line(
                f"Plan written to {plan}. To apply it: `{format_apply_command(plan)}`."
            )


def _add_plan_arguments(parser: ArgumentParser) -> None:
    plans = parser.add_mutually_exclusive_group()
    plans.add_argument(
        "--plan",
        metavar="FILE",
        type=Path,
        help="file to write the plan to, for review; nothing else is changed",
    )
    plans.add_argument(
        "--apply",
        metavar="FILE",
        type=Path,
        help="reviewed plan to apply, with exactly its losses of access",
    )


def _add_time_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        metavar="SECONDS",
        nargs="?",
        type=whole_number,
        const=math.inf,
        default=0,
        help="seconds to wait for another sync to end (without a number: no limit; default 0)",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive_int,
        help="maximum duration of the whole run, waiting included (default no limit; with "
        "--scheduled SCAIWAVE_SYNC_TIMEOUT_SECONDS)",
    )
    parser.add_argument(
        "--scheduled", action="store_true", help="run with the trigger cron in the history"
    )


def _check_usage(options: Mapping[str, Any]) -> None:
    """Raise `UsageError` for options that can't be combined.

    0 counts as given, since `--allow-removals 0` is a limit.
    """
    given = {name for name, value in options.items() if value is not None and value is not False}
    for name, excluded in _EXCLUSIONS.items():
        if name in given and (others := given & excluded):
            first, second = (f"--{word.replace('_', '-')}" for word in (name, min(others)))
            raise UsageError(f"Can't combine {first} and {second}.", fix="Leave out one of them.")
