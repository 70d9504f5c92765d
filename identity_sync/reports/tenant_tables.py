"""The tables of this app that reach a tenant, for its export."""

from __future__ import annotations

from collections.abc import Sequence

from scaiwave.extensions import TenantTable

_REASON = "about syncs of this server"

_TABLES = (
    TenantTable("identity_sync.SyncRun", reason=_REASON),
    TenantTable("identity_sync.SyncChange", reason=_REASON),
    TenantTable("identity_sync.SyncChangeValues", reason=_REASON, tenant="change__tenant_id"),
    TenantTable("identity_sync.SyncPlannedChange", reason=_REASON),
    TenantTable("identity_sync.SyncSkip", reason=_REASON),
    TenantTable("identity_sync.PendingRemoval", reason=_REASON),
    TenantTable("identity_sync.WebhookEvent", reason=_REASON, tenant="run__tenant_id"),
)


def list_tables() -> Sequence[TenantTable]:
    return _TABLES
