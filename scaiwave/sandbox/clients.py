"""OAuth clients, derived from the seed.

A client ID encodes the client's rights, authenticated by an HMAC under the seed, and the secret
is derived from the ID. So credentials issued before a restart stay valid after it without being
stored; redirect URIs stay registered only if the sandbox has a directory for its state. (ScaiKey's
IDs are opaque; this format is the sandbox's own.)
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass

SCOPES = ("admin:read", "admin:write", "openid", "profile", "email", "groups:read")
APP_SCOPES = ("GLOBAL", "PARTNER", "TENANT")
APP_TYPES = ("SERVICE", "WEB", "SPA", "NATIVE")
CONFIDENTIAL_APP_TYPES = ("SERVICE", "WEB")


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """`target` is the ID of a PARTNER app's partner or a TENANT app's tenant, else empty.

    `redirect_uris` are where a person is sent after signing in, `post_logout_redirect_uris` where
    after signing out.
    """

    client_id: str
    application_id: str
    name: str
    app_scope: str
    app_type: str
    target: str
    scopes: tuple[str, ...]
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()

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
        self._redirects: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
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
        name: str,
        app_scope: str,
        app_type: str,
        target: str,
        scopes: Sequence[str],
        redirect_uris: Sequence[str] = (),
        post_logout_redirect_uris: Sequence[str] = (),
    ) -> Client:
        """Return a new client. Callers take care that no other thread does the same."""
        number = len(self._redirects) + 1
        flags = sum(1 << position for position, scope in enumerate(SCOPES) if scope in scopes)
        kind = f"{APP_SCOPES.index(app_scope)}{APP_TYPES.index(app_type)}"
        parts = f"{number}.{kind}.{flags}.{target}"
        client_id = f"{parts}.{self._seal(parts, 12)}"
        self.register_redirects(client_id, redirect_uris, post_logout_redirect_uris)
        return self._build_client(client_id, name)

    def register_redirects(
        self,
        client_id: str,
        redirect_uris: Sequence[str],
        post_logout_redirect_uris: Sequence[str],
    ) -> None:
        self._redirects[client_id] = tuple(redirect_uris), tuple(post_logout_redirect_uris)

    def _build_client(self, client_id: str, name: str) -> Client:
        _, kind, flags, target, _ = client_id.split(".")
        redirect_uris, post_logout_redirect_uris = self._redirects.get(client_id, ((), ()))
        return Client(
            client_id=client_id,
            application_id=f"app_{self._seal(f'app/{client_id}', 16)}",
            name=name,
            app_scope=APP_SCOPES[int(kind[0])],
            app_type=APP_TYPES[int(kind[1])],
            target=target,
            scopes=tuple(s for position, s in enumerate(SCOPES) if int(flags) >> position & 1),
            redirect_uris=redirect_uris,
            post_logout_redirect_uris=post_logout_redirect_uris,
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
