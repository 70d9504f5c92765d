"""The tables of this app that reach a tenant, and where else it is mentioned."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Model, Q, QuerySet

from identity_sync.models import (
    PendingRemoval,
    SyncChange,
    SyncPlannedChange,
    SyncRun,
    SyncSkip,
    WebhookEvent,
)
from scaiwave.core.mentions import ErasedTenant, TextPlace
from scaiwave.extensions import TenantPlace, TenantTable
from tenants.models import Group, Participant, Tenant

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


class _Webhooks:
    """Events that ScaiKey announced about the tenant, its people and its groups."""

    name = "webhooks"

    def count(self, tenant: ErasedTenant) -> int:
        return self._select(tenant).count()

    def erase(self, tenant: ErasedTenant) -> None:
        self._select(tenant).delete()

    def _select(self, tenant: ErasedTenant) -> QuerySet[WebhookEvent]:
        own = Tenant.objects.filter(pk=tenant.tenant_id).values("scaikey_tenant_id")
        people = Participant.objects.filter(tenant=tenant.tenant_id).values("scaikey_id")
        groups = Group.objects.filter(tenant=tenant.tenant_id).values("scaikey_id")
        return WebhookEvent.objects.filter(
            Q(scaikey_id__in=own) | Q(scaikey_id__in=people) | Q(scaikey_id__in=groups)
        )


def _without_tenant(model: type[Model], *names: str) -> TextPlace:
    """Rows of no tenant that are about this one: it was not here yet, or is its own subject."""
    return TextPlace(
        model._meta.label,
        lambda: model._default_manager.filter(tenant=None),
        ("subject_name", "subject_scaikey_id", *names),
        deletes=True,
    )


_RUN_TEXTS = (
    "operator", "warnings", "losses", "counted_losses", "error_message", "error_fix", "fix_command"
)  # fmt: skip
_PLACES: Sequence[TenantPlace] = (
    _Webhooks(),
    _without_tenant(SyncChange, "detail"),
    _without_tenant(SyncPlannedChange, "detail", "tenant_slug", "values"),
    _without_tenant(SyncSkip, "detail"),
    _without_tenant(PendingRemoval, "decision_reason"),
    TextPlace("texts of syncs", lambda: SyncRun.objects.filter(tenant=None), _RUN_TEXTS),
    TextPlace("errors of webhooks", WebhookEvent.objects.all, ("error_message",)),
)


def list_places() -> Sequence[TenantPlace]:
    return _PLACES
