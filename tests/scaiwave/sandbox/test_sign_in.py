"""Sign-in with the code flow, by a client library that is not part of this suite (Authlib).

Errors of each endpoint: test_oidc_judge.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.django_client import OAuth
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from django.test import RequestFactory

from scaiwave.sandbox import Sandbox
from tests.scaiwave.sandbox.helpers import ADMIN, SMALL, make_client, walk
from tests.scaiwave.sandbox.test_registration import register_approved

PLATFORM = "/api/v1/platform"
CALLBACK = "https://chat.example.org/oidc/callback/"
SIGNED_OUT = "https://chat.example.org/"
WEB: dict[str, Any] = {
    "application_type": "WEB",
    "redirect_uris": [CALLBACK, "https://chat.example.org/back?from=scaikey"],
    "post_logout_redirect_uris": [SIGNED_OUT],
    "requested_scopes": ["admin:read", "openid", "profile", "email"],
}
FORM = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests, which Authlib uses, reads the proxies of the environment."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@dataclass
class Browser:
    """A browser that follows no redirect, and the server's session in it."""

    api: httpx.Client
    session: dict[str, Any] = field(default_factory=dict)

    def get(self, url: str) -> httpx.Response:
        return self.api.get(url)

    def choose(self, page: httpx.Response, **choice: str) -> httpx.Response:
        """Send the form of the sign-in page, with everything that is hidden in it."""
        form = page.text.partition("<ul>")[0].rpartition("<form")[2]
        fields = {name: value.replace("&amp;", "&") for name, value in FORM.findall(form)}
        return self.api.post(page.url.copy_with(query=None), data={**fields, **choice})

    def request(self, url: str = "/") -> Any:
        """Return a request to this server, as Django's views get it."""
        request = RequestFactory().get(url)
        request.session = self.session  # type: ignore[assignment]
        return request


@dataclass
class Application:
    """An application that is registered with the sandbox, with its client of Authlib."""

    sandbox: Sandbox
    api: httpx.Client
    credentials: dict[str, Any]
    metadata_path: str = f"{PLATFORM}/oauth/.well-known/openid-configuration"

    def __post_init__(self) -> None:
        self.client = OAuth().register(
            "scaikey",
            client_id=self.credentials["client_id"],
            client_secret=self.credentials["client_secret"],
            server_metadata_url=f"{self.sandbox.url}{self.metadata_path}",
            client_kwargs={"scope": "openid profile email", "code_challenge_method": "S256"},
        )
        self.browser = Browser(self.api)

    def start(self, redirect_uri: str = CALLBACK, **extra: str) -> httpx.Response:
        """Return what the authorisation endpoint answers to the browser."""
        redirect = self.client.authorize_redirect(self.browser.request(), redirect_uri, **extra)
        return self.browser.get(redirect.url)

    def sign_in(self, user_id: str, redirect_uri: str = CALLBACK) -> httpx.Response:
        """Return the redirect after a person was chosen."""
        page = self.start(redirect_uri)
        assert page.status_code == 200
        return self.browser.choose(page, sandbox_person=user_id)

    def finish(self, redirect: httpx.Response) -> dict[str, Any]:
        """Let Authlib handle the callback: state, token request, ID token with nonce."""
        request = self.browser.request(redirect.headers["Location"])
        token: dict[str, Any] = self.client.authorize_access_token(request)
        return token

    def redeem(self, form: dict[str, str]) -> httpx.Response:
        auth = (self.credentials["client_id"], self.credentials["client_secret"])
        return self.api.post(f"{PLATFORM}/oauth/token", data=form, auth=auth)

    def get_userinfo(self, token: dict[str, Any]) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token['access_token']}"}
        return self.api.get(f"{PLATFORM}/oauth/userinfo", headers=headers)


@pytest.fixture
def application(sandbox: Sandbox) -> Iterator[Application]:
    with make_client(sandbox) as client:
        yield Application(sandbox, client, register_approved(client, **WEB))


@pytest.fixture
def person(sandbox: Sandbox, api: httpx.Client) -> dict[str, Any]:
    return next(
        row
        for row in walk(api, f"{ADMIN}/users/", status="ACTIVE")
        if row.get("display_name") and row["first_name"]
    )


def get_query(redirect: httpx.Response) -> dict[str, str]:
    assert redirect.status_code == 303
    return dict(parse_qsl(urlsplit(redirect.headers["Location"]).query))


