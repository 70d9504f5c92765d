"""OAuth clients, derived from the seed.

A client ID encodes what the client may do, authenticated by an HMAC under the seed, and the secret
is derived from the ID. So credentials issued before a restart stay valid after it without being
stored. (ScaiKey's IDs are opaque; this format is the sandbox's own.)
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

SCOPES = ("admin:read", "admin:write", "openid", "profile", "email", "groups:read")
APP_SCOPES = ("GLOBAL", "PARTNER", "TENANT")
APP_TYPES = ("SERVICE", "WEB", "SPA", "NATIVE")
CONFIDENTIAL_APP_TYPES = ("SERVICE", "WEB")


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """`target` is the ID of a PARTNER app's partner or a TENANT app's tenant, else empty."""

    client_id: str
    application_id: str
    name: str
    app_scope: str
    app_type: str
    target: str
    scopes: tuple[str, ...]

    @property
    def partner_id(self) -> str | None:
        return self.target if self.app_scope == "PARTNER" else None

    @property
    def tenant_id(self) -> str | None:
        return self.target if self.app_scope == "TENANT" else None


class Clients:
    """The fixed client, and the clients that registration issues."""

    def __init__(self, *, seed: int, client_id: str, client_secret: str) -> None:
        self._key = f"scaikey sandbox {seed}".encode()
        client_id = client_id or f"sandbox-{self._seal('client', 12)}"
        self._fixed_secret = client_secret or self._seal(f"secret/{client_id}", 40)
        self.fixed = Client(
            client_id=client_id,
            application_id=f"app_{self._seal(f'app/{client_id}', 16)}",
            name="ScaiWave (sandbox)",
            app_scope="GLOBAL",
            app_type="SERVICE",
            target="",
            scopes=SCOPES[:2],
        )

    def _seal(self, text: str, length: int) -> str:
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:length]

    def issue(
        self,
        *,
        number: int,
        name: str,
        app_scope: str,
        app_type: str,
        target: str,
        scopes: list[str],
    ) -> Client:
        """Return the client of the registration with this number."""
        flags = sum(1 << position for position, scope in enumerate(SCOPES) if scope in scopes)
        kind = f"{APP_SCOPES.index(app_scope)}{APP_TYPES.index(app_type)}"
        parts = f"{number}.{kind}.{flags}.{target}"
        return self._build_client(f"{parts}.{self._seal(parts, 12)}", name)

    def _build_client(self, client_id: str, name: str) -> Client:
        _, kind, flags, target, _ = client_id.split(".")
        return Client(
            client_id=client_id,
            application_id=f"app_{self._seal(f'app/{client_id}', 16)}",
            name=name,
            app_scope=APP_SCOPES[int(kind[0])],
            app_type=APP_TYPES[int(kind[1])],
            target=target,
            scopes=tuple(s for position, s in enumerate(SCOPES) if int(flags) >> position & 1),
        )

    def find(self, client_id: str) -> Client | None:
        if client_id == self.fixed.client_id:
            return self.fixed
        parts, _, seal = client_id.rpartition(".")
        if parts.count(".") != 3 or not hmac.compare_digest(
            self._seal(parts, 12).encode(), seal.encode()
        ):
            return None
        return self._build_client(client_id, "ScaiWave")

    def get_secret(self, client: Client) -> str | None:
        """Return the client's secret; None for SPA and NATIVE apps, which have none."""
        if client.app_type not in CONFIDENTIAL_APP_TYPES:
            return None
        if client == self.fixed:
            return self._fixed_secret
        return self._seal(f"secret/{client.client_id}", 40)

    def authenticate(self, client_id: str, secret: str) -> Client | None:
        client = self.find(client_id)
        expected = self.get_secret(client) if client else None
        matches = expected is not None and hmac.compare_digest(expected.encode(), secret.encode())
        return client if matches else None
