"""What accounts and reports of this server have of a tenant, for its erasure."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import QuerySet

from scaiwave.core.mentions import ErasedTenant, TextPlace
from scaiwave.extensions import TenantPlace
from tenants.accounts.sessions import delete_sessions_of
from tenants.models import AdminUser, DoctorRun, Notice, Participant, StoredOverview


class _Accounts:
    """Accounts of the tenant's people in the admin site, with their sessions.

    Those who have moved to another tenant keep theirs.
    """

    name = "accounts"

    def count(self, tenant: ErasedTenant) -> int:
        return self._select(tenant).count()

    def erase(self, tenant: ErasedTenant) -> None:
        accounts = self._select(tenant)
        delete_sessions_of(*accounts.values_list("pk", flat=True))
        accounts.delete()

    def _select(self, tenant: ErasedTenant) -> QuerySet[AdminUser]:
        own = Participant.objects.filter(tenant=tenant.tenant_id).exclude(scaikey_id=None)
        moved = Participant.objects.exclude(tenant=tenant.tenant_id).filter(
            absent_since=None, scaikey_id__in=own.values("scaikey_id")
        )
        accounts = AdminUser.objects.filter(scaikey_id__in=own.values("scaikey_id"))
        return accounts.exclude(scaikey_id__in=moved.values("scaikey_id"))


_PLACES: Sequence[TenantPlace] = (
    _Accounts(),
    TextPlace("doctor's report", DoctorRun.objects.all, ("findings", "operator"), deletes=True),
    TextPlace("overviews", StoredOverview.objects.all, ("document", "scope"), deletes=True),
    TextPlace("notices", Notice.objects.all, ("error",)),
)


def list_places() -> Sequence[TenantPlace]:
    return _PLACES
