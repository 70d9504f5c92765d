"""Answers to a sign-in that ScaiKey did not give: none of them lets anyone in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
import responses
from cryptography.hazmat.primitives.asymmetric import rsa
from django.http import HttpResponse
from django.test import Client
from mozilla_django_oidc.auth import OIDCAuthenticationBackend
from pytest_django import Settings

from scaiwave.sandbox import Sandbox
from tenants.models import AdminUser, AuditEntry
from tests.tenants.accounts.oidc.conftest import Register, ScaiKey

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(people=60, tenants=3, groups=3),
    pytest.mark.dated,
]
PLATFORM = "/api/v1/platform"
OWN_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
Claims = dict[str, Any]
Change = Callable[["Answer"], None]


class Answer:
    """What the token endpoint and userinfo answer, to be changed before it is sent."""

    def __init__(self, scaikey: ScaiKey, nonce: str) -> None:
        self.scaikey, self.sandbox = scaikey, scaikey.sandbox
        now = int(time.time())
        common = {
            "iss": self.sandbox.url,
            "sub": "usr_eve",
            "aud": scaikey.client_id,
            "iat": now,
            "exp": now + 300,
        }
        self.id: Claims = {**common, "nonce": nonce}
        self.access: Claims = {
            **common,
            "client_id": scaikey.client_id,
            "role": "super_admin",
            "scope": "openid profile email",
        }
        self.profile: Claims = {"sub": "usr_eve", "name": "Eve", "email": "eve@example.com"}
        self.sign_id: Callable[[Claims], str] = self.sandbox.keys.sign
        self.sign_access: Callable[[Claims], str] = self.sandbox.keys.sign

    def build(self) -> dict[str, Any]:
        return {
            "access_token": self.sign_access(self.access),
            "id_token": self.sign_id(self.id),
            "token_type": "Bearer",
        }


def nest(depth: int) -> list[Any]:
    """Return a document that is too deep for a recursive parser."""
    document: list[Any] = []
    for _ in range(depth):
        document = [document]
    return document


def begin(client: Client, target: str = "/admin/tenants/tenant/") -> dict[str, str]:
    """Begin a sign-in, and return the parameters with which the browser goes to ScaiKey."""
    there = client.get("/oidc/authenticate/", {"next": target})
    return dict(parse_qsl(urlsplit(there.headers["Location"]).query))


def come_back(
    scaikey: ScaiKey,
    client: Client,
    change: Change | None = None,
    target: str = "/admin/tenants/tenant/",
) -> HttpResponse:
    """Come back from ScaiKey, which answers with what `change` makes of a good answer."""
    sent = begin(client, target)
    answer = Answer(scaikey, sent["nonce"])
    if change is not None:
        change(answer)
    answer_with(scaikey.sandbox, token=answer.build(), userinfo=answer.profile)
    try:
        return finish(client, sent["state"], scaikey.sandbox.url)
    finally:
        scaikey.sandbox.faults.clear()


def answer_with(sandbox: Sandbox, **bodies: Any) -> None:
    """Let ScaiKey answer the requests to these endpoints with these bodies."""
    for endpoint, body in bodies.items():
        path = f"{PLATFORM}/oauth/{endpoint}"
        sandbox.faults.add("status", path=path, status=HTTPStatus.OK, body=body)


def finish(client: Client, state: str, issuer: str) -> HttpResponse:
    query = {"code": "code", "state": state, "iss": issuer}
    return client.get("/oidc/callback/", query)  # type: ignore[return-value]


def sign_with(key: Any, algorithm: str, **header: Any) -> Callable[[Claims], str]:
    return lambda claims: jwt.encode(claims, key, algorithm=algorithm, headers=header)


def sign_by_public_key(sandbox: Sandbox) -> Callable[[Claims], str]:
    """Sign with HS256, and ScaiKey's public key as the secret."""
    (listed, *_) = sandbox.keys.build_jwks()["keys"]
    secret = json.dumps(listed).encode()

    def sign(claims: Claims) -> str:
        parts = [{"alg": "HS256", "typ": "JWT", "kid": listed["kid"]}, claims]
        signed = ".".join(encode(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{encode(hmac.digest(secret, signed.encode(), hashlib.sha256))}"

    return sign


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def change_id(**claims: Any) -> Change:
    return lambda answer: answer.id.update(claims)


def drop_id(name: str) -> Change:
    return lambda answer: answer.id.__delitem__(name)


def change_access(**claims: Any) -> Change:
    return lambda answer: answer.access.update(claims)


def use_tenant_issuer(which: str) -> Change:
    def change(answer: Answer) -> None:
        tenant = next(iter(answer.sandbox.directory.tenants))
        claims = {"iss": answer.sandbox.get_issuer(tenant), "tenant_id": tenant}
        getattr(answer, which).update(claims)

    return change


def use_signature(which: str, build: Callable[[Answer], Callable[[Claims], str]]) -> Change:
    return lambda answer: setattr(answer, f"sign_{which}", build(answer))


def get_kid(answer: Answer) -> str:
    (listed, *_) = answer.sandbox.keys.build_jwks()["keys"]
    return str(listed["kid"])


FORGED: dict[str, Change] = {
    # The two that the library accepts, see below.
    "foreign audience": change_id(aud="another-application"),
    "foreign issuer": change_id(iss="https://other.example"),
    "client of the command line": lambda answer: answer.id.update(aud=answer.sandbox.client_id),
    "tenant's issuer": use_tenant_issuer("id"),
    "two audiences": lambda answer: answer.id.update(aud=[answer.id["aud"], "other"]),
    "two audiences, azp": lambda answer: answer.id.update(
        aud=[answer.id["aud"], "other"], azp=answer.id["aud"]
    ),
    "foreign azp": change_id(azp="another-application"),
    "no audience": drop_id("aud"),
    "wrong nonce": change_id(nonce="x" * 43),
    "no nonce": drop_id("nonce"),
    "empty nonce": change_id(nonce=""),
    "expired": lambda answer: answer.id.update(exp=time.time() - 120),
    "no expiry": drop_id("exp"),
    "not yet valid": lambda answer: answer.id.update(nbf=time.time() + 600),
    "issued in the future": lambda answer: answer.id.update(iat=time.time() + 600),
    "no time of issue": drop_id("iat"),
    "no subject": drop_id("sub"),
    "another access token": change_id(at_hash="AAAAAAAAAAAAAAAAAAAAAA"),
    "alg none": use_signature("id", lambda answer: sign_with(None, "none")),
    "HS256 with the public key": use_signature(
        "id", lambda answer: sign_by_public_key(answer.sandbox)
    ),
    "own key, known key id": use_signature(
        "id", lambda answer: sign_with(OWN_KEY, "RS256", kid=get_kid(answer))
    ),
    "own key, unknown key id": use_signature(
        "id", lambda answer: sign_with(OWN_KEY, "RS256", kid="unknown")
    ),
    "access token as ID token": lambda answer: setattr(answer, "id", answer.access),
    "logout token as ID token": use_signature(
        "id", lambda answer: sign_with(OWN_KEY, "RS256", typ="logout+jwt")
    ),
    "profile of someone else": lambda answer: answer.profile.update(sub="usr_other"),
    "access token of someone else": change_access(sub="usr_other"),
    "access token, foreign audience": change_access(aud="other", client_id="other"),
    "access token, foreign issuer": change_access(iss="https://other.example"),
    "access token of a tenant": use_tenant_issuer("access"),
    "access token, expired": lambda answer: answer.access.update(exp=time.time() - 120),
    "access token, alg none": use_signature("access", lambda answer: sign_with(None, "none")),
    "access token, own key": use_signature(
        "access", lambda answer: sign_with(OWN_KEY, "RS256", kid=get_kid(answer))
    ),
    "token of an application": change_access(
        token_type="client_credentials", platform_token=True, scope="admin:write"
    ),
    "very long subject": lambda answer: change_subject(answer, "x" * 201),
}


def change_subject(answer: Answer, subject: str) -> None:
    for claims in (answer.id, answer.access, answer.profile):
        claims["sub"] = subject


def test_success_a_good_answer_lets_the_person_in(scaikey: ScaiKey) -> None:
    client = Client()
    answer = come_back(scaikey, client)
    assert answer.headers["Location"] == "/admin/tenants/tenant/"
    account = AdminUser.objects.get()
    assert (account.scaikey_id, account.email, account.username) == (
        "usr_eve",
        "eve@example.com",
        "scaikey:usr_eve",
    )
    assert client.get("/admin/").status_code == HTTPStatus.OK


@pytest.mark.sandbox(people=60, tenants=3, groups=3, alg="ES256")
def test_success_the_other_algorithm_and_the_longest_id(scaikey: ScaiKey) -> None:
    for subject in ("x" * 200, f"{'x' * 199}y"):
        answer = come_back(scaikey, Client(), lambda each: change_subject(each, subject))  # noqa: B023
        assert answer.status_code == HTTPStatus.FOUND
    names = {account.username for account in AdminUser.objects.all()}
    assert len(names) == 2
    assert max(map(len, names)) <= 150


def test_success_the_command_line_may_have_another_audience(register: Register) -> None:
    scaikey = register(SCAIWAVE_SCAIKEY_AUDIENCE="another-application")
    assert come_back(scaikey, Client()).status_code == HTTPStatus.FOUND
    foreign = change_access(aud="another-application", client_id="another-application")
    assert come_back(scaikey, Client(), foreign).status_code == HTTPStatus.UNAUTHORIZED


def test_success_an_opaque_access_token_leaves_the_role_to_the_id_token(scaikey: ScaiKey) -> None:
    def change(answer: Answer) -> None:
        answer.sign_access = lambda claims: "opaque"
        answer.id["role"] = "tenant_admin"
        answer.id["tenant_id"] = "tnt_own"

    client = Client()
    assert come_back(scaikey, client, change).status_code == HTTPStatus.FOUND
    assert client.session["scaikey_operator"]["role"] == "tenant_admin"


def test_fail_forged_answers_let_no_one_in(scaikey: ScaiKey) -> None:
    for number, (name, change) in enumerate(FORGED.items()):
        client = Client(REMOTE_ADDR=f"198.51.100.{number}")
        answer = come_back(scaikey, client, change)
        assert answer.status_code == HTTPStatus.UNAUTHORIZED, name
        assert "SW_SIGN_IN_REJECTED" in answer.content.decode(), name
        assert "_auth_user_id" not in client.session, name
    assert not AdminUser.objects.exists()
    assert AuditEntry.objects.filter(action="sign-in-failed").count() == len(FORGED)


def test_fail_the_library_alone_accepts_a_foreign_audience_and_issuer(
    scaikey: ScaiKey, settings: Settings
) -> None:
    """If this fails, mozilla-django-oidc has begun to check them."""
    jwks_url = f"{scaikey.sandbox.url}{PLATFORM}/.well-known/jwks.json"
    settings.OIDC_OP_TOKEN_ENDPOINT = settings.OIDC_OP_USER_ENDPOINT = "https://unused.example"
    settings.OIDC_OP_JWKS_ENDPOINT = jwks_url
    settings.OIDC_RP_CLIENT_ID, settings.OIDC_RP_CLIENT_SECRET = scaikey.client_id, "secret"
    settings.OIDC_RP_SIGN_ALGO = "RS256"
    for name in ("foreign audience", "foreign issuer"):
        answer = Answer(scaikey, "nonce")
        FORGED[name](answer)
        token = answer.sign_id(answer.id)
        with responses.RequestsMock() as http:
            http.get(jwks_url, json=scaikey.sandbox.keys.build_jwks())
            assert OIDCAuthenticationBackend().verify_token(token, nonce="nonce") == answer.id


def test_fail_a_state_is_good_once_and_in_one_browser(scaikey: ScaiKey) -> None:
    client, issuer = Client(), scaikey.sandbox.url
    assert come_back(scaikey, client).status_code == HTTPStatus.FOUND
    sent = begin(client)
    victim = Client()
    for answer in (
        finish(victim, sent["state"], issuer),
        finish(victim, "", issuer),
        finish(client, "invented", issuer),
        victim.get("/oidc/callback/", {"error": "access_denied"}),
        victim.get("/oidc/callback/"),
    ):
        assert answer.status_code == HTTPStatus.BAD_REQUEST
        assert "SW_SIGN_IN_STATE_LOST" in answer.content.decode()
    # A stranger's link can't sign anyone out either.
    client.get("/oidc/callback/", {"error": "access_denied", "state": "invented"})
    assert client.get("/admin/").status_code == HTTPStatus.OK


def test_fail_the_answer_of_another_server(scaikey: ScaiKey) -> None:
    for issuer in ("https://other.example", "", f"{scaikey.sandbox.url}/tenants/tnt_own"):
        client = Client()
        state = begin(client)["state"]
        answer = finish(client, state, issuer)
        assert answer.status_code == HTTPStatus.UNAUTHORIZED
        assert "(iss)" in answer.content.decode()
        # The state is used up, also for a later answer of ScaiKey.
        again = finish(client, state, scaikey.sandbox.url)
        assert "SW_SIGN_IN_STATE_LOST" in again.content.decode()
    client = Client()
    state = begin(client)["state"]
    assert client.get("/oidc/callback/", {"code": "x", "state": state}).status_code == 401


def test_success_the_request_to_scaikey_is_bound_to_the_browser(scaikey: ScaiKey) -> None:
    sent = begin(Client())
    assert sent["redirect_uri"] == scaikey.callback
    assert (sent["response_type"], sent["scope"]) == ("code", "openid profile email")
    assert sent["code_challenge_method"] == "S256"
    assert min(len(sent[name]) for name in ("state", "nonce", "code_challenge")) == 43
    assert begin(Client(HTTP_HOST="localhost"))["redirect_uri"] == scaikey.callback


def test_fail_next_leads_to_this_server_only(scaikey: ScaiKey) -> None:
    for target in (
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "\\\\evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        "http://testserver:8443/admin/",
        "admin.evil.example",
        "\t//evil.example",
    ):
        assert come_back(scaikey, Client(), target=target).headers["Location"] == "/admin/", target


def test_success_a_session_gets_a_new_key_at_each_sign_in(scaikey: ScaiKey) -> None:
    client = Client()
    keys = []
    for _ in range(3):
        begin(client)
        keys.append(client.session.session_key)
        assert come_back(scaikey, client).status_code == HTTPStatus.FOUND
        keys.append(client.session.session_key)
    assert len(set(keys)) == 4  # one before, and one after each
    assert client.session.get_expire_at_browser_close()


def test_success_a_role_ends_with_its_token(scaikey: ScaiKey) -> None:
    for lifetime, least, most in ((300, 290, 300), (86_400, 3_590, 3_600)):
        client = Client()
        expires = int(time.time()) + lifetime
        come_back(scaikey, client, change_access(exp=expires))
        left = client.session["scaikey_operator"]["expires_at"] - time.time()
        assert least <= left <= most


def test_success_an_expired_session_goes_back_to_scaikey(scaikey: ScaiKey) -> None:
    client = Client()
    come_back(scaikey, client)
    session = client.session
    session["scaikey_operator"] = {**session["scaikey_operator"], "expires_at": time.time() - 1}
    session.save()
    first = client.get("/admin/tenants/tenant/?q=a")
    second = client.get(first.headers["Location"])
    assert second.headers["Location"].startswith("/oidc/authenticate/?next=%2Fadmin%2Ftenants")
    assert "_auth_user_id" not in client.session
    # Once: the sign-in page with the password can be reached too.
    assert client.get(first.headers["Location"]).status_code == HTTPStatus.OK


def test_fail_too_many_forged_answers_lock_the_address(scaikey: ScaiKey) -> None:
    statuses = [
        come_back(scaikey, Client(REMOTE_ADDR="203.0.113.9"), FORGED["foreign issuer"]).status_code
        for _ in range(6)
    ]
    assert statuses == [401, 401, 401, 401, 429, 429]
    assert come_back(scaikey, Client(REMOTE_ADDR="203.0.113.9")).status_code == 429
    client = Client(REMOTE_ADDR="203.0.113.9")
    assert finish(client, begin(client)["state"], "https://other.example").status_code == 429
    assert come_back(scaikey, Client(REMOTE_ADDR="203.0.113.10")).status_code == 302
    actions = [entry.action for entry in AuditEntry.objects.order_by("id")]
    assert actions == [*["sign-in-failed"] * 4, "sign-in-locked", "sign-in"]


def test_success_answers_with_an_error_lock_no_address(scaikey: ScaiKey) -> None:
    """Anyone can begin a sign-in and come back with an error, without a request to ScaiKey."""
    for _ in range(6):
        client = Client(REMOTE_ADDR="203.0.113.9")
        query = {"error": "invalid_scope", "state": begin(client)["state"]}
        answer = client.get("/oidc/callback/", {**query, "iss": scaikey.sandbox.url})
        assert answer.status_code == HTTPStatus.UNAUTHORIZED
        assert "ScaiKey has rejected the sign-in: invalid_scope." in answer.content.decode()
    assert not AuditEntry.objects.exists()
    assert come_back(scaikey, Client(REMOTE_ADDR="203.0.113.9")).status_code == HTTPStatus.FOUND


def test_success_passwords_work_beside_it_and_can_be_switched_off(
    scaikey: ScaiKey, settings: Settings
) -> None:
    AdminUser.objects.create_superuser("root", password="correct horse battery")
    given = {"username": "root", "password": "correct horse battery", "next": "/admin/"}
    # As a callback would, to get past the state and the nonce.
    url = "/admin/login/?code=x&state=y"
    assert Client().post(url, {**given, "password": "wrong"}).status_code == HTTPStatus.OK
    root = Client()
    assert root.post(url, given).status_code == HTTPStatus.FOUND
    settings.HAS_PASSWORD_SIGN_IN = False
    settings.AUTHENTICATION_BACKENDS = settings.AUTHENTICATION_BACKENDS[:2]
    assert Client().post(url, given).status_code == HTTPStatus.FORBIDDEN
    assert root.get("/admin/").status_code == HTTPStatus.FOUND
    page = Client().get("/admin/login/").content.decode()
    assert "Sign in with ScaiKey" in page
    assert "id_password" not in page
    settings.HAS_SCAIKEY_SIGN_IN = False
    assert "No one can sign in here" in Client().get("/admin/login/").content.decode()


@pytest.mark.parametrize(
    ("status", "fault", "code"),
    [
        (400, {"action": "status", "body": {"error": "invalid_grant"}}, "SW_SIGN_IN_REJECTED"),
        (401, {"action": "status", "body": {}}, "SW_UPSTREAM_CREDENTIALS_REFUSED"),
        (503, {"action": "status", "body": {}}, "SW_UPSTREAM_UNAVAILABLE"),
        (200, {"action": "status", "body": {"access_token": "x"}}, "SW_UPSTREAM_NONSENSE"),
        (200, {"action": "status", "body": []}, "SW_UPSTREAM_NONSENSE"),
        (200, {"action": "status", "body": nest(900)}, "SW_UPSTREAM_NONSENSE"),
        (200, {"action": "status", "body": {"id_token": "x" * 2**26}}, "SW_UPSTREAM_TOO_LARGE"),
        (
            200,
            {"action": "status", "body": {"access_token": "", "id_token": "x"}},
            "SW_UPSTREAM_NONSENSE",
        ),
        (
            200,
            {"action": "status", "body": {"access_token": 1, "id_token": {}}},
            "SW_UPSTREAM_NONSENSE",
        ),
        (200, {"action": "not_json"}, "SW_UPSTREAM_NONSENSE"),
        (307, {"action": "redirect", "location": "/sandbox/"}, "SW_UPSTREAM_REDIRECT"),
        (0, {"action": "drop"}, "SW_UPSTREAM_UNREACHABLE"),
    ],
)
def test_fail_what_scaikey_answers_is_a_page(
    status: int,
    fault: dict[str, Any],
    code: str,
    scaikey: ScaiKey,
) -> None:
    client = Client()
    sent = begin(client)
    rule = {"path": f"{PLATFORM}/oauth/token", "status": status, **fault}
    scaikey.sandbox.faults.add_json(rule)
    answer = finish(client, sent["state"], scaikey.sandbox.url)
    assert answer.status_code >= 400
    assert code in answer.content.decode()
