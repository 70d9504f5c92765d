"""A server that is registered with a sandbox of ScaiKey, where people can sign in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from cryptography.fernet import Fernet
from pytest_django import Settings

from scaiwave.auth import bearer
from scaiwave.auth.jwks_cache import JwksCache
from scaiwave.config import load
from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.clients import Client as ScaiKeyApplication
from scaiwave.sandbox.data.population import ListFilter
from scaiwave.site.access import SCAIKEY_BACKEND
from scaiwave.web.scaikey_sign_in import CALLBACK_PATH, endpoint_cache, token_failure

SCOPES = ("admin:read", "openid", "profile", "email")
ENCRYPTION_KEY = Fernet.generate_key().decode()
WITH_PASSWORD = "django.contrib.auth.backends.ModelBackend"


@dataclass
class ScaiKey:
    """The sandbox, and the application with which this server is registered there."""

    sandbox: Sandbox
    application: ScaiKeyApplication
    callback: str

    @property
    def client_id(self) -> str:
        return self.application.client_id

    def find_person(self, number: int = 0) -> dict[str, Any]:
        return find_person(self.sandbox, number)


def find_person(sandbox: Sandbox, number: int = 0) -> dict[str, Any]:
    """Return an active person of an active tenant."""
    rows, _ = sandbox.directory.list_users(ListFilter(kind="ACTIVE"), 0, 60)
    people = [msgspec.json.decode(row) for row in rows]
    active: list[dict[str, Any]] = [
        person
        for person in people
        if person["email"]
        and sandbox.directory.get_tenant_of_user(person["id"])["status"] == "ACTIVE"
    ]
    return active[number]


Register = Callable[..., ScaiKey]


@pytest.fixture(autouse=True)
def empty_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the keys and endpoints of other servers. Requests must use no proxy."""
    endpoint_cache.clear()
    token_failure.clear()
    monkeypatch.setattr(bearer, "_jwks_cache", JwksCache(bearer._fetch_jwks))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def register(sandbox: Sandbox, settings: Settings) -> Register:
    """Return a function that registers the server with this public address."""

    def register_server(public_url: str = "http://testserver", **more: str) -> ScaiKey:
        callback = public_url + CALLBACK_PATH
        application = sandbox.clients.issue(
            name="ScaiWave",
            app_scope="GLOBAL",
            app_type="WEB",
            target="",
            scopes=SCOPES,
            redirect_uris=[callback],
        )
        configure(
            settings,
            SCAIWAVE_PUBLIC_URL=public_url,
            SCAIWAVE_SCAIKEY_URL=sandbox.url,
            SCAIWAVE_SCAIKEY_CLIENT_ID=application.client_id,
            SCAIWAVE_SCAIKEY_CLIENT_SECRET=sandbox.clients.get_secret(application) or "",
            SCAIWAVE_SCAIKEY_ISSUER=sandbox.get_issuer(None),
            SCAIWAVE_SCAIKEY_REDIRECT_URI=callback,
            **more,
        )
        return ScaiKey(sandbox, application, callback)

    return register_server


@pytest.fixture
def scaikey(register: Register) -> ScaiKey:
    return register()


def configure(settings: Settings, **values: str) -> None:
    """Set what `scaiwave.settings` derives from such a configuration."""
    settings.CONFIG = load({"SCAIWAVE_ENCRYPTION_KEYS": ENCRYPTION_KEY, **values})
    settings.HAS_SCAIKEY_SIGN_IN = True
    settings.AUTHENTICATION_BACKENDS = [
        "axes.backends.AxesStandaloneBackend",
        SCAIKEY_BACKEND,
        WITH_PASSWORD,
    ]