def test_success_sign_in(
    sandbox: Sandbox, application: Application, person: dict[str, Any]
) -> None:
    redirect = application.sign_in(person["id"])
    assert redirect.headers["Location"].startswith(f"{CALLBACK}?code=")
    assert get_query(redirect).keys() == {"code", "state", "iss"}
    assert get_query(redirect)["iss"] == sandbox.url

    token = application.finish(redirect)
    claims = token["userinfo"]
    assert (claims["sub"], claims["aud"]) == (person["id"], application.credentials["client_id"])
    assert claims["nonce"]
    assert claims["at_hash"]
    assert application.client.userinfo(token=token) == {
        "sub": person["id"],
        "name": person["display_name"],
        "given_name": person["first_name"],
        "family_name": person["last_name"],
        "email": person["email"],
        "email_verified": True,
    }


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_success_either_algorithm(alg: str) -> None:
    with Sandbox(**SMALL, alg=alg) as sandbox, make_client(sandbox) as client:
        application = Application(sandbox, client, register_approved(client, **WEB))
        user_id = walk_people(sandbox)[0]["id"]
        assert application.finish(application.sign_in(user_id))["userinfo"]["sub"] == user_id


def walk_people(sandbox: Sandbox, tenant_id: str = "") -> list[dict[str, Any]]:
    with make_client(sandbox, sandbox.issue_token(role="super_admin")) as client:
        rows = walk(client, f"{ADMIN}/users/", status="ACTIVE")
    return [row for row in rows if tenant_id in ("", row["tenant_id"])]


def test_success_keys_are_rotated(
    sandbox: Sandbox, application: Application, person: dict[str, Any]
) -> None:
    application.finish(application.sign_in(person["id"]))
    sandbox.rotate_keys()
    token = application.finish(application.sign_in(person["id"]))
    assert token["userinfo"]["sub"] == person["id"]


def test_success_redirect_uri_with_a_query(
    application: Application, person: dict[str, Any]
) -> None:
    redirect = application.sign_in(person["id"], "https://chat.example.org/back?from=scaikey")
    assert get_query(redirect).keys() == {"from", "code", "state", "iss"}
    assert application.finish(redirect)["userinfo"]["sub"] == person["id"]


@pytest.mark.parametrize("scope", ["TENANT", "PARTNER"])
def test_success_tenant_endpoints(sandbox: Sandbox, api: httpx.Client, scope: str) -> None:
    tenant = walk(api, f"{ADMIN}/tenants/")[0]
    partner = api.get(f"{ADMIN}/partners/{tenant['partner_id']}").json()
    slugs = {"tenant_slug": tenant["slug"], "partner_slug": partner["slug"]}
    with make_client(sandbox) as client:
        application = Application(
            sandbox,
            client,
            register_approved(client, **WEB, scope=scope, **slugs),
            f"/api/v1/auth/tenants/{tenant['slug']}/.well-known/openid-configuration",
        )
        user_id = walk_people(sandbox, tenant_id=tenant["id"])[0]["id"]
        claims = application.finish(application.sign_in(user_id))["userinfo"]
        assert claims["iss"] == f"{sandbox.url}/tenants/{tenant['id']}"
        stranger = next(row for row in walk_people(sandbox) if row["tenant_id"] != tenant["id"])
        page = application.sign_in(stranger["id"])
    assert page.status_code == 400
    assert "can&#x27;t sign in" in page.text
    assert stranger["email"] not in page.text


def test_success_access_token_of_an_administrator(
    sandbox: Sandbox, application: Application, person: dict[str, Any]
) -> None:
    """The token of a signed-in person is one that the admin API and this suite accept."""
    sandbox.mutate("set_roles", user_id=person["id"], roles=["editor", "tenant_admin"])
    token = application.finish(application.sign_in(person["id"]))
    with make_client(sandbox, token["access_token"]) as client:
        me = client.get(f"{ADMIN}/auth/me").json()
    assert (me["id"], me["role"], me["tenant_id"]) == (
        person["id"],
        "tenant_admin",
        person["tenant_id"],
    )


