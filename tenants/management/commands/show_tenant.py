from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from django.utils import timezone

from scaiwave.cli.command import OperatorCommand
from scaiwave.console.columns import Column, ColumnType
from scaiwave.console.output import EMPTY_CELL, format_bytes, to_json
from tenants.management.output import (
    AUDIT_COLUMNS,
    format_status,
    print_sections,
    print_usage_notes,
)
from tenants.queries.serializers import Row
from tenants.queries.tenants import show_tenant
from tenants.queries.usage import format_tokens

FACTS = (
    Column("slug", "Slug"),
    Column("name", "Name"),
    Column("id", "Id"),
    Column("scaikey_tenant_id", "ScaiKey id"),
    Column("status", "Status"),
    Column("partner", "Partner"),
    Column("contact_email", "Contact"),
    Column("members", "Members", ColumnType.COUNT),
    Column("groups", "Groups"),
    Column("features", "Features"),
    Column("created_at", "Created", ColumnType.TIME),
    Column("updated_at", "Changed", ColumnType.TIME),
)
LIMITS = (Column("what", "What"), Column("used", "Used"), Column("limit", "Allowed"))
PARTICIPANTS = (
    Column("type", "Type"),
    Column("active", "Active", ColumnType.COUNT),
    Column("suspended", "Suspended", ColumnType.COUNT),
    Column("absent", "Absent", ColumnType.COUNT),
)
_LIMIT_ROWS: tuple[tuple[str, str, Callable[[int], str]], ...] = (
    ("participants", "Active participants", "{:,}".format),
    ("rooms", "Rooms", "{:,}".format),
    ("storage_bytes", "Storage", format_bytes),
    ("ai_tokens_month", "AI tokens this month", "{:,}".format),
)


class Command(OperatorCommand):
    help = "Show one tenant: its standing, its partner, limits beside usage, and who is in it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", help="slug, id, or ScaiKey id")

    def handle(self, tenant: str, **options: Any) -> None:
        now = timezone.now()
        found = show_tenant(operator=self.operator, name=tenant, now=now)
        if self.output.as_json:
            self.output.print_json({"tenant": found})
            return
        self.output.print_record(FACTS, _format_facts(found))
        print_sections(
            self.output,
            ("Limits", LIMITS, _format_limits(found)),
            ("Participants", PARTICIPANTS, found["participants"]),
            ("Last changes", AUDIT_COLUMNS, found["audit"]),
        )
        print_usage_notes(self.output, [found], now)


def _format_facts(tenant: Row) -> Row:
    groups, partner = tenant["groups"], tenant["partner"]
    absent = f" and {groups['absent']:,} gone from ScaiKey" if groups["absent"] else ""
    return {
        **tenant,
        "scaikey_tenant_id": tenant["scaikey_tenant_id"] or "none, it is local",
        "status": format_status(tenant),
        "partner": partner and f"{partner['slug'] or partner['name']} ({format_status(partner)})",
        "groups": f"{groups['active']:,}{absent}",
        "features": to_json(tenant["features"], indent=None) if tenant["features"] else None,
    }


def _format_limits(tenant: Row) -> list[Row]:
    rows = []
    for key, what, written in _LIMIT_ROWS:
        used, limit = tenant["limits"][key]["used"], tenant["limits"][key]["limit"]
        marked = format_tokens(tenant) if key == "ai_tokens_month" else None
        rows.append(
            {
                "what": what,
                "used": marked or (EMPTY_CELL if used is None else written(used)),
                "limit": "no limit" if limit is None else written(limit),
            }
        )
    return rows
