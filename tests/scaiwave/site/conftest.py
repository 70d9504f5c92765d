"""Rows of every model."""

from __future__ import annotations

import pytest

from federation.models import KnownPeer
from identity_sync.models import (
    SyncChangeValues,
    SyncPlannedChange,
    SyncRun,
)
from rooms.models import ImportIntent, Room, SearchBackfill
from tenants.models import (
    AuditEntry,
    AuditPruning,
    AuditSeal,
    Counter,
    DoctorRun,
    RoleGrant,
    Tenant,
)
from tests.scaiwave import row_factories


def fill_json_fields(tenant: Tenant) -> None:
    """Give every model that has JSON a value of each shape, as its writers do."""
    Tenant.objects.update(features={"ai": True, "limits": {"rooms": 3, "regions": ["eu", "us"]}})
    Counter.objects.update(labels='{"action": "sync", "kind": "tenant"}')
    found = {"check": "disk", "state": "warn", "message": "91 % full.", "fix": "Free.", "code": ""}
    DoctorRun.objects.update(findings=[found, {**found, "state": "fail", "code": "SW_DISK"}])
    AuditSeal.objects.update(statement='{"day": "2026-03-03", "parts": [{"sha256": "ab"}]}')
    AuditPruning.objects.update(statement='{"through": "2026-03-03", "entries": 3}')
    outcome = {"tenant": "acme", "tenant_id": str(tenant.pk), "written": 3, "removed": 0}
    SearchBackfill.objects.update(outcome={"tenants": [outcome]}, finished_at=row_factories.NOW)
    ImportIntent.objects.update(hashes=["0" * 64, "1" * 64])
    Room.objects.update(read_role_slugs=["moderator", "admins"])
    KnownPeer.objects.update(protocol_versions=["1.0", "1.1"])
    changes = [{"field": "features", "old": {"ai": [{"on": True}]}, "new": {}}]
    details = {"changes": changes, "losses": [{"people": 3}], "a": {"b": 1}}
    AuditEntry.objects.create(at=row_factories.NOW, action="update-tenant", details=details)
    SyncChangeValues.objects.update(values={"roles": [["a", "b"], []], "limits": [{"a": 1}, None]})
    SyncPlannedChange.objects.update(values={"limits": [{"a": 1, "b": [{"c": 2}]}, None]})
    SyncRun.objects.update(warnings=["slow"], losses=[["people", str(tenant.pk), 3]])


@pytest.fixture
def tenant(db: None) -> Tenant:
    """The tenant of a row of every model."""
    return row_factories.make_row_of_every_model(1)


@pytest.fixture
def filled(tenant: Tenant) -> None:
    """Two rows of every model, with JSON of each shape in the first."""
    fill_json_fields(tenant)
    row_factories.make_row_of_every_model(2)
    RoleGrant.objects.update(source="scaikey")
