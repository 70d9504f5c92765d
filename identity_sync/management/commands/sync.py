from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from identity_sync.errors import SyncStopped
from identity_sync.report import KINDS, SyncReport
from identity_sync.services import history
from identity_sync.services.sync import Wish, run_sync
from scaiwave.command import OperatorCommand
from scaiwave.output import Column, Kind

COLUMNS = [
    Column("kind", "Kind"),
    *(
        Column(name, name.title(), Kind.COUNT)
        for name in ("seen", "added", "updated", "deactivated", "restored", "unchanged", "held")
    ),
]

_SUMMARIES = {
    "applied": "Applied {}",
    "planned": "Planned {}, none of them applied",
    "refused": "Refused {}, none of them applied",
    "partial": "Applied {}, and held back others",
}


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

    def handle(
        self, tenant: str | None, allow_removals: int | None, dry_run: bool, **options: Any
    ) -> None:
        wish = Wish(
            operator=self.operator,
            bars=self.output.progress,
            tenant=tenant,
            dry_run=dry_run,
            allow_removals=allow_removals,
            see_plan=self._list_changes if options["verbosity"] > 1 else None,
        )
        try:
            report = run_sync(wish)
        except SyncStopped as stopped:
            self._show(stopped.report)
            raise
        self._show(report)

    def _list_changes(self) -> None:
        for rows in history.changes():
            for _, _, kind, action, scaikey_id, name, fields, reason in rows:
                what = f"{reason}: {fields.replace(',', ', ')}" if fields else reason
                self.output.line(f"{action:<10}  {kind:<12}  {name or scaikey_id} ({what})")

    def _show(self, report: SyncReport) -> None:
        if self.output.as_json:
            self.output.document(report.document())
            return
        for warning in report.warnings:
            self.output.warn(warning)
        counts = report.counts()
        self.output.listing("kinds", COLUMNS, [{"kind": kind, **counts[kind]} for kind in KINDS])
        self.output.line(summary(report))


def removals(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ArgumentTypeError("it is a number of rows, 0 or more")
    return number


def summary(report: SyncReport) -> str:
    cost = f"{report.requests:,} requests, {report.duration_seconds:.1f} s."
    if report.outcome in ("applied", "planned") and not report.changed:
        held = sum(counts.held for counts in report.kinds.values())
        same = "what is not held back" if held else "everything"
        return f"Nothing to change: {same} is as in ScaiKey. {cost}"
    changes = f"{report.changed:,} change{'' if report.changed == 1 else 's'}"
    return f"{_SUMMARIES[report.outcome].format(changes)}; {cost}"
