"""The ScaiKey client of this server's configuration."""

from __future__ import annotations

from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.config import Configuration
from scaiwave.errors import SettingMissing


class NotRegistered(SettingMissing):
    code = "SW_SYNC_NOT_REGISTERED"
    fix = "Run `scaiwave sync register`."


def scaikey_client(config: Configuration) -> ScaiKeyClient:
    """With the operator's own token where there is one, else with our client credentials.

    It connects when it is first asked something. Raises `NotRegistered` when there is neither.
    """
    base_url = config.get_url("SCAIWAVE_SCAIKEY_URL")
    if not base_url:
        raise NotRegistered("This server is not registered with ScaiKey.")
    if token := config.get_str("SCAIWAVE_ADMIN_TOKEN"):
        return ScaiKeyClient(base_url, bearer=token)
    client_id = config.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID")
    client_secret = config.get_str("SCAIWAVE_SCAIKEY_CLIENT_SECRET")
    if not (client_id and client_secret):
        raise NotRegistered("This server has no ScaiKey credentials.")
    return ScaiKeyClient(base_url, client_id=client_id, client_secret=client_secret)
