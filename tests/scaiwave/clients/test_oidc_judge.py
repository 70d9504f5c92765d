"""Client credentials judged by oidc-provider: our client gets tokens there, and we verify them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from scaiwave.auth import bearer
from scaiwave.auth.identify import identify_operator, verify_scaikey_token
from scaiwave.auth.jwks_cache import (
    MAX_AGE_SECONDS,
    UNKNOWN_KEY_SECONDS,
    JwksCache,
)
from scaiwave.auth.tokens import LEEWAY_SECONDS, Claims, verify_token
from scaiwave.clients.scaikey.auth import ClientCredentialsAuth
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.config import Configuration, load
from scaiwave.core.errors import ExpiredToken, InvalidToken, UpstreamUnauthorized
from scaiwave.core.operators import OperatorRole
from tests.issuers import (
    CLIENT_ID,
    CLIENT_SECRET,
    JWKS,
    TOKEN,
    Issuer,
    make_client,
    make_key,
    run_issuer,
)
from tests.scaiwave.clients.retry_policies import QUICK

pytestmark = [pytest.mark.oidc_provider, pytest.mark.ci]
RunIssuer = Callable[..., Issuer]


@pytest.fixture
def run(oidc_provider_url: str) -> Iterator[RunIssuer]:
    """Yield a function that runs an issuer with our application for the time of the test."""
    with ExitStack() as stack:

        def start(client: dict[str, Any] | None = None, **settings: Any) -> Issuer:
            running = run_issuer(oidc_provider_url, clients=[client or make_client()], **settings)
            return stack.enter_context(running)

        yield start


def connect(issuer: Issuer, secret: str = CLIENT_SECRET) -> ScaiKeyClient:
    return ScaiKeyClient(issuer.url, client_id=CLIENT_ID, client_secret=secret, retry_policy=QUICK)


def fetch_token(issuer: Issuer) -> str:
    with connect(issuer) as client:
        return get_auth(client).bearer()


def get_auth(client: ScaiKeyClient, **options: Any) -> ClientCredentialsAuth:
    return ClientCredentialsAuth(
        client.http,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        endpoints=client.endpoints,
        **options,
    )


def configure(issuer: Issuer, **more: str) -> Configuration:
    return load(
        {"SCAIWAVE_SCAIKEY_URL": issuer.url, "SCAIWAVE_SCAIKEY_CLIENT_ID": CLIENT_ID, **more}
    )


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_success_client_credentials(run: RunIssuer, alg: str) -> None:
    issuer = run(jwks={"keys": [make_key(alg, alg)]})
    with connect(issuer) as client:
        endpoints = client.endpoints()
        assert (endpoints.token, endpoints.jwks) == (issuer.url + TOKEN, issuer.url + JWKS)
        token = get_auth(client).bearer()
    claims = verify_scaikey_token(configure(issuer), token)
    assert (claims.subject, claims.client_id) == (CLIENT_ID, CLIENT_ID)
    assert (claims.scopes, claims.by_client) == (frozenset({"admin:read"}), True)
    assert [issuer.count(path) for path in (TOKEN, JWKS)] == [1, 1]


@pytest.mark.django_db
def test_success_the_token_is_that_of_an_operator(run: RunIssuer) -> None:
    issuer = run()
    config = configure(issuer, SCAIWAVE_ADMIN_TOKEN=fetch_token(issuer))
    operator = identify_operator(config)
    assert (operator.subject, operator.role) == (CLIENT_ID, OperatorRole.PLATFORM_READ)


@pytest.mark.parametrize(
    ("settings", "secret", "error"),
    [
        ({}, "wrong", "invalid_client"),
        ({"client_id": "other"}, CLIENT_SECRET, "invalid_client"),
        ({"scope": "admin:write"}, CLIENT_SECRET, "invalid_scope"),
        (
            {
                "grant_types": ["authorization_code"],
                "response_types": ["code"],
                "redirect_uris": ["https://chat.example.org/"],
            },
            CLIENT_SECRET,
            "invalid_request",
        ),
    ],
    ids=["wrong secret", "unknown client", "scope that it may not have", "other grant only"],
)
def test_fail_client_credentials(
    run: RunIssuer, settings: dict[str, Any], secret: str, error: str
) -> None:
    issuer = run(make_client(**settings))
    with connect(issuer, secret) as client, pytest.raises(UpstreamUnauthorized) as caught:
        client.get_user("usr_1")
    assert error in caught.value.message
    assert "SCAIWAVE_SCAIKEY_CLIENT_SECRET" in caught.value.fix
    assert issuer.count(TOKEN) == 1


def test_success_a_token_is_renewed_before_it_expires(run: RunIssuer) -> None:
    issuer = run(lifetime=600)
    now = 0.0
    with connect(issuer) as client:
        auth = get_auth(client, clock=lambda: now)
        first = auth.bearer()
        now = 569.0
        assert auth.bearer() == first
        now = 570.0
        assert auth.bearer() != first
    assert issuer.count(TOKEN) == 2


def test_fail_expired(run: RunIssuer) -> None:
    issuer = run(lifetime=600)
    token = fetch_token(issuer)
    expires = verify_scaikey_token(configure(issuer), token).expires_at
    with connect(issuer) as client:

        def verify(now: float) -> Claims:
            return verify_token(
                token,
                issuer=issuer.url,
                audience=CLIENT_ID,
                fetch_jwks=lambda _: client.fetch_jwks(),
                now=now,
            )

        assert verify(expires + LEEWAY_SECONDS - 1).subject == CLIENT_ID
        with pytest.raises(ExpiredToken):
            verify(expires + LEEWAY_SECONDS)


def test_fail_tokens_of_others(run: RunIssuer) -> None:
    issuer, foreign = run(), run()
    token = fetch_token(issuer)
    with pytest.raises(InvalidToken, match=r"another application \(audience\)"):
        verify_scaikey_token(configure(issuer, SCAIWAVE_SCAIKEY_AUDIENCE="another"), token)
    with pytest.raises(InvalidToken, match="not issued by"):
        verify_scaikey_token(configure(issuer), fetch_token(foreign))


class WebServer:
    """The HTTP API of a running web server, of which the test sets the time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.cache = JwksCache(bearer._fetch_jwks, clock=lambda: self.now)

    def is_accepted(self, token: str) -> bool:
        headers = {"Authorization": f"Bearer {token}"}
        response = Client().get("/v1/rooms/lobby/export", headers=headers)
        if response.status_code == HTTPStatus.UNAUTHORIZED:
            assert response.json()["error"]["code"] == "SW_AUTH_INVALID_TOKEN"
            return False
        assert response.json()["error"]["code"] == "SW_TENANT_NOT_FOUND"
        return True


