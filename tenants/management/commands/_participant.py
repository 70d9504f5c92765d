"""One participant or one group, for people to read."""

from __future__ import annotations

from collections.abc import Sequence

from scaiwave.console.output import Column, ColumnType
from tenants.management.commands._tenant import format_status
from tenants.queries.serializers import Row

FACTS = (
    Column("may_sign_in", "May sign in", ColumnType.FLAG),
    Column("display_name", "Name"),
    Column("email", "E-mail"),
    Column("fqid", "FQID"),
    Column("type", "Type"),
    Column("tenant", "Tenant"),
    Column("status", "Status"),
    Column("id", "Id"),
    Column("scaikey_id", "ScaiKey id"),
    Column("created_at", "Created", ColumnType.TIME),
    Column("updated_at", "Changed", ColumnType.TIME),
)
OBSTACLES = (
    Column("reason", "Why not"),
    Column("since", "Since", ColumnType.TIME),
    Column("fix", "What to do"),
)
GROUPS = (Column("name", "Group"), Column("type", "Type"), Column("way", "How"))
ROLES = (
    Column("slug", "Role"),
    Column("way", "How"),
    Column("source", "Source"),
    Column("granted_by", "Granted by"),
)
ELSEWHERE = (
    Column("fqid", "FQID"),
    Column("tenant", "Tenant"),
    Column("email", "E-mail"),
    Column("status", "Status"),
)


def extra_facts(participant: Row) -> tuple[list[Column], Row]:
    """The columns of what other applications tell, and the row with their values in it."""
    facts = {f"fact {index}": fact for index, fact in enumerate(participant["facts"])}
    columns = [Column(key, fact["title"]) for key, fact in facts.items()]
    values = {key: fact["value"] for key, fact in facts.items()}
    return columns, {**participant, "status": format_status(participant), **values}


def format_membership_path(rows: Sequence[Row]) -> list[Row]:
    """How somebody is in a group: directly, or through which other groups."""
    return [
        {**row, "way": "directly" if row["direct"] else f"through {', '.join(row['through'])}"}
        for row in rows
    ]
