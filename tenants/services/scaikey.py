"""The way to ScaiKey for what services ask of it before they write."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scaiwave.config import Configuration

if TYPE_CHECKING:
    from scaiwave.clients.scaikey.schemas import ScaiKeyTenantRecord

TenantLookup = Callable[[str], "ScaiKeyTenantRecord | None"]


def tenant_lookup(config: Configuration) -> TenantLookup:
    """A function that asks ScaiKey for one tenant by its id; None if it has no such tenant.

    It raises `NotRegistered` where there is no ScaiKey to ask.
    """
    # httpx is worth its import only where something is asked.
    from scaiwave.clients.connect import NotRegistered, scaikey_client

    def look_up(scaikey_tenant_id: str) -> ScaiKeyTenantRecord | None:
        try:
            client = scaikey_client(config)
        except NotRegistered as error:
            error.fix += " Or pass --no-verify to have it taken as given."
            raise
        with client:
            return client.get_tenant(scaikey_tenant_id)

    return look_up