@pytest.fixture
def server(db: None, monkeypatch: pytest.MonkeyPatch) -> WebServer:
    running = WebServer()
    monkeypatch.setattr(bearer, "_jwks_cache", running.cache)
    return running


@pytest.fixture
def issuer(run: RunIssuer, settings: Settings) -> Issuer:
    """Run an issuer for which the web server is configured."""
    running = run()
    settings.CONFIG = configure(running)
    return running


def test_success_a_rotation_accepts_old_tokens_until_their_key_is_removed(
    issuer: Issuer, server: WebServer
) -> None:
    old, new = make_key("old"), make_key("new")
    issuer.set_keys(old, new)  # It is published before it signs.
    by_old = fetch_token(issuer)
    assert server.is_accepted(by_old)
    issuer.set_keys(new, old)
    by_new = fetch_token(issuer)
    assert [server.is_accepted(token) for token in (by_old, by_new)] == [True, True]
    assert issuer.count(JWKS) == 1

    issuer.set_keys(new)
    server.now += MAX_AGE_SECONDS
    assert [server.is_accepted(token) for token in (by_old, by_new)] == [False, True]
    assert issuer.count(JWKS) == 2


def test_success_a_key_that_is_not_cached_is_fetched_at_once(
    issuer: Issuer, server: WebServer
) -> None:
    """Also if others were fetched a moment before, as by a server that has just started."""
    assert server.is_accepted(fetch_token(issuer))
    server.now += 1
    issuer.set_keys(make_key("second"), make_key("first"))
    assert server.is_accepted(fetch_token(issuer))
    assert issuer.count(JWKS) == 2


def test_fail_unknown_keys_are_not_fetched_for_each_request(
    issuer: Issuer, server: WebServer
) -> None:
    by_listed = fetch_token(issuer)
    assert server.is_accepted(by_listed)
    issuer.set_keys(make_key("unlisted"))
    by_unlisted = fetch_token(issuer)
    issuer.set_keys(make_key("first"))
    for _ in range(20):
        server.now += 1
        assert not server.is_accepted(by_unlisted)
    assert issuer.count(JWKS) == 2
    server.now += UNKNOWN_KEY_SECONDS
    assert not server.is_accepted(by_unlisted)
    assert issuer.count(JWKS) == 3
    assert server.is_accepted(by_listed)
    assert issuer.count(JWKS) == 3
