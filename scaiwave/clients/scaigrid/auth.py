"""Authentication at ScaiGrid, by an API key or by a service token from ScaiKey.

(ScaiGrid docs, getting-started/authentication and reference/authentication)

assumption: a service token is what ScaiKey returns for client credentials; no page states it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Unpack

from scaiwave.clients.http.client import ClientOptions
from scaiwave.clients.registration import get_missing_registration
from scaiwave.clients.scaikey.auth import TokenProvider
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.config import Configuration
from scaiwave.core.errors import CredentialsIncomplete, SettingInvalid, SettingMissing

_KEY = re.compile(r"sgk_[!-~]{8,500}")


def mask_credential(credential: str) -> str:
    """Return the first and last four characters, as in `sgk_…1234`; of a short one, none."""
    return f"{credential[:4]}…{credential[-4:]}" if len(credential) >= 16 else "…"


@dataclass(frozen=True)
class ApiKey(TokenProvider):
    """An API key of ScaiGrid, which does not expire."""

    key: str = field(repr=False)

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise SettingInvalid(
                "SCAIWAVE_SCAIGRID_API_KEY is not an API key of ScaiGrid.",
                fix="Set it to a key that begins with sgk_, or unset it to use a service token.",
            )

    @property
    def description(self) -> str:
        return f"the API key {mask_credential(self.key)}"

    def bearer(self) -> str:
        return self.key

    def close(self) -> None:
        """Do nothing: no connection is open."""


@dataclass(frozen=True)
class ServiceToken(TokenProvider):
    """ScaiKey's token for this server's client credentials, with its own connection."""

    client_id: str
    scaikey: ScaiKeyClient

    @property
    def description(self) -> str:
        return f"a service token of client {self.client_id}"

    def bearer(self) -> str:
        return self.scaikey.auth.bearer()

    def renew(self, rejected: str) -> bool:
        return self.scaikey.auth.renew(rejected)

    def close(self) -> None:
        self.scaikey.close()


GridAccess = ApiKey | ServiceToken


def load_access(config: Configuration, **options: Unpack[ClientOptions]) -> GridAccess:
    """Return this server's credential for ScaiGrid. Raises SettingMissing or SettingInvalid."""
    if key := config.get_str("SCAIWAVE_SCAIGRID_API_KEY"):
        return ApiKey(key)
    names = [f"SCAIWAVE_SCAIKEY_{name}" for name in ("URL", "CLIENT_ID", "CLIENT_SECRET")]
    if missing := [name for name in names if not config.get_str(name)]:
        state = get_missing_registration(config)
        is_named = isinstance(state, CredentialsIncomplete)  # Its message has the names.
        names_text = "" if is_named else f"{', '.join(missing)} not set. "
        raise SettingMissing(
            f"No credential for ScaiGrid: {names_text}{state.message}",
            fix=f"{state.fix} Or set SCAIWAVE_SCAIGRID_API_KEY.",
        )
    url, client_id, client_secret = (config.get_str(name) for name in names)
    scaikey = ScaiKeyClient(url, client_id=client_id, client_secret=client_secret, **options)
    return ServiceToken(client_id, scaikey)
