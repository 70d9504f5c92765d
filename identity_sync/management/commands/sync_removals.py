from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.utils import timezone

from identity_sync.models import Limit
from identity_sync.reasons import Loss
from identity_sync.removals.queries import SHORT_ID_CHARS, count_by_tenant, list_removals
from scaiwave.cli.arguments import ONLY_TENANT, Arguments, option
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part, Row
from scaiwave.console.text import pluralize
from scaiwave.core.times import TIME_FORMATS
from tenants.management.arguments import ensure_period, since


class SyncRemovalsArguments(Arguments):
    tenant: str | None = option(ONLY_TENANT)
    loss: str | None = option(
        f"loss: {', '.join(Loss)} (default all)", metavar="LOSS", choices=[*Loss]
    )
    since: datetime | None = option(
        f"only removals set aside since then: {TIME_FORMATS}", metavar="TIME", type=since
    )


class Command(ListCommand[SyncRemovalsArguments]):
    service = staticmethod(list_removals)
    words = "sync removals"
    summary = "List the removals that wait for a decision"
    area, place = "sync", 70
    permission = "VIEW"
    examples = (
        "scaiwave sync removals",
        "scaiwave sync removals --tenant acme --csv > removals.csv",
    )
    plural = "removals"
    columns = (
        Column("id", "ID", part=Part.KEY),
        Column("tenant", "Tenant"),
        Column("who", "Who", part=Part.NAME),
        Column("email", "E-mail", part=Part.EXTRA),
        Column("loss", "Loss", part=Part.NAME),
        Column("reason", "Why", part=Part.EXTRA),
        Column("first_seen_at", "Since", ColumnType.TIME, part=Part.EXTRA),
        Column("state", "State", part=Part.STATUS),
    )
    keys = (
        *("id", "tenant_id", "tenant", "loss", "kind", "subject_id", "subject", "email"),
        "scaikey_id",
        *("reason", "cause", "destination", "limit", "people", "roles", "memberships", "state"),
        *("first_seen_at", "last_seen_at", "runs", "decided_at", "decided_by", "decision_reason"),
        "expires_at",
    )
    tenants: Sequence[Row]
    help = (
        "List pending removals: losses of access that syncs have set aside until you approve them "
        "or keep the access. Approve rows by their IDs, or all of a tenant by its digest."
    )

    def load_rows(self, given: SyncRemovalsArguments) -> Iterable[Row]:
        ensure_period(given.since, None)
        now = timezone.now()
        rows: Iterable[Row] = self.call_service(given, now=now)
        self.tenants = []
        # A digest covers all rows of a tenant.
        if not (given.loss or given.since or self.options.limit or self.options.after):
            self.tenants = count_by_tenant(self.operator, given.tenant, now)
        return rows

    def load_rest(self) -> Row:
        return {"tenants": self.tenants}

    def format_row(self, row: Row) -> Row:
        people = f" ({pluralize(row['people'], 'person', 'people')})" if row["people"] else ""
        if row["limit"] == Limit.SUPER_ADMIN:
            people += " (last super_admin)"
        return {
            **row,
            "id": row["id"].hex[-SHORT_ID_CHARS:],
            "who": f"{row['subject'] or row['scaikey_id']}{people}",
        }

    def print_notes(self) -> None:
        tenants = [each for each in self.tenants if each["tenant"] is not None]
        for each in tenants:
            number = pluralize(each["count"], "pending removal")
            self.output.log(f"{each['tenant']}: {number}, digest {each['digest']}")
        if tenants:
            self.output.log(
                "Approve rows by their IDs, or all of a tenant: `scaiwave sync approve --tenant "
                "<tenant> --expect <digest>`."
            )
