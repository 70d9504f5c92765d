"""One tenant, for people to read."""

from __future__ import annotations

from collections.abc import Callable

from scaiwave.console.output import UNKNOWN, Column, Kind, human_bytes, to_json
from tenants.queries.serializers import Row
from tenants.queries.usage import in_words

FACTS = (
    Column("slug", "Slug"),
    Column("name", "Name"),
    Column("id", "Id"),
    Column("scaikey_tenant_id", "ScaiKey id"),
    Column("status", "Status"),
    Column("partner", "Partner"),
    Column("contact_email", "Contact"),
    Column("members", "Members", Kind.COUNT),
    Column("groups", "Groups"),
    Column("features", "Features"),
    Column("created_at", "Created", Kind.TIME),
    Column("updated_at", "Changed", Kind.TIME),
)
LIMITS = (Column("what", "What"), Column("used", "Used"), Column("limit", "Allowed"))
PARTICIPANTS = (
    Column("type", "Type"),
    Column("active", "Active", Kind.COUNT),
    Column("suspended", "Suspended", Kind.COUNT),
    Column("absent", "Absent", Kind.COUNT),
)
_LIMITED: tuple[tuple[str, str, Callable[[int], str]], ...] = (
    ("participants", "Active participants", "{:,}".format),
    ("rooms", "Rooms", "{:,}".format),
    ("storage_bytes", "Storage", human_bytes),
    ("ai_tokens_month", "AI tokens this month", "{:,}".format),
)


def facts(tenant: Row) -> Row:
    groups, partner = tenant["groups"], tenant["partner"]
    absent = f" and {groups['absent']:,} gone from ScaiKey" if groups["absent"] else ""
    return {
        **tenant,
        "scaikey_tenant_id": tenant["scaikey_tenant_id"] or "none, it is local",
        "status": standing(tenant),
        "partner": partner and f"{partner['slug'] or partner['name']} ({standing(partner)})",
        "groups": f"{groups['active']:,}{absent}",
        "features": to_json(tenant["features"], indent=None) if tenant["features"] else None,
    }


def standing(thing: Row) -> str:
    """active, or why not."""
    return str(thing["reason"] or thing["status"])


def limits(tenant: Row) -> list[Row]:
    rows = []
    for key, what, written in _LIMITED:
        used, limit = tenant["limits"][key]["used"], tenant["limits"][key]["limit"]
        marked = in_words(tenant) if key == "ai_tokens_month" else None
        rows.append(
            {
                "what": what,
                "used": marked or (UNKNOWN if used is None else written(used)),
                "limit": "no limit" if limit is None else written(limit),
            }
        )
    return rows
