from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from identity_sync.management.output import format_change_count, format_duration, format_losses
from identity_sync.models import Outcome
from identity_sync.report import KINDS
from identity_sync.reports.runs import ACTIONS, ChangeFilter, list_changes, show_run
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Row
from tenants.management.output import format_values

DEFAULT_LIMIT = 100

COLUMNS = (
    Column("action", "Action"),
    Column("kind", "Kind"),
    Column("tenant", "Tenant"),
    Column("subject_name", "Subject"),
    Column("what", "From → to"),
    Column("reason", "Reason"),
)
KEYS = (
    *("kind", "action", "tenant_id", "tenant", "subject_id", "subject", "scaikey_id"),
    *("fields", "values", "reason"),
)
FACTS = (
    Column("run_id", "ID"),
    Column("started_at", "Started", ColumnType.TIME),
    Column("ended_at", "Ended", ColumnType.TIME),
    Column("duration", "Duration"),
    Column("trigger", "Trigger"),
    Column("tenant", "Tenant"),
    Column("operator", "Operator"),
    Column("outcome", "Outcome"),
    Column("changes", "Changes"),
    Column("losses", "Losses of access"),
    Column("requests", "Requests", ColumnType.COUNT),
)
PLAN = (
    Column("plan_run_id", "Applied the plan of"),
    Column("applied_by_run_id", "Plan applied by"),
)
ERROR = (Column("error_message", "Error"), Column("error_fix", "Fix"))
COUNTS = (
    Column("kind", "Kind"),
    *(
        Column(name, name.title(), ColumnType.COUNT)
        for name in ("seen", "added", "updated", "deactivated", "restored", "unchanged", "skipped")
    ),
)
_NOT_WRITTEN = (Outcome.PLANNED, Outcome.REFUSED)


class Command(ListCommand):
    plural = "changes"
    columns = COLUMNS
    keys = KEYS
    default_limit = DEFAULT_LIMIT
    run: Row
    printed = 0
    limit: int | None = None
    help = (
        "Show a run of the sync: what changed for whom, from what to what and why, with counts, "
        "warnings and its error. The first run of a tenant has counts only."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "run", help="run (ID, the beginning of an ID, or `last` for the newest)"
        )
        parser.add_argument("--kind", choices=KINDS, help="only changes of this kind (default all)")
        parser.add_argument("--tenant", help="only this tenant (slug, ID or ScaiKey ID)")
        parser.add_argument("--action", choices=ACTIONS, help="only this action (default all)")

    def load_rows(self, run: str, limit: int | None, **options: Any) -> Iterable[Row]:
        self.run = show_run(operator=self.operator, name=run, now=timezone.now())
        self.limit = limit
        filters = ChangeFilter(**{name: options[name] for name in ("kind", "tenant", "action")})
        changes = list_changes(
            operator=self.operator, run_id=self.run["run_id"], filters=filters, limit=limit
        )
        if not (options["csv"] or self.output.as_json):
            self._print_run()
        return changes

    def load_rest(self) -> Row:
        return {"run": self.run}

    def format_row(self, row: Row) -> Row:
        self.printed += 1
        return {
            **row,
            "subject_name": row["subject"] or row["scaikey_id"],
            "what": format_values(row["fields"], row["values"]),
        }

    def print_notes(self) -> None:
        if self.printed == self.limit:
            self.output.log(f"There may be more changes: add --limit {self.printed * 10}.")

    def _print_run(self) -> None:
        for warning in self.run["warnings"] or ():
            self.output.warn(warning)
        plan = (column for column in PLAN if self.run[column.key])
        columns = [*FACTS, *plan, *(ERROR if self.run["error"] else ())]
        self.output.print_record(columns, _format_facts(self.run))
        if self.run["kinds"]:
            self.output.print_line()
            if self.run["outcome"] in _NOT_WRITTEN:
                self.output.print_line("Nothing was changed. These are the counts of the plan:")
            rows = [
                {"kind": kind, **self.run["kinds"][kind]}
                for kind in KINDS
                if kind in self.run["kinds"]
            ]
            self.output.print_table("kinds", COUNTS, rows)
        self.output.print_line()


def _format_facts(run: Row) -> Row:
    error = run["error"] or {}
    return {
        **run,
        "changes": format_change_count(run),
        "duration": format_duration(run["duration_seconds"]),
        "losses": format_losses(run["losses"] or {}) or None,
        "error_message": f"{error.get('message') or ''} [{error.get('code')}]".strip(),
        "error_fix": error.get("fix"),
    }