def test_success_page_lists_and_searches_people(
    sandbox: Sandbox, application: Application, person: dict[str, Any]
) -> None:
    names = {"display_name": '<b>"Anna"</b>', "email": "anna@search.example"}
    sandbox.mutate("update_user", user_id=person["id"], **names)
    page = application.start(login_hint="anna@search.example")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Cache-Control"] == "no-store"
    assert page.text.count('name="sandbox_person"') == 1
    assert "&lt;b&gt;&quot;Anna&quot;&lt;/b&gt;" in page.text
    everyone = application.browser.choose(page, sandbox_search="")
    assert everyone.text.count('name="sandbox_person"') == 50
    assert "50 of 1" in everyone.text
    redirect = application.browser.choose(everyone, sandbox_person=person["id"])
    assert application.finish(redirect)["userinfo"]["sub"] == person["id"]


def test_success_redirect_uris_outlive_a_restart(tmp_path: Path) -> None:
    with Sandbox(**SMALL, state_dir=tmp_path) as sandbox, make_client(sandbox) as client:
        credentials = register_approved(client, **WEB)
    with Sandbox(**SMALL, state_dir=tmp_path) as sandbox, make_client(sandbox) as client:
        application = Application(sandbox, client, credentials)
        user_id = walk_people(sandbox)[0]["id"]
        assert application.finish(application.sign_in(user_id))["userinfo"]["sub"] == user_id
        assert register_approved(client, **WEB)["client_id"] != credentials["client_id"]


def test_success_declined(application: Application) -> None:
    redirect = application.browser.choose(application.start(), sandbox_decision="deny")
    with pytest.raises(OAuthError) as caught:
        application.finish(redirect)
    assert caught.value.error == "access_denied"


def test_success_refresh(
    sandbox: Sandbox, application: Application, person: dict[str, Any]
) -> None:
    first = application.finish(application.sign_in(person["id"]))
    second = application.client.fetch_access_token(
        grant_type="refresh_token", refresh_token=first["refresh_token"]
    )
    assert second["refresh_token"] != first["refresh_token"]
    claims = application.client.parse_id_token(second, nonce=None)
    assert (claims["sub"], claims["auth_time"]) == (
        person["id"],
        first["userinfo"]["auth_time"],
    )
    assert application.get_userinfo(second).status_code == 200
    # The first one again, by a thief or after it was stolen: both lose access.
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    assert application.redeem(form).json()["error"] == "invalid_grant"
    form = {"grant_type": "refresh_token", "refresh_token": second["refresh_token"]}
    assert application.redeem(form).json()["error"] == "invalid_grant"
    assert application.get_userinfo(second).status_code == 401


def test_success_suspended_person_loses_access(
    sandbox: Sandbox, application: Application, person: dict[str, Any]
) -> None:
    token = application.finish(application.sign_in(person["id"]))
    sandbox.mutate("suspend_user", user_id=person["id"])
    assert application.get_userinfo(token).status_code == 401
    form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    assert application.redeem(form).json() == {
        "error": "invalid_grant",
        "error_description": "The account is not active.",
    }
    assert application.sign_in(person["id"]).status_code == 400


def test_success_sign_out(
    sandbox: Sandbox, application: Application, person: dict[str, Any]
) -> None:
    token = application.finish(application.sign_in(person["id"]))
    request = application.browser.request()
    away = application.client.logout_redirect(request, SIGNED_OUT, token["id_token"])
    back = application.browser.get(away.url)
    assert back.headers["Location"].startswith(f"{SIGNED_OUT}?state=")
    callback = application.browser.request(back.headers["Location"])
    state = application.client.validate_logout_response(callback)
    assert state == {"post_logout_redirect_uri": SIGNED_OUT}
    assert application.get_userinfo(token).status_code == 401
    with make_client(sandbox, token["access_token"]) as client:
        assert client.get(f"{ADMIN}/auth/me").status_code == 401


def test_success_sign_out_without_redirect(
    sandbox: Sandbox, application: Application, person: dict[str, Any]
) -> None:
    sandbox.token_lifetime = 0
    token = application.redeem(build_code_form(application, application.sign_in(person["id"])))
    page = application.api.get(
        f"{PLATFORM}/oauth/logout", params={"id_token_hint": token.json()["id_token"]}
    )
    assert (page.status_code, "You are signed out." in page.text) == (200, True)


def test_fail_redirect_uri_that_is_not_registered(application: Application) -> None:
    for uri in ("https://evil.example/", CALLBACK.rstrip("/"), f"{CALLBACK}?x=1", ""):
        page = application.start(uri)
        assert (page.status_code, "Location" in page.headers) == (400, False)
        assert "redirect_uri is not registered" in page.text


def test_fail_foreign_client_is_not_redirected(application: Application) -> None:
    application.client.client_id = "1.01.13..000000000000"
    page = application.start()
    assert (page.status_code, "Location" in page.headers) == (400, False)
    assert "Unknown client_id." in page.text


