"""The files and search documents of a tenant, beside its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from django.core.files.storage import default_storage

from rooms.models import SearchBackfill
from rooms.models.media import get_storage_name
from rooms.search.backend import open_index
from scaiwave.core.mentions import ErasedTenant, TextPlace
from scaiwave.extensions import TenantPlace
from scaiwave.storage.media import MediaStore


class _SearchServer:
    name = "search server"

    def count(self, tenant: ErasedTenant) -> int:
        with open_index() as index:
            return index.count_objects(tenant.tenant_id)

    def erase(self, tenant: ErasedTenant) -> None:
        with open_index() as index:
            index.remove_tenant(tenant.tenant_id)


class _Files:
    """Everything below the tenant's directory of the store, with all versions of it."""

    name = "files"

    def count(self, tenant: ErasedTenant) -> int:
        store = cast(MediaStore, default_storage)
        return store.count_below(get_storage_name(tenant.tenant_id, ""))

    def erase(self, tenant: ErasedTenant) -> None:
        store = cast(MediaStore, default_storage)
        store.erase_below(get_storage_name(tenant.tenant_id, ""))


SEARCH_SERVER = _SearchServer()
STORES = (SEARCH_SERVER, _Files())
"""They are erased after the rows that find them."""
_PLACES: Sequence[TenantPlace] = (
    TextPlace(
        "reports of backfills",
        lambda: SearchBackfill.objects.filter(tenant=None),
        ("outcome", "operator"),
    ),
)


def list_places() -> Sequence[TenantPlace]:
    return _PLACES
