"""The way to ScaiKey for what services ask of it before they write."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scaiwave.config import Configuration
from scaiwave.errors import SettingMissing

if TYPE_CHECKING:
    from scaiwave.clients.scaikey import ScaiKeyClient
    from scaiwave.clients.scaikey_rows import TenantRow

TenantLookup = Callable[[str], "TenantRow | None"]


def connect(config: Configuration) -> ScaiKeyClient:
    """A client that speaks for the operator if there is a token, else for this server.

    It connects when it is first asked something. Raises `SettingMissing` or `SettingInvalid`.
    """
    # httpx is worth its import only where something is asked.
    from scaiwave.clients.scaikey import ScaiKeyClient

    url = config.url("SCAIWAVE_SCAIKEY_URL")
    token = config.text("SCAIWAVE_ADMIN_TOKEN")
    client_id = config.text("SCAIWAVE_SCAIKEY_CLIENT_ID")
    client_secret = config.text("SCAIWAVE_SCAIKEY_CLIENT_SECRET")
    if not url or not (token or (client_id and client_secret)):
        raise SettingMissing(
            "ScaiKey can't be asked: this server is not registered with it.",
            fix="Run `scaiwave sync register`, or pass --no-verify to have it taken as given.",
        )
    if token:
        return ScaiKeyClient(url, bearer=token)
    return ScaiKeyClient(url, client_id=client_id, client_secret=client_secret)


def tenant_lookup(config: Configuration) -> TenantLookup:
    """A function that asks ScaiKey for one tenant by its id; None if it has no such tenant."""

    def look_up(scaikey_tenant_id: str) -> TenantRow | None:
        with connect(config) as client:
            return client.get_tenant(scaikey_tenant_id)

    return look_up
