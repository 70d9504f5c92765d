"""Issuers of OpenID Connect that we did not write (oidc-provider), at the addresses of ScaiKey."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

PLATFORM = "/api/v1/platform"
DISCOVERY = f"{PLATFORM}/oauth/.well-known/openid-configuration"
JWKS = f"{PLATFORM}/.well-known/jwks.json"
TOKEN = f"{PLATFORM}/oauth/token"
CLIENT_ID = "scaiwave"
# With characters that change in a Basic header (RFC 6749, 2.3.1).
CLIENT_SECRET = "a secret+of 100% tests:/?"
PERSON = {
    "role": "super_admin",
    "name": "Eve Example",
    "given_name": "Eve",
    "family_name": "Example",
    "email": "eve@example.com",
    "email_verified": True,
}
Settings = dict[str, Any]


@functools.cache
def make_key(kid: str, alg: str = "RS256") -> Mapping[str, Any]:
    """Return a private key as a JWK; the same one for the same ID."""
    if alg == "ES256":
        jwk = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()), as_dict=True)
    else:
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        jwk = RSAAlgorithm.to_jwk(private, as_dict=True)
    parts = {name: value for name, value in jwk.items() if name not in ("key_ops", "kid")}
    return {**parts, "kid": kid, "use": "sig", "alg": alg}


def make_client(client_id: str = CLIENT_ID, **changes: Any) -> Settings:
    """Return the metadata of an application that fetches tokens for itself."""
    return {
        "client_id": client_id,
        "client_secret": CLIENT_SECRET,
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "response_types": [],
        "scope": "admin:read",
        **changes,
    }


def make_web_client(redirect_uri: str, client_id: str = CLIENT_ID, **changes: Any) -> Settings:
    """Return the metadata of an application that people sign in to."""
    web = {
        "grant_types": ["authorization_code"],
        "redirect_uris": [redirect_uri],
        "response_types": ["code"],
    }
    client = make_client(client_id, **{**web, **changes})
    return {name: value for name, value in client.items() if name != "scope"}


class IssuerBrowser(httpx.Client):
    """A browser at an issuer, with its session there."""

    def __init__(self) -> None:
        super().__init__(trust_env=False, timeout=60)

    def open(self, url: str | httpx.URL) -> httpx.Response:
        """Follow redirects of the issuer, up to a page or a redirect to somewhere else."""
        return self._follow(self.get(url))

    def submit(self, page: httpx.Response, **values: str) -> httpx.Response:
        """Send the form of a page."""
        action = re.search(r'<form[^>]* action="([^"]*)"', page.text)
        assert action, page.text
        hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page.text))
        return self._follow(self.post(page.url.join(action[1]), data={**hidden, **values}))

    def _follow(self, page: httpx.Response) -> httpx.Response:
        while page.is_redirect:
            target = page.url.join(page.headers["Location"])
            if (target.host, target.port) != (page.url.host, page.url.port):
                break
            page = self.get(target)
        return page

    def sign_in(self, url: str, person: str) -> str:
        """Open the address of a sign-in, enter the name, consent, and return where that leads."""
        page = self.submit(self.open(url), login=person, password="any")
        return self.submit(page).headers["Location"]


def sign_in(url: str, person: str) -> str:
    """Sign in as `IssuerBrowser.sign_in` does, in a browser of its own."""
    with IssuerBrowser() as browser:
        return browser.sign_in(url, person)


@dataclass
class Issuer:
    """A running issuer. Its first key signs, and all of them are listed."""

    url: str
    control: str
    settings: Settings
    _http: httpx.Client = field(repr=False)

    def change(self, **settings: Any) -> None:
        self.settings |= settings
        self._http.put(self.control, json=self.settings).raise_for_status()

    def set_keys(self, *keys: Mapping[str, Any]) -> None:
        self.change(jwks={"keys": keys})

    def count(self, path: str) -> int:
        """Return how many requests for the path there were."""
        return int(self._http.get(self.control).raise_for_status().json().get(path, 0))


@contextmanager
def run_issuer(server: str, *, clients: Sequence[Settings], **settings: Any) -> Iterator[Issuer]:
    """Run an issuer for the time of a test, with a key of its own unless `jwks` has some."""
    given = {
        "jwks": {"keys": [make_key("first")]},
        "clients": clients,
        "token_claims": {
            "app_scope": "GLOBAL",
            "platform_token": True,
            "token_type": "client_credentials",
        },
        "accounts": {"usr_eve": PERSON},
        **settings,
    }
    with httpx.Client(trust_env=False, timeout=60) as http:
        url = http.post(server, json=given).raise_for_status().json()["url"]
        control = f"{server}/{httpx.URL(url).port}"
        try:
            yield Issuer(url, control, given, http)
        finally:
            http.delete(control).raise_for_status()
