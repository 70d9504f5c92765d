"""The tables of this app that reach a tenant, for its export."""

from __future__ import annotations

from collections.abc import Sequence

from scaiwave.extensions import TenantTable

_TABLES = (
    TenantTable("tenants.Tenant", "tenant", tenant="pk"),
    TenantTable("tenants.Participant", "people"),
    TenantTable("tenants.Group", "groups"),
    TenantTable("tenants.GroupMembership", "group-members"),
    TenantTable("tenants.Role", "roles"),
    TenantTable("tenants.RoleGrant", "grants"),
    TenantTable("tenants.Hold", reason="about deletions on this server"),
    TenantTable("tenants.TokenUsage", reason="fetched again from ScaiGrid"),
    TenantTable(
        "tenants.AuditEntry",
        reason="in audit.jsonl, with the seals; it stays a record of the server that wrote it",
        is_record=True,
    ),
    TenantTable("tenants.TenantErasure", reason="about this server", is_record=True),
)


def list_tables() -> Sequence[TenantTable]:
    return _TABLES
