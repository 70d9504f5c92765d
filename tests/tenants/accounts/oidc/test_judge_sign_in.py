"""Sign-ins to the admin site judged by oidc-provider, an issuer that we did not write."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from scaiwave.auth.identify import fetch_scaikey_jwks
from scaiwave.auth.tokens import LEEWAY_SECONDS, Claims, verify_id_token
from scaiwave.clients.scaikey.sign_in import SignInTokens, redeem_code
from scaiwave.core.errors import ExpiredToken, InvalidToken
from tenants.models import AdminUser, AuditEntry
from tests.issuers import (
    CLIENT_ID,
    CLIENT_SECRET,
    JWKS,
    PERSON,
    PLATFORM,
    TOKEN,
    Issuer,
    IssuerBrowser,
    make_key,
    make_web_client,
    run_issuer,
    sign_in,
)
from tests.tenants.accounts.oidc.conftest import configure

pytestmark = [pytest.mark.django_db, pytest.mark.oidc_provider, pytest.mark.ci]
CALLBACK = "http://testserver/oidc/callback/"
OTHER = "another-application"
VERIFIER = "v" * 43
CHALLENGE = "7w_YNF9DSfIdPf_pRjSq646_kPr-2-o9NAl16JGghdM"
"""The SHA-256 of the verifier."""
Page = HttpResponse


@pytest.fixture
def issuer(oidc_provider_url: str, settings: Settings) -> Iterator[Issuer]:
    clients = [make_web_client(CALLBACK), make_web_client(CALLBACK, OTHER)]
    people = {
        "usr_eve": PERSON,
        "usr_bob": {"name": "Bob", "email": "bob@example.com", "email_verified": True},
    }
    with run_issuer(oidc_provider_url, clients=clients, accounts=people) as running:
        configure(
            settings,
            SCAIWAVE_PUBLIC_URL="http://testserver",
            SCAIWAVE_SCAIKEY_URL=running.url,
            SCAIWAVE_SCAIKEY_CLIENT_ID=CLIENT_ID,
            SCAIWAVE_SCAIKEY_CLIENT_SECRET=CLIENT_SECRET,
            SCAIWAVE_SCAIKEY_REDIRECT_URI=CALLBACK,
        )
        yield running


def begin(client: Client) -> str:
    """Return the address to which the browser is sent."""
    there = client.get("/oidc/authenticate/", {"next": "/admin/tenants/tenant/"})
    return there.headers["Location"]


def come_back(client: Client, back: str, **changes: str | None) -> Page:
    """Open the address to which the issuer has sent the browser, with changed parameters."""
    assert back.startswith(CALLBACK)
    query = {**dict(parse_qsl(urlsplit(back).query)), **changes}
    return client.get(  # type: ignore[return-value]
        "/oidc/callback/", {name: value for name, value in query.items() if value is not None}
    )


def is_signed_in(client: Client) -> bool:
    return client.get("/admin/").status_code == HTTPStatus.OK


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_success_a_person_signs_in(issuer: Issuer, alg: str) -> None:
    issuer.set_keys(make_key(alg, alg))
    client = Client()
    page = come_back(client, sign_in(begin(client), "usr_eve"))
    assert (page.status_code, page.headers["Location"]) == (302, "/admin/tenants/tenant/")
    assert is_signed_in(client)
    account = AdminUser.objects.get()
    assert (account.scaikey_id, account.email) == ("usr_eve", PERSON["email"])
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.operator, entry.operator_role) == (
        "sign-in",
        PERSON["email"],
        "super_admin",
    )
    assert [issuer.count(path) for path in (TOKEN, f"{PLATFORM}/oauth/userinfo", JWKS)] == [1, 1, 1]


def test_success_people_sign_in_before_and_after_a_rotation(issuer: Issuer) -> None:
    for keys in (("old",), ("new", "old"), ("new",)):
        issuer.set_keys(*map(make_key, keys))
        client = Client()
        assert come_back(client, sign_in(begin(client), "usr_eve")).status_code == 302
    assert issuer.count(JWKS) == 2


def test_success_sign_out_at_the_issuer(issuer: Issuer) -> None:
    client = Client()
    with IssuerBrowser() as browser:
        come_back(client, browser.sign_in(begin(client), "usr_eve"))
        # The issuer knows the person, and asks nothing.
        assert browser.open(begin(Client())).headers["Location"].startswith(CALLBACK)
        form = client.post("/admin/logout/").context["sign_out_form"]
        assert form.address == f"{issuer.url}{PLATFORM}/oauth/logout"
        assert form.fields.keys() == {"client_id", "id_token_hint"}
        browser.submit(browser.post(form.address, data=dict(form.fields)), logout="yes")
        assert 'name="login"' in browser.open(begin(Client())).text
    assert not is_signed_in(client)


def test_fail_a_person_without_a_role(issuer: Issuer) -> None:
    client = Client()
    page = come_back(client, sign_in(begin(client), "usr_bob"))
    assert page.status_code == HTTPStatus.FORBIDDEN
    assert "You have no role in ScaiKey" in page.content.decode()
    assert not AdminUser.objects.exists()


def test_fail_a_person_declines(issuer: Issuer) -> None:
    client = Client()
    with IssuerBrowser() as browser:
        page = browser.open(begin(client))
        back = browser.open(page.url.copy_with(path=f"{page.url.path}/abort")).headers["Location"]
    answer = come_back(client, back)
    assert answer.status_code == HTTPStatus.FORBIDDEN
    assert "it was cancelled or denied" in answer.content.decode()


Attack = Callable[[Client, Client, str, str], Page]
ATTACKS: dict[str, Attack] = {
    "unknown state": lambda own, _, back, __: come_back(own, back, state="x" * 43),
    "no state": lambda own, _, back, __: come_back(own, back, state=None),
    "state of another browser": lambda _, other, back, __: come_back(other, back),
    "code of another sign-in": lambda own, _, back, code: come_back(own, back, code=code),
    "unknown code": lambda own, _, back, __: come_back(own, back, code="x"),
    "another issuer": lambda own, _, back, __: come_back(own, back, iss="http://evil.example"),
    "no issuer": lambda own, _, back, __: come_back(own, back, iss=None),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_fail_answers_of_other_sign_ins(issuer: Issuer, attack: Attack) -> None:
    own, other = Client(), Client()
    back = sign_in(begin(own), "usr_eve")
    code = dict(parse_qsl(urlsplit(sign_in(begin(other), "usr_eve")).query))["code"]
    page = attack(own, other, back, code)
    assert HTTPStatus.BAD_REQUEST <= page.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
    assert not AdminUser.objects.exists()
    assert not is_signed_in(own)
    assert not is_signed_in(other)


def test_fail_a_code_is_used_twice(issuer: Issuer) -> None:
    client = Client()
    back = sign_in(begin(client), "usr_eve")
    assert come_back(client, back).status_code == HTTPStatus.FOUND
    assert come_back(client, back).status_code == HTTPStatus.BAD_REQUEST
    assert issuer.count(TOKEN) == 1


def fetch_tokens(
    issuer: Issuer, *, nonce: str = "nonce", client_id: str = CLIENT_ID
) -> SignInTokens:
    """Sign in at the issuer without the admin site, as any application does."""
    query = {
        "client_id": client_id,
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "scope": "openid profile email",
        "nonce": nonce,
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }
    back = sign_in(f"{issuer.url}{PLATFORM}/oauth/authorize?{urlencode(query)}", "usr_eve")
    form = {
        "grant_type": "authorization_code",
        "code": dict(parse_qsl(urlsplit(back).query))["code"],
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }
    return redeem_code(
        issuer.url, issuer.url + TOKEN, form, client_id=client_id, client_secret=CLIENT_SECRET
    )


def verify(judge: Issuer, tokens: SignInTokens, **changes: object) -> Claims:
    options = {
        "issuer": judge.url,
        "client_id": CLIENT_ID,
        "nonce": "nonce",
        "access_token": tokens.access_token,
        "fetch_jwks": lambda _: fetch_scaikey_jwks(judge.url, None),
        **changes,
    }
    return verify_id_token(tokens.id_token, **options)  # type: ignore[arg-type]


def test_fail_id_tokens_of_other_sign_ins(issuer: Issuer) -> None:
    """Each of them is a real one, which the issuer has signed."""
    tokens, others = fetch_tokens(issuer), fetch_tokens(issuer, client_id=OTHER)
    claims = verify(issuer, tokens)
    assert (claims.subject, claims.role, claims.by_client) == ("usr_eve", "super_admin", False)
    with pytest.raises(InvalidToken, match=r"\(audience\)"):
        verify(issuer, others)
    with pytest.raises(InvalidToken, match=r"\(nonce\)"):
        verify(issuer, fetch_tokens(issuer, nonce="of another sign-in"))
    with pytest.raises(InvalidToken, match=r"\(at_hash\)"):
        verify(issuer, tokens, access_token=others.access_token)
    with pytest.raises(InvalidToken, match="not issued by"):
        verify(issuer, tokens, issuer="http://127.0.0.1:1")
    with pytest.raises(ExpiredToken):
        verify(issuer, tokens, now=claims.expires_at + LEEWAY_SECONDS)
    issuer.set_keys(make_key("another"))
    with pytest.raises(InvalidToken, match="a key that ScaiKey does not list"):
        verify(issuer, tokens)


def test_fail_an_id_token_as_access_token(issuer: Issuer) -> None:
    token = fetch_tokens(issuer).id_token
    response = Client().get("/v1/rooms/lobby/export", headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == HTTPStatus.UNAUTHORIZED
    assert "only proves a sign-in" in response.json()["error"]["message"]
