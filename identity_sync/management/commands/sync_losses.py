from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone

from identity_sync.reasons import Loss
from identity_sync.reports.losses import LossHistory, get_loss_history, list_losses
from identity_sync.reports.runs import SHORT_ID_CHARS
from scaiwave.cli.arguments import ONLY_TENANT, Arguments, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row
from scaiwave.console.text import pluralize
from scaiwave.core.times import TIME_FORMATS
from tenants.management.arguments import ensure_period, since, until


class SyncLossesArguments(Arguments):
    since: datetime | None = option(
        f"start of the period: {TIME_FORMATS}", metavar="TIME", type=since
    )
    until: datetime | None = option(
        "end of the period (a day includes the whole day)", metavar="TIME", type=until
    )
    tenant: str | None = option(ONLY_TENANT)
    participant: str | None = option(
        "only this person, with their groups, tenant and partner (e-mail address, @name:server, "
        "local ID, ID or ScaiKey ID)",
        metavar="NAME",
    )
    loss: str | None = option(
        f"loss: {', '.join(Loss)} (default all)", metavar="LOSS", choices=[*Loss]
    )


class Command(ListCommand[SyncLossesArguments]):
    service = staticmethod(list_losses)
    words = "sync losses"
    summary = "List who lost access through syncs, and why"
    area, place = "sync", 60
    permission = "VIEW"
    examples = (
        "scaiwave sync losses --since yesterday",
        "scaiwave sync losses --participant anna@acme.example",
        "scaiwave sync losses --tenant acme --loss suspended --json",
    )
    plural = "losses"
    columns = (
        Column("lost_at", "Time", ColumnType.TIME, part=Part.KEY),
        Column("run", "Run", part=Part.EXTRA),
        Column("who", "Who", part=Part.NAME),
        Column("email", "E-mail", part=Part.EXTRA),
        Column("tenant", "Tenant"),
        Column("lost", "Lost", part=Part.STATUS),
        Column("why", "Why"),
        Column("is_back", "Back", ColumnType.FLAG, part=Part.STATUS),
    )
    keys = (
        *("lost_at", "loss", "kind", "tenant_id", "tenant", "subject_id", "subject", "email"),
        *("scaikey_id", "role", "group", "new_tenant", "people", "reason", "is_back", "run_id"),
        *("approved_by", "id"),
    )
    history: LossHistory
    help = (
        "List who lost access through syncs, newest first: the access, the reason, through which "
        "run, and whether it is back. The first sync of a tenant has counts only."
    )

    def load_rows(self, given: SyncLossesArguments) -> Iterable[Row]:
        ensure_period(given.since, given.until)
        self.history = get_loss_history(operator=self.operator, now=timezone.now())
        rows: Iterable[Row] = self.call_service(given)
        return rows

    def load_rest(self) -> Row:
        return {
            "history_begins_at": self.history.begins_at,
            "values_begin_at": self.history.values_begin_at,
        }

    def format_row(self, row: Row) -> Row:
        who, why = row["subject"] or row["scaikey_id"], row["reason"]
        if row["kind"] in ("partners", "tenants", "groups"):
            who = f"{row['kind'].removesuffix('s')} {who}"
        if row["new_tenant"]:
            why = f"moved to {row['new_tenant']}"
        if row["approved_by"]:
            why = f"{why} (approved by {row['approved_by']})"
        return {
            **row,
            "who": who,
            "lost": _format_loss(row),
            "why": why,
            "run": str(row["run_id"])[:SHORT_ID_CHARS],
        }

    def print_notes(self) -> None:
        begin, values = self.history.begins_at, self.history.values_begin_at
        if begin is None:
            self.output.log("No sync has run yet.")
            return
        zone = self.output.zone
        note = f"The history begins on {begin.astimezone(zone):%Y-%m-%d %H:%M}"
        if values is None:
            note += ", without suspensions and roles: values are not kept"
        elif values != begin:
            note += f", suspensions and roles on {values.astimezone(zone):%Y-%m-%d %H:%M}"
        self.output.log(f"{note}. The first sync of a tenant is recorded as counts only.")


def _format_loss(row: Row) -> str:
    if row["role"]:
        return f"role {row['role']}"
    match row["kind"]:
        case "memberships":
            return f"group {row['group']}" if row["group"] else "a group"
        case "groups":
            return "its memberships"
        case "partners":
            return "sign-in of its tenants"
        case "tenants" if row["people"]:
            return f"sign-in of {pluralize(row['people'], 'person', 'people')}"
        case _:
            return "sign-in"
