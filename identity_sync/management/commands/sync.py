from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from tenants.queries.resolve import resolve_tenant

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


class Command(OperatorCommand):
    help = "Make partners, tenants, people and groups equal to ScaiKey's."
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--tenant", help="sync this tenant only: slug or id")
        parser.add_argument(
            "--allow-removals",
            type=int,
            metavar="N",
            help="let this run deactivate up to N rows in all, whatever the brake says",
        )

    def handle(
        self, tenant: str | None, allow_removals: int | None, dry_run: bool, **options: Any
    ) -> None:
        wish = Wish(
            operator=self.operator,
            bars=self.output.progress,
            tenant=resolve_tenant(self.operator, tenant) if tenant else None,
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
                what = f"{reason}: {fields}" if fields else reason
                self.output.line(f"{action:<10}  {kind:<12}  {name or scaikey_id}  ({what})")

    def _show(self, report: SyncReport) -> None:
        if self.output.as_json:
            self.output.document(report.document())
            return
        for warning in report.warnings:
            self.output.warn(warning)
        counts = report.counts()
        self.output.listing("kinds", COLUMNS, [{"kind": kind, **counts[kind]} for kind in KINDS])
        self.output.line(
            f"{report.outcome.capitalize()}: {report.changed:,} changes, "
            f"{report.requests:,} requests, {report.duration_seconds:.1f} s."
        )
