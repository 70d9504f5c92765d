from __future__ import annotations

from collections.abc import Iterable

from django.utils import timezone

from identity_sync.management.output import print_run
from identity_sync.report import KINDS
from identity_sync.reports.runs import ACTIONS, list_changes, show_run
from scaiwave.cli.arguments import ONLY_TENANT, Arguments, argument, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, Part, Row, columns_of
from tenants.management.output import format_values


class SyncShowRunArguments(Arguments):
    run: str = argument("run (ID, the beginning of an ID, or `last` for the newest)")
    kind: str | None = option("only changes of this kind (default all)", choices=KINDS)
    tenant: str | None = option(ONLY_TENANT)
    action: str | None = option("only this action (default all)", choices=ACTIONS)


class Command(ListCommand[SyncShowRunArguments]):
    service = staticmethod(list_changes)
    words = "sync show-run"
    summary = "Show the changes of a run, with reasons"
    area, place = "sync", 50
    permission = "VIEW"
    examples = (
        "scaiwave sync show-run last",
        "scaiwave sync show-run 019aab53-0c1f --tenant acme --action loss",
    )
    plural = "changes"
    columns = (
        Column("action", "Action", part=Part.STATUS),
        *columns_of("kind", "tenant"),
        Column("subject_name", "Subject", part=Part.NAME),
        Column("what", "From → to"),
        Column("reason", "Reason"),
    )
    keys = (
        *("kind", "action", "tenant_id", "tenant", "subject_id", "subject", "scaikey_id"),
        *("fields", "values", "reason", "id"),
    )
    default_limit = 100
    shown: Row
    help = (
        "Show a run of the sync: what changed for whom, from what to what and why, with counts, "
        "warnings and its error. The first run of a tenant has counts only."
    )

    def load_rows(self, given: SyncShowRunArguments) -> Iterable[Row]:
        self.shown = show_run(operator=self.operator, name=given.run, now=timezone.now())
        changes: Iterable[Row] = self.call_service(given, run_id=self.shown["run_id"])
        if not (self.options.csv or self.output.as_json):
            print_run(self.output, self.shown)
            if self.shown["kinds"] is None:
                self.plural = "changes in your tenants"
        return changes

    def load_rest(self) -> Row:
        return {"run": self.shown}

    def format_row(self, row: Row) -> Row:
        return {
            **row,
            "subject_name": row["subject"] or row["scaikey_id"],
            "what": format_values(row["fields"], row["values"]),
        }
