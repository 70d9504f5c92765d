from __future__ import annotations

import math
from functools import partial
from pathlib import Path

from django.conf import settings

from identity_sync.management.output import print_plan, print_report, print_sync
from identity_sync.models import Trigger
from identity_sync.report import SyncReport
from identity_sync.sync.options import Pace, Permissions, SyncOptions
from identity_sync.sync.record.plan_file import format_apply_command
from identity_sync.sync.run import run_sync
from identity_sync.sync.time_limit import get_time_limit
from identity_sync.sync.variants import apply_sync_plan, sync_and_purge, write_sync_plan
from scaiwave.cli.arguments import ONLY_TENANT, Arguments, Excludes, option
from scaiwave.cli.command import OperatorCommand
from scaiwave.cli.parsers import positive_int, whole_number

_EXCLUSIONS = {
    "--apply": "--allow-removals --no-removals --scheduled --tenant",
    "--allow-removals": "--no-removals",
    "--purge-after": "--apply --plan",
}
"""Options that can't be combined.

The plan of `--apply` contains the tenant and the losses, and is never the scheduler's: a person has
reviewed it. `--purge-after` erases after a sync that is applied. `--plan` applies none, and no
reviewed plan lists erasures.
"""


class SyncArguments(Arguments):
    tenant: str | None = option(ONLY_TENANT)
    allow_removals: int | None = option(
        "maximum number of losses of access in this run, instead of the removal limit",
        type=whole_number,
        metavar="N",
    )
    no_removals: bool = option("additions and updates only, without any loss of access")
    allow_no_super_admin: bool = option("permission to leave no one with the role super_admin")
    purge_after: int | None = option(
        "erasure, after the sync, of the personal data of everyone who was removed this many days "
        "ago or earlier (default off)",
        metavar="DAYS",
        type=positive_int,
    )
    plan: Path | None = option(
        "file to write the plan to, for review; nothing else is changed",
        metavar="FILE",
        group="plan",
    )
    apply: Path | None = option(
        "reviewed plan to apply, with exactly its losses of access", metavar="FILE", group="plan"
    )
    wait: float = option(
        "seconds to wait for another sync to end (without a number: no limit; default 0)",
        metavar="SECONDS",
        nargs="?",
        type=whole_number,
        const=math.inf,
        default=0,
    )
    timeout: int | None = option(
        "maximum duration of the whole run, waiting included (default no limit; with --scheduled "
        "SCAIWAVE_SYNC_TIMEOUT_SECONDS)",
        metavar="SECONDS",
        type=positive_int,
    )
    scheduled: bool = option("run with the trigger cron in the history")


class Command(OperatorCommand[SyncArguments]):
    words = "sync"
    summary = "Sync partners, tenants, people and groups"
    area, place = "sync", 10
    is_everyday = True
    permission = "SYNC_TENANTS"
    refuses = ("partner_admin", "tenant_admin")
    examples = (
        *("scaiwave sync", "scaiwave sync --dry-run", "scaiwave sync --tenant acme"),
        *("scaiwave sync --no-removals", "scaiwave sync --scheduled --wait 60"),
        *("scaiwave sync --plan plan.json", "scaiwave sync --apply plan.json"),
        "scaiwave sync --allow-removals 120",
    )
    help = "Sync partners, tenants, people and groups from ScaiKey."
    changes = True
    option_rules = [
        Excludes(name, other, "Leave out one of them.", f"Can't combine {name} and {other}.")
        for name, others in _EXCLUSIONS.items()
        for other in others.split()
    ]

    def run(self, given: SyncArguments) -> None:
        dry_run = self.dry_run or given.plan is not None  # Writing a plan changes nothing.
        timeout = given.timeout
        if timeout is None and given.scheduled:
            timeout = get_time_limit(settings.CONFIG)
        print_changes = partial(print_plan, self.output, with_values=dry_run)
        sync_options = SyncOptions(
            operator=self.operator,
            progress_factory=self.output.progress,
            tenant=given.tenant,
            dry_run=dry_run,
            trigger=Trigger.CRON if given.scheduled else Trigger.MANUAL,
            on_planned=print_changes if self.output.verbose else None,
            permissions=Permissions(
                removals=not given.no_removals,
                allow_removals=given.allow_removals,
                allow_no_super_admin=given.allow_no_super_admin,
            ),
            pace=Pace(
                given.wait, partial(self.output.log, "Waiting for another sync to end."), timeout
            ),
        )
        print_sync(
            partial(self._sync, sync_options, given),
            partial(self._print_report, plan=given.plan),
        )

    def _sync(self, sync_options: SyncOptions, given: SyncArguments) -> SyncReport:
        if given.plan is not None:
            return write_sync_plan(sync_options, given.plan)
        if given.apply is not None:
            return apply_sync_plan(sync_options, given.apply)
        if given.purge_after is not None:
            # The line in a crontab is the consent: a question there would stop the sync as well.
            confirm = self.confirm if self.can_ask() else lambda effect: None
            return sync_and_purge(sync_options, days=given.purge_after, confirm=confirm)
        return run_sync(sync_options)

    def _print_report(self, report: SyncReport, plan: Path | None) -> None:
        print_report(self.output, report)
        if plan is not None and report.plan is not None:
            self.output.print_line(
                f"Plan written to {plan}. To apply it: `{format_apply_command(plan)}`."
            )