def test_fail_service_application(sandbox: Sandbox, api: httpx.Client) -> None:
    """The type with which this server registered before it could sign people in."""
    changes = {**WEB, "application_type": "SERVICE", "requested_scopes": ["admin:read"]}
    application = Application(sandbox, api, register_approved(api, **changes))
    redirect = application.start()
    assert get_query(redirect)["error"] == "unauthorized_client"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": "openid admin:write"}, "invalid_scope"),
        ({"scope": ""}, "invalid_scope"),
    ],
)
def test_fail_request_is_redirected_with_error(
    sandbox: Sandbox, application: Application, changes: dict[str, str], error: str
) -> None:
    query = {**build_authorization_query(application), **changes}
    redirect = application.api.get(f"{PLATFORM}/oauth/authorize", params=query)
    assert redirect.headers["Location"].startswith(f"{CALLBACK}?")
    answer = get_query(redirect)
    assert (answer["error"], answer["state"], answer["iss"]) == (error, "s1", sandbox.url)
    assert "code" not in answer


def build_authorization_query(application: Application, verifier: str = "v" * 43) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": application.credentials["client_id"],
        "redirect_uri": CALLBACK,
        "scope": "openid",
        "state": "s1",
        "code_challenge": create_s256_code_challenge(verifier),
        "code_challenge_method": "S256",
    }


def test_fail_repeated_parameter(application: Application) -> None:
    query = urlencode(build_authorization_query(application))
    redirect = application.api.get(f"{PLATFORM}/oauth/authorize?{query}&scope=email")
    assert get_query(redirect)["error"] == "invalid_request"
    page = application.api.get(
        f"{PLATFORM}/oauth/authorize?{query}&redirect_uri=https://evil.example/"
    )
    assert (page.status_code, "Location" in page.headers) == (400, False)


def build_code_form(
    application: Application, redirect: httpx.Response, **changes: str
) -> dict[str, str]:
    """Return the token request that Authlib would send for this redirect."""
    answer = get_query(redirect)
    state = application.browser.session[f"_state_scaikey_{answer['state']}"]["data"]
    return {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": state["redirect_uri"],
        "code_verifier": state["code_verifier"],
        **changes,
    }


def test_fail_code_used_again(
    sandbox: Sandbox, application: Application, person: dict[str, Any]
) -> None:
    redirect = application.sign_in(person["id"])
    form = build_code_form(application, redirect)
    token = application.finish(redirect)
    assert application.get_userinfo(token).status_code == 200
    assert application.redeem(form).json() == {
        "error": "invalid_grant",
        "error_description": "The code has been used or revoked.",
    }
    # Two parties have the code, so that the tokens of the first are revoked.
    response = application.get_userinfo(token)
    assert response.status_code == 401
    assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]
    form = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    assert application.redeem(form).json()["error"] == "invalid_grant"


def test_fail_code_ends_with_a_wrong_verifier(
    application: Application, person: dict[str, Any]
) -> None:
    form = build_code_form(application, application.sign_in(person["id"]))
    application.redeem({**form, "code_verifier": generate_token(48)})
    assert application.redeem(form).json()["error"] == "invalid_grant"


def test_fail_code_of_another_client(
    sandbox: Sandbox, application: Application, person: dict[str, Any]
) -> None:
    other = Application(sandbox, application.api, register_approved(application.api, **WEB))
    form = build_code_form(application, application.sign_in(person["id"]))
    assert other.redeem(form).json()["error"] == "invalid_grant"
    assert application.redeem(form).status_code == 200


def test_fail_expired_code(
    sandbox: Sandbox, application: Application, person: dict[str, Any]
) -> None:
    sandbox.grants.code_lifetime = 0
    with pytest.raises(OAuthError) as caught:
        application.finish(application.sign_in(person["id"]))
    assert caught.value.error == "invalid_grant"
    assert caught.value.description == "The code has expired."


def test_success_discovery_is_complete(application: Application) -> None:
    """Every endpoint of the document exists, and no more is promised than is supported."""
    document = application.client.load_server_metadata()
    for name in ("authorization", "token", "userinfo", "end_session"):
        path = urlsplit(document[f"{name}_endpoint"]).path
        assert application.api.get(path).status_code != 404
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["response_types_supported"] == ["code"]
    assert document["request_uri_parameter_supported"] is False
