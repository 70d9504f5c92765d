"""The sandbox compared with oidc-provider: documents, tokens and errors, field by field.

Where they differ, `*_DIFFERENCES` have the reason, and fail once it no longer applies.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

import httpx
import jwt
import pytest

from scaiwave.sandbox import Sandbox
from tests.issuers import (
    CLIENT_SECRET,
    DISCOVERY,
    JWKS,
    PLATFORM,
    TOKEN,
    make_client,
    make_web_client,
    run_issuer,
    sign_in,
)
from tests.tenants.accounts.oidc.conftest import find_person
from tests.tenants.accounts.oidc.fake_browser import choose_person

pytestmark = [
    pytest.mark.oidc_provider,
    pytest.mark.ci,
    pytest.mark.sandbox(people=20, tenants=2, groups=1),
]
CALLBACK = "https://chat.example.org/oidc/callback/"
SCOPES = ("admin:read", "openid", "profile", "email")
VERIFIER = "v" * 43
CHALLENGE = "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"
AUTHORIZE, USERINFO, LOGOUT = (
    f"{PLATFORM}/oauth/{name}" for name in ("authorize", "userinfo", "logout")
)
CLIENT_GRANT = {"grant_type": "client_credentials", "scope": "admin:read"}
Form = dict[str, Any]


@dataclass
class Server:
    """One of the two, with a SERVICE and a WEB application that are registered there."""

    url: str
    service: tuple[str, str]
    web: tuple[str, str]
    sign_in: Callable[[str], str]
    http: httpx.Client

    def post(
        self, path: str, form: Form, auth: tuple[str, str] | None, **options: Any
    ) -> httpx.Response:
        if auth:
            options["auth"] = (quote_plus(auth[0]), quote_plus(auth[1]))
        return self.http.post(self.url + path, data=form, **options)

    def build_authorize_url(self, **changes: str | list[str] | None) -> str:
        query = {
            "client_id": self.web[0],
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": "openid profile email",
            "state": "state",
            "nonce": "nonce",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        given = {name: value for name, value in query.items() if value is not None}
        return f"{self.url}{AUTHORIZE}?{urlencode(given, doseq=True)}"

    def fetch_code(self, **changes: str) -> str:
        back = self.sign_in(self.build_authorize_url(**changes))
        return dict(parse_qsl(urlsplit(back).query))["code"]

    def redeem(self, form: Form) -> httpx.Response:
        return self.post(TOKEN, form, self.web)

    def fetch_tokens(self, **changes: str) -> dict[str, Any]:
        answer = self.redeem(build_code_form(self.fetch_code(**changes)))
        return dict(answer.raise_for_status().json())

    def get_userinfo(self, authorization: str) -> httpx.Response:
        headers = {"Authorization": authorization} if authorization else {}
        return self.http.get(self.url + USERINFO, headers=headers)


@dataclass
class Servers:
    judge: Server
    sandbox: Server

    def ask(
        self, question: Callable[[Server], httpx.Response]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        return tuple(  # type: ignore[return-value]
            describe(question(server), server.url) for server in (self.judge, self.sandbox)
        )


@pytest.fixture
def servers(oidc_provider_url: str, sandbox: Sandbox) -> Iterator[Servers]:
    web = make_web_client(CALLBACK, "web", grant_types=["authorization_code", "refresh_token"])
    clients = [make_client("service"), web]
    application = sandbox.clients.issue(
        name="ScaiWave",
        app_scope="GLOBAL",
        app_type="WEB",
        target="",
        scopes=SCOPES,
        redirect_uris=[CALLBACK],
    )
    person = find_person(sandbox)["id"]
    with (
        run_issuer(oidc_provider_url, clients=clients) as issuer,
        httpx.Client(trust_env=False, timeout=60) as http,
    ):
        yield Servers(
            Server(
                issuer.url,
                ("service", CLIENT_SECRET),
                ("web", CLIENT_SECRET),
                lambda url: sign_in(url, "usr_eve"),
                http,
            ),
            Server(
                sandbox.url,
                (sandbox.client_id, sandbox.client_secret),
                (application.client_id, sandbox.clients.get_secret(application) or ""),
                lambda url: choose_person(url, sandbox_person=person),
                http,
            ),
        )


def describe(response: httpx.Response, url: str) -> dict[str, Any]:
    """Return what a client sees of a response, without texts, tokens and addresses."""
    location = response.headers.get("Location")
    if location is not None:
        return {"status": response.status_code, **describe_redirect(location, url)}
    media_type = response.headers["Content-Type"].partition(";")[0]
    body = response.json() if "json" in media_type else {}
    if "error" in body:
        body.pop("scope", None)  # An extension of the judge.
    scheme, _, challenge = response.headers.get("WWW-Authenticate", "").partition(" ")
    parameters = set(re.findall(r"(\w+)=", challenge))
    return {
        "status": response.status_code,
        "type": media_type,
        "members": {name: type(value) for name, value in body.items()},
        "error": body.get("error"),
        "cache": response.headers.get("Cache-Control"),
        "scheme": scheme,
        # Basic has no others (RFC 7617); the judge adds those of Bearer.
        "challenge": parameters & {"realm"} if scheme == "Basic" else parameters,
    }


def describe_redirect(location: str, url: str) -> dict[str, Any]:
    address = urlsplit(location)
    query = dict(parse_qsl(address.query))
    if location.startswith("/"):
        return {"to": "sign-in"}
    return {
        "to": location.partition("?")[0],
        "members": set(query),
        "error": query.get("error"),
        "state": query.get("state"),
        "iss": query.get("iss", "").replace(url, ""),
    }


def build_code_form(code: str, **changes: str | None) -> Form:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        **changes,
    }
    return {name: value for name, value in form.items() if value is not None}


DISCOVERY_LISTS = {
    "claims_supported": "each server lists its own claims",
    "scopes_supported": "each server lists its own scopes",
    "response_modes_supported": "the sandbox has only the mode that the suite uses",
}


def test_success_discovery(servers: Servers) -> None:
    judge, sandbox = (
        httpx.get(server.url + DISCOVERY, trust_env=False).json()
        for server in (servers.judge, servers.sandbox)
    )
    assert sandbox.keys() == judge.keys()
    for name, value in judge.items():
        if name in DISCOVERY_LISTS:
            assert {type(each) for each in sandbox[name]} == {str}
        elif isinstance(value, list):
            assert sorted(sandbox[name]) == sorted(value), name
        elif isinstance(value, str):
            own = sandbox[name].replace(servers.sandbox.url, "")
            assert own == value.replace(servers.judge.url, ""), name
        else:
            assert sandbox[name] is value, name


def test_success_keys(servers: Servers) -> None:
    def fetch(server: Server) -> httpx.Response:
        return server.http.get(server.url + JWKS)

    judge, sandbox = servers.ask(fetch)
    assert sandbox == judge
    ours, theirs = (fetch(server).json()["keys"][0] for server in (servers.sandbox, servers.judge))
    assert ours.keys() == theirs.keys()
    for name in ("kty", "use", "alg", "e"):
        assert ours[name] == theirs[name]


def basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


Question = Callable[[Server], httpx.Response]
TOKEN_REQUESTS: dict[str, Question] = {
    "client credentials": lambda s: s.post(TOKEN, CLIENT_GRANT, s.service),
    "wrong secret": lambda s: s.post(TOKEN, CLIENT_GRANT, (s.service[0], "wrong")),
    "unknown client": lambda s: s.post(TOKEN, CLIENT_GRANT, ("unknown", "secret")),
    "scope that it may not have": lambda s: s.post(
        TOKEN, {**CLIENT_GRANT, "scope": "openid"}, s.service
    ),
    "no grant": lambda s: s.post(TOKEN, {"scope": "admin:read"}, s.service),
    "unknown grant": lambda s: s.post(TOKEN, {"grant_type": "password"}, s.service),
    "another client_id": lambda s: s.post(TOKEN, {**CLIENT_GRANT, "client_id": "other"}, s.service),
    "its own client_id": lambda s: s.post(
        TOKEN, {**CLIENT_GRANT, "client_id": s.service[0]}, s.service
    ),
    "a repeated parameter": lambda s: s.post(
        TOKEN,
        {**CLIENT_GRANT, "scope": ["admin:read", "admin:read"]},
        s.service,
    ),
    "JSON": lambda s: s.http.post(s.url + TOKEN, json=CLIENT_GRANT, auth=s.service),
    "no credentials": lambda s: s.post(TOKEN, CLIENT_GRANT, None),
    "another scheme": lambda s: s.post(
        TOKEN, CLIENT_GRANT, None, headers={"Authorization": "Bearer x"}
    ),
    "no secret": lambda s: s.post(TOKEN, CLIENT_GRANT, None, headers=basic("service:")),
    "no colon": lambda s: s.post(TOKEN, CLIENT_GRANT, None, headers=basic("service")),
    "unknown scope": lambda s: s.post(TOKEN, {**CLIENT_GRANT, "scope": "everything"}, s.service),
    "no scope": lambda s: s.post(TOKEN, {"grant_type": "client_credentials"}, s.service),
    "a grant that it may not use": lambda s: s.post(TOKEN, build_code_form("x"), s.service),
    "code": lambda s: s.redeem(build_code_form(s.fetch_code())),
    "code without openid": lambda s: s.redeem(
        build_code_form(s.fetch_code(scope="profile", nonce=""))
    ),
    "unknown code": lambda s: s.redeem(build_code_form("x")),
    "no code": lambda s: s.redeem({"grant_type": "authorization_code", "redirect_uri": CALLBACK}),
    "another redirect_uri": lambda s: s.redeem(
        build_code_form(s.fetch_code(), redirect_uri="https://evil.example/")
    ),
    "no redirect_uri": lambda s: s.redeem(build_code_form(s.fetch_code(), redirect_uri=None)),
    "another verifier": lambda s: s.redeem(build_code_form(s.fetch_code(), code_verifier="w" * 43)),
    "short verifier": lambda s: s.redeem(build_code_form(s.fetch_code(), code_verifier="w")),
    "verifier with a space": lambda s: s.redeem(
        build_code_form(s.fetch_code(), code_verifier="w" * 43 + " ")
    ),
    "no verifier": lambda s: s.redeem(build_code_form(s.fetch_code(), code_verifier=None)),
    "no refresh token": lambda s: s.redeem({"grant_type": "refresh_token"}),
    "unknown refresh token": lambda s: s.redeem(
        {"grant_type": "refresh_token", "refresh_token": "x"}
    ),
    "refresh": lambda s: refresh(s, s.fetch_tokens()),
    "refresh with less": lambda s: refresh(s, s.fetch_tokens(), scope="openid"),
    "refresh with more": lambda s: refresh(s, s.fetch_tokens(), scope="openid admin:read"),
}
# What RFC 6749 asks for in 5.2 and 3.3, or allows; ScaiKey's documentation says nothing about it.
TOKEN_DIFFERENCES: dict[str, tuple[dict[str, Any], str]] = {
    "no credentials": (
        {"status": 401, "error": "invalid_client", "scheme": "Basic"},
        "invalid_client is also for no client authentication (5.2)",
    ),
    "another scheme": (
        {"status": 401, "error": "invalid_client", "scheme": "Basic"},
        "a failed attempt with the header is a 401 with the scheme (5.2)",
    ),
    "no secret": (
        {"status": 401, "error": "invalid_client", "scheme": "Basic"},
        "a failed attempt with the header is a 401 with the scheme (5.2)",
    ),
    "no colon": (
        {"status": 401, "error": "invalid_client", "scheme": "Basic"},
        "a failed attempt with the header is a 401 with the scheme (5.2)",
    ),
    "unknown scope": (
        {"status": 400, "error": "invalid_scope"},
        "a server may ignore unknown scopes or refuse them (3.3)",
    ),
    "no scope": (
        {"members": {"access_token": str, "token_type": str, "expires_in": int, "scope": str}},
        "scope is optional at ScaiKey, whose answer always has it",
    ),
    "a grant that it may not use": (
        {"status": 400, "error": "unauthorized_client"},
        "unauthorized_client is for this (5.2)",
    ),
    "no verifier": (
        {"status": 400, "error": "invalid_request"},
        "invalid_request is for missing parameters (5.2)",
    ),
}


def refresh(server: Server, tokens: dict[str, Any], **more: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"], **more}
    return server.redeem(form)


@pytest.mark.parametrize("name", TOKEN_REQUESTS)
def test_success_token_requests(servers: Servers, name: str) -> None:
    judge, sandbox = servers.ask(TOKEN_REQUESTS[name])
    if sandbox["error"]:
        assert sandbox["members"] == {"error": str, "error_description": str}
    if name not in TOKEN_DIFFERENCES:
        assert sandbox == judge
        return
    difference, _ = TOKEN_DIFFERENCES[name]
    assert {part: sandbox[part] for part in difference} == difference
    assert {part: judge[part] for part in difference} != difference


AUTHORIZE_REQUESTS: dict[str, dict[str, Any]] = {
    "no state": {"state": None, "prompt": "none"},
    "no one is signed in": {"prompt": "none"},
    "none with others": {"prompt": "none login"},
    "unknown prompt": {"prompt": "perhaps"},
    "max_age that is not a number": {"max_age": "x"},
    "negative max_age": {"max_age": "-1"},
    "unknown client": {"client_id": "unknown"},
    "another redirect_uri": {"redirect_uri": "https://evil.example/"},
    "no redirect_uri": {"redirect_uri": None},
    "no challenge": {"code_challenge": None},
    "no PKCE": {"code_challenge": None, "code_challenge_method": None},
    "plain": {"code_challenge_method": "plain"},
    "no method": {"code_challenge_method": None},
    "short challenge": {"code_challenge": "x"},
    "no response_type": {"response_type": None},
    "scope that no one may have, and prompt": {"scope": "openid everything", "prompt": "none"},
    "request": {"request": "x"},
    "request_uri": {"request_uri": "https://chat.example.org/x"},
    "registration": {"registration": "{}"},
    "a repeated parameter": {"state": ["a", "b"]},
    "a repeated nonce": {"nonce": ["a", "b"]},
}


@pytest.mark.parametrize("name", AUTHORIZE_REQUESTS)
def test_success_authorisation_requests(servers: Servers, name: str) -> None:
    changes = AUTHORIZE_REQUESTS[name]
    judge, sandbox = servers.ask(
        lambda server: server.http.get(server.build_authorize_url(**changes))
    )
    # It describes some errors more, and names the scope that is refused.
    extra = {"error_description", "scope"}
    assert set(sandbox["members"]) - extra == set(judge["members"]) - extra
    assert sandbox | {"members": None} == judge | {"members": None}


def test_success_answer_to_a_sign_in(servers: Servers) -> None:
    judge, sandbox = (
        describe_redirect(server.sign_in(server.build_authorize_url()), server.url)
        for server in (servers.judge, servers.sandbox)
    )
    assert sandbox == judge
    assert sandbox["members"] == {"code", "state", "iss"}


USERINFO_REQUESTS: dict[str, Question] = {
    "access token": lambda s: s.get_userinfo(f"Bearer {s.fetch_tokens()['access_token']}"),
    "unknown token": lambda s: s.get_userinfo("Bearer x"),
    "token without openid": lambda s: s.get_userinfo(
        f"Bearer {s.fetch_tokens(scope='profile', nonce='')['access_token']}"
    ),
    "revoked by using the code twice": lambda s: s.get_userinfo(
        f"Bearer {use_code_twice(s)['access_token']}"
    ),
    "revoked by using the refresh token twice": lambda s: s.get_userinfo(
        f"Bearer {use_refresh_token_twice(s)['access_token']}"
    ),
}


def use_code_twice(server: Server) -> dict[str, Any]:
    form = build_code_form(server.fetch_code())
    tokens: dict[str, Any] = server.redeem(form).raise_for_status().json()
    assert server.redeem(form).json()["error"] == "invalid_grant"
    return tokens


def use_refresh_token_twice(server: Server) -> dict[str, Any]:
    first = server.fetch_tokens()
    second: dict[str, Any] = refresh(server, first).raise_for_status().json()
    assert refresh(server, first).json()["error"] == "invalid_grant"
    return second


@pytest.mark.parametrize("name", USERINFO_REQUESTS)
def test_success_userinfo(servers: Servers, name: str) -> None:
    judge, sandbox = servers.ask(USERINFO_REQUESTS[name])
    if sandbox["error"] is None:
        # The judge also has the role here, since its access tokens are opaque.
        del judge["members"]["role"]
    assert sandbox == judge


@pytest.mark.parametrize("authorization", ["", "Basic eDp5"])
def test_success_userinfo_without_a_token(servers: Servers, authorization: str) -> None:
    """By the example in RFC 6750, 3, this is a 401; the judge sees an invalid request in it."""
    judge, sandbox = servers.ask(lambda server: server.get_userinfo(authorization))
    assert (sandbox["status"], judge["status"]) == (401, 400)
    assert (sandbox["scheme"], sandbox["challenge"]) == ("Bearer", {"realm"})
    assert judge["scheme"] == "Bearer"


def test_success_id_tokens(servers: Servers) -> None:
    judge, sandbox = (decode_id_token(server) for server in (servers.judge, servers.sandbox))
    (judge_header, judge_claims), (header, claims) = judge, sandbox
    assert header.keys() == judge_header.keys()
    assert (header["typ"], header["alg"]) == (judge_header["typ"], judge_header["alg"])
    # The judge repeats the profile, and has auth_time and sid only if they are asked for.
    profile = servers.judge.get_userinfo(
        f"Bearer {servers.judge.fetch_tokens()['access_token']}"
    ).json()
    names = judge_claims.keys() - (profile.keys() - {"sub"})
    assert claims.keys() == names | {"auth_time", "sid"}
    for name in names:
        assert type(claims[name]) is type(judge_claims[name]), name


def decode_id_token(server: Server) -> tuple[dict[str, Any], dict[str, Any]]:
    token = server.fetch_tokens()["id_token"]
    keys = jwt.PyJWKSet.from_dict(server.http.get(server.url + JWKS).json())
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(
        token, keys[header["kid"]], algorithms=[header["alg"]], audience=server.web[0]
    )
    return header, claims


LOGOUT_REQUESTS: dict[str, Callable[[Server], dict[str, str]]] = {
    "no one": lambda s: {},
    "hint": lambda s: {"id_token_hint": s.fetch_tokens()["id_token"]},
    "no token": lambda s: {"id_token_hint": "x"},
    "hint of another client": lambda s: {
        "id_token_hint": s.fetch_tokens()["id_token"],
        "client_id": s.service[0],
    },
    "address that is not registered": lambda s: {
        "client_id": s.web[0],
        "post_logout_redirect_uri": "https://evil.example/",
    },
}


@pytest.mark.parametrize("name", LOGOUT_REQUESTS)
def test_success_end_of_a_session(servers: Servers, name: str) -> None:
    """The judge asks the person on a page before, and describes errors as JSON."""
    judge, sandbox = servers.ask(
        lambda server: server.http.get(server.url + LOGOUT, params=LOGOUT_REQUESTS[name](server))
    )
    assert sandbox["status"] == judge["status"]
