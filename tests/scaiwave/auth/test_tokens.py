"""Verification of ScaiKey's tokens: the good ones, and one test for every way to be bad."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from scaiwave.auth.tokens import Claims, verify_token
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.core.errors import (
    ExpiredToken,
    InvalidToken,
    UpstreamInvalidResponse,
    UpstreamUnreachable,
)
from scaiwave.sandbox import Sandbox
from tests.scaiwave.clients.retry_policies import NO_RETRIES, ONE_RETRY

pytestmark = pytest.mark.dated

FIX = "Get a new ScaiKey token and export it as SCAIWAVE_ADMIN_TOKEN, or unset that variable."


@pytest.fixture(scope="module", params=["RS256", "ES256"])
def scaikey(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(people=5, tenants=2, seed=11, alg=request.param) as running:
        yield running


class Keys:
    """Fetches over HTTP, and remembers for whom."""

    def __init__(self, client: ScaiKeyClient, slugs: Mapping[str, str]) -> None:
        self.client, self.slugs = client, slugs
        self.asked: list[str | None] = []

    def __call__(self, tenant_id: str | None) -> Mapping[str, Any]:
        self.asked.append(tenant_id)
        return self.client.fetch_jwks(self.slugs[tenant_id] if tenant_id else None)


@pytest.fixture
def keys(scaikey: Sandbox) -> Iterator[Keys]:
    slugs = {id_: row["slug"] for id_, row in scaikey.directory.tenants.items()}
    with ScaiKeyClient(scaikey.url, retry_policy=ONE_RETRY) as client:
        yield Keys(client, slugs)


def verify(scaikey: Sandbox, keys: Any, token: str, **changes: Any) -> Claims:
    settings = {"issuer": scaikey.url, "audience": scaikey.client_id, "fetch_jwks": keys}
    return verify_token(token, **{**settings, **changes})


def sign(scaikey: Sandbox, header: dict[str, Any], claims: dict[str, Any]) -> str:
    """Sign anything that Python's JSON can express, also what no JSON should contain."""
    message = ".".join(_b64(json.dumps(part)) for part in (header, claims))
    algorithm = jwt.get_algorithm_by_name(scaikey.alg)
    signature = algorithm.sign(message.encode(), scaikey.keys.current.private)
    return f"{message}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def refusal(scaikey: Sandbox, keys: Any, token: str, **changes: Any) -> str:
    with pytest.raises(InvalidToken) as caught:
        verify(scaikey, keys, token, **changes)
    assert caught.value.fix == FIX
    assert caught.value.exit_code == 3
    assert caught.value.__cause__ is None
    return caught.value.message


def test_success(scaikey: Sandbox, keys: Keys) -> None:
    ends = int(time.time()) + 100
    token = scaikey.issue_token(
        role="tenant_admin",
        tenant_id="tnt_1",
        partner_id="prt_1",
        scope="admin:read openid",
        name="Ada",
        email="ada@example.org",
        client_id="other",
        exp=ends,
    )
    assert verify(scaikey, keys, token) == Claims(
        subject="usr_sandbox_admin",
        role="tenant_admin",
        roles=("tenant_admin",),
        tenant_id="tnt_1",
        partner_id="prt_1",
        scopes=frozenset({"admin:read", "openid"}),
        issuing_tenant_id="",
        by_client=False,
        app_scope="",
        name="Ada",
        email="ada@example.org",
        client_id="other",
        expires_at=float(ends),
    )
    assert keys.asked == [None]


@pytest.mark.parametrize(
    ("claims", "role", "roles"),
    [
        ({"role": "SUPER_ADMIN"}, "super_admin", ("super_admin",)),
        ({"roles": ["Tenant_Admin", "partner_admin"]}, "partner_admin", None),
        ({"role": "tenant_admin", "roles": ["super_admin"]}, "super_admin", None),
        ({"role": "tenant_admin", "roles": ["tenant_admin"]}, "tenant_admin", ("tenant_admin",)),
        ({"roles": "tenant_admin viewer"}, "tenant_admin", ("tenant_admin", "viewer")),
        ({"roles": ["viewer", " "]}, None, ("viewer",)),
        ({"roles": []}, None, ()),
        ({}, None, ()),
    ],
)
def test_success_role(
    scaikey: Sandbox,
    keys: Keys,
    claims: dict[str, Any],
    role: str | None,
    roles: tuple[str, ...] | None,
) -> None:
    verified = verify(scaikey, keys, scaikey.issue_token(**claims))
    assert verified.role == role
    assert roles is None or verified.roles == roles


@pytest.mark.parametrize(
    ("claims", "by_client", "scope"),
    [
        ({"platform_token": True}, True, "GLOBAL"),
        ({"token_type": "client_credentials"}, True, ""),
        ({"token_type": "client_credentials", "app_scope": "global"}, True, "GLOBAL"),
        ({"token_type": "client_credentials", "app_scope": "PARTNER"}, True, "PARTNER"),
        ({"platform_token": True, "app_scope": "tenant"}, True, "TENANT"),
        ({"platform_token": "true"}, False, ""),
        ({}, False, ""),
    ],
)
def test_success_application(
    scaikey: Sandbox, keys: Keys, claims: dict[str, Any], by_client: bool, scope: str
) -> None:
    verified = verify(scaikey, keys, scaikey.issue_token(**claims))
    assert (verified.by_client, verified.app_scope) == (by_client, scope)


def test_success_token_by_client_credentials(scaikey: Sandbox, keys: Keys) -> None:
    claims = verify(scaikey, keys, scaikey.issue_platform_token(scope="admin:read"))
    assert (claims.by_client, claims.app_scope) == (True, "GLOBAL")
    assert claims.scopes == {"admin:read"}
    assert claims.subject == claims.client_id == scaikey.client_id


@pytest.mark.parametrize("claim", ["super_admin", "partner_admin"])
@pytest.mark.parametrize("also_tenant_admin", [True, False])
def test_success_a_tenant_grants_no_role_beyond_itself(
    scaikey: Sandbox, keys: Keys, claim: str, also_tenant_admin: bool
) -> None:
    (tenant_id, *_) = scaikey.directory.tenants
    roles = [claim, "tenant_admin"] if also_tenant_admin else [claim]
    token = scaikey.issue_token(
        iss=f"{scaikey.url}/tenants/{tenant_id}", tenant_id=tenant_id, roles=roles
    )
    claims = verify(scaikey, keys, token)
    assert claims.role == ("tenant_admin" if also_tenant_admin else None)
    assert claims.issuing_tenant_id == tenant_id


def test_success_scopes_as_a_list(scaikey: Sandbox, keys: Keys) -> None:
    assert verify(scaikey, keys, scaikey.issue_token(scope=["a", "b"])).scopes == {"a", "b"}


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("ours", ["", "/", "/tenants/tnt_9"])
def test_success_issuer(scaikey: Sandbox, keys: Keys, slash: str, ours: str) -> None:
    token = scaikey.issue_token(iss=scaikey.url + slash)
    assert verify(scaikey, keys, token, issuer=scaikey.url + ours).subject


def test_success_tenant_is_the_issuer(scaikey: Sandbox, keys: Keys) -> None:
    (tenant_id, *_) = scaikey.directory.tenants
    token = scaikey.issue_token(iss=f"{scaikey.url}/tenants/{tenant_id}", tenant_id=tenant_id)
    assert verify(scaikey, keys, token).tenant_id == tenant_id
    assert keys.asked == [tenant_id]


@pytest.mark.parametrize(
    ("issuer", "tenant_id"),
    [
        ("https://evil.example.org", None),
        ("http://[bad", None),
        ("{url}.example.org", None),
        ("{url}/tenants/tnt_1", "tnt_2"),
        ("{url}/tenants/tnt_1", None),
        ("{url}/tenants/", ""),
        ("{url}/elsewhere/tnt_1", "tnt_1"),
        ("", None),
    ],
)
def test_fail_issuer(scaikey: Sandbox, keys: Keys, issuer: str, tenant_id: str | None) -> None:
    token = scaikey.issue_token(iss=issuer.format(url=scaikey.url), tenant_id=tenant_id)
    message = refusal(scaikey, keys, token)
    assert message == f"The token was not issued by {scaikey.url}."
    assert keys.asked == []


@pytest.mark.parametrize("issuer", [None, 7, ["x"]])
def test_fail_no_issuer(scaikey: Sandbox, keys: Keys, issuer: object) -> None:
    assert refusal(scaikey, keys, scaikey.issue_token(iss=issuer)) == "The token names no issuer."


@pytest.mark.parametrize("claims", [{"aud": ["x", "ours"]}, {"aud": None, "client_id": "ours"}])
def test_success_audience(scaikey: Sandbox, keys: Keys, claims: dict[str, Any]) -> None:
    assert verify(scaikey, keys, scaikey.issue_token(**claims), audience="ours").subject


@pytest.mark.parametrize(
    ("given", "audience"),
    [
        ("x", "ours"),
        (None, "ours"),
        ([], "ours"),
        ({"ours": 1}, "ours"),
        ("ours2", "ours"),
        ("", ""),
    ],
)
def test_fail_audience(scaikey: Sandbox, keys: Keys, given: Any, audience: str) -> None:
    """Another application could replay a token of this one that it was sent."""
    for client_id in (None, audience) if given is not None else (None, "x"):
        token = scaikey.issue_token(aud=given, client_id=client_id)
        message = refusal(scaikey, keys, token, audience=audience)
        assert message == "The token was issued for another application (audience)."


ID_TOKEN = "The token is an ID token, which only proves a sign-in."
NO_ACCESS_TOKEN = "The token is not an access token: scope and client_id are missing."


@pytest.mark.parametrize("name", ["nonce", "at_hash", "c_hash", "s_hash"])
@pytest.mark.parametrize("value", ["x", ""])
def test_fail_an_id_token(scaikey: Sandbox, keys: Keys, name: str, value: str) -> None:
    """Whatever else it claims: a sign-out sends that of a sign-in through the browser."""
    claims: dict[str, Any] = {"role": "super_admin", "client_id": "ours", name: value}
    token = scaikey.issue_token(aud="ours", headers={"typ": "at+jwt"}, **claims)
    assert refusal(scaikey, keys, token, audience="ours") == ID_TOKEN


@pytest.mark.parametrize("claims", [{}, {"scope": " "}, {"scope": []}, {"client_id": ""}])
def test_fail_an_id_token_without_a_mark(
    scaikey: Sandbox, keys: Keys, claims: dict[str, Any]
) -> None:
    """In the code flow at_hash is optional, and so is the nonce (OpenID Connect Core, 3.1.3.6)."""
    given = {"role": "super_admin", "scope": None, "client_id": None, **claims}
    token = scaikey.issue_token(aud="ours", azp="ours", auth_time=1, **given)
    assert refusal(scaikey, keys, token, audience="ours") == NO_ACCESS_TOKEN


@pytest.mark.parametrize("claims", [{"scope": "openid"}, {"client_id": "x"}])
@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"])
def test_success_an_access_token(
    scaikey: Sandbox, keys: Keys, claims: dict[str, Any], typ: str | None
) -> None:
    given = {"scope": None, "client_id": None, **claims}
    token = scaikey.issue_token(aud="ours", headers={"typ": typ}, **given)
    assert verify(scaikey, keys, token, audience="ours").subject


@pytest.mark.parametrize("typ", ["id+jwt", "logout+jwt", "application/", "", 7, ["at+jwt"]])
def test_fail_a_token_of_another_type(scaikey: Sandbox, keys: Keys, typ: object) -> None:
    token = scaikey.issue_token(role="super_admin", headers={"typ": typ})
    assert refusal(scaikey, keys, token) == "The token is not an access token (typ)."


@pytest.mark.parametrize("late", [-3600, 0, 59])
def test_success_within_the_tolerance(scaikey: Sandbox, keys: Keys, late: int) -> None:
    now = 1_800_000_000
    token = scaikey.issue_token(exp=now, iat=now - 7200)
    assert verify(scaikey, keys, token, now=now + late).expires_at == now


@pytest.mark.parametrize("late", [60, 86400])
def test_fail_expired(scaikey: Sandbox, keys: Keys, late: int) -> None:
    now = 1_800_000_000
    with pytest.raises(ExpiredToken) as caught:
        verify(scaikey, keys, scaikey.issue_token(exp=now, iat=now - 7200), now=now + late)
    assert caught.value.message == "The token has expired."
    assert caught.value.fix == FIX


def test_fail_expired_by_the_clock(scaikey: Sandbox, keys: Keys) -> None:
    with pytest.raises(ExpiredToken):
        verify(scaikey, keys, scaikey.issue_token(exp=int(time.time()) - 61))


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_fail_not_yet_valid(scaikey: Sandbox, keys: Keys, name: str) -> None:
    now = int(time.time())
    soon: dict[str, Any] = {name: now + 59}
    later: dict[str, Any] = {name: now + 61}
    assert verify(scaikey, keys, scaikey.issue_token(**soon), now=now).subject
    message = refusal(scaikey, keys, scaikey.issue_token(**later), now=now)
    assert message == f"The token is not yet valid ({name})."


def test_fail_no_expiry(scaikey: Sandbox, keys: Keys) -> None:
    assert refusal(scaikey, keys, scaikey.issue_token(exp=None)) == "The token has no expiry (exp)."


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["soon", True, [1], 10**400])
def test_fail_time_is_not_a_number(scaikey: Sandbox, keys: Keys, name: str, value: object) -> None:
    header, _, _ = scaikey.issue_token().split(".")
    claims = {"iss": scaikey.url, "aud": scaikey.client_id, "exp": time.time() + 99}
    claims |= {"scope": "openid", name: value}
    signed = f"{header}.{_b64(json.dumps(claims))}"
    algorithm = jwt.get_algorithm_by_name(scaikey.keys.alg)
    signature = algorithm.sign(signed.encode(), scaikey.keys.current.private)
    message = refusal(scaikey, keys, f"{signed}.{_b64(signature)}")
    assert message == f"The token is malformed: its {name} is not a time."


def _b64(data: str | bytes) -> str:
    raw = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def test_fail_wrong_key(scaikey: Sandbox, keys: Keys) -> None:
    message = refusal(
        scaikey, keys, scaikey.issue_token(key=scaikey.keys.foreign_key(), role="super_admin")
    )
    assert message == "The token's signature is invalid."


def test_fail_changed(scaikey: Sandbox, keys: Keys) -> None:
    header, payload, signature = scaikey.issue_token(role="tenant_admin").split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = f"{header}.{_b64(json.dumps({**claims, 'role': 'super_admin'}))}.{signature}"
    assert refusal(scaikey, keys, changed) == "The token's signature is invalid."


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "HS256", "RS512", "", "ES256K"])
def test_fail_algorithm(scaikey: Sandbox, keys: Keys, algorithm: str) -> None:
    _header, payload, signature = scaikey.issue_token().split(".")
    if algorithm in {"none", "HS256"}:
        token = scaikey.issue_token(alg=algorithm, role="super_admin")
    else:
        token = f"{_b64(json.dumps({'alg': algorithm, 'typ': 'JWT'}))}.{payload}.{signature}"
    message = refusal(scaikey, keys, token)
    assert message == "The token's algorithm is not RS256 or ES256."
    assert keys.asked == []


@pytest.mark.parametrize("value", [["RS256"], {"RS256": 1}, 256, True, None])
def test_fail_algorithm_is_not_a_text(scaikey: Sandbox, keys: Keys, value: object) -> None:
    header = {"alg": value, "kid": scaikey.keys.current.kid}
    told = refusal(scaikey, keys, sign(scaikey, header, {"iss": scaikey.url}))
    assert told == "The token's algorithm is not RS256 or ES256."


def test_fail_algorithm_of_another_key(scaikey: Sandbox, keys: Keys) -> None:
    """The header may not choose how a key is used."""
    other = {"RS256": "ES256", "ES256": "RS256"}[scaikey.keys.alg]
    _, payload, signature = scaikey.issue_token().split(".")
    header = _b64(json.dumps({"alg": other, "kid": scaikey.keys.current.kid}))
    message = refusal(scaikey, keys, f"{header}.{payload}.{signature}")
    assert message == "The token is signed with a key that ScaiKey does not list."


@pytest.mark.parametrize("headers", [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}])
def test_fail_extensions(scaikey: Sandbox, keys: Keys, headers: dict[str, Any]) -> None:
    message = refusal(scaikey, keys, scaikey.issue_token(headers=headers))
    assert message.startswith("The token is malformed: ")


def test_fail_unknown_key_is_looked_up_twice(scaikey: Sandbox, keys: Keys) -> None:
    message = refusal(scaikey, keys, scaikey.issue_token(kid="unknown"))
    assert message == "The token is signed with a key that ScaiKey does not list."
    assert keys.asked == [None, None]


def test_success_key_is_new(scaikey: Sandbox, keys: Keys) -> None:
    """Who remembers keys hands out the old list first."""
    old = scaikey.keys.build_jwks()
    scaikey.rotate_keys()
    answers = iter([old])
    token = scaikey.issue_token()
    assert verify(scaikey, lambda tenant: next(answers, None) or keys(tenant), token).subject
    assert keys.asked == [None]


def _entry(scaikey: Sandbox, **changes: Any) -> dict[str, Any]:
    entry = {**scaikey.keys.current.jwk, **changes}
    return {name: value for name, value in entry.items() if value is not None}


@pytest.mark.parametrize(
    "changes", [{}, {"use": None}, {"alg": None}, {"key_ops": ["verify"]}, {"x5c": ["junk"]}]
)
def test_success_key_fits(scaikey: Sandbox, changes: dict[str, Any]) -> None:
    jwks = {"keys": [7, {"kty": "OKP"}, _entry(scaikey, **changes)]}
    assert verify(scaikey, lambda tenant: jwks, scaikey.issue_token()).subject


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "enc"},
        {"alg": "RS512"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"kid": None},
        {"n": "!", "x": "!"},
        {"n": None, "x": None},
        {"e": 3, "y": 3},
    ],
)
def test_fail_key_does_not_fit(scaikey: Sandbox, changes: dict[str, Any]) -> None:
    jwks = {"keys": [_entry(scaikey, **changes)]}
    message = refusal(scaikey, lambda tenant: jwks, scaikey.issue_token())
    assert message == "The token is signed with a key that ScaiKey does not list."


def test_fail_key_is_weak(scaikey: Sandbox) -> None:
    if scaikey.keys.alg == "RS256":
        weak: Any = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - weak on purpose
        entry = jwt.algorithms.RSAAlgorithm.to_jwk(weak.public_key(), as_dict=True)
    else:
        weak = ec.generate_private_key(ec.SECP384R1())
        entry = jwt.algorithms.ECAlgorithm.to_jwk(weak.public_key(), as_dict=True)
    jwks = {"keys": [{**entry, "kid": "weak", "key_ops": ["verify"]}]}
    message = refusal(scaikey, lambda tenant: jwks, scaikey.issue_token(kid="weak"))
    assert message == "The token is signed with a key that ScaiKey does not list."


def test_success_without_key_id(scaikey: Sandbox) -> None:
    token = scaikey.issue_token(headers={"kid": None})
    assert verify(scaikey, lambda tenant: {"keys": [_entry(scaikey)]}, token).subject


def test_fail_without_key_id_among_many(scaikey: Sandbox) -> None:
    token = scaikey.issue_token(headers={"kid": None})
    jwks = {"keys": [_entry(scaikey), _entry(scaikey, kid="second")]}
    message = refusal(scaikey, lambda tenant: jwks, token)
    assert message == "The token is signed with a key that ScaiKey does not list."


@pytest.mark.parametrize(
    "token", ["", "a", "a.b", "a.b.c", "a.b.c.d", "ü.b.c", "..", "e30.e30.", "W10.e30.x"]
)
def test_fail_malformed(scaikey: Sandbox, keys: Keys, token: str) -> None:
    message = refusal(scaikey, keys, token)
    assert message in {
        "The token is malformed: it is not a signed JWT.",
        "The token's algorithm is not RS256 or ES256.",
    }


def test_fail_claims_unreadable(scaikey: Sandbox, keys: Keys) -> None:
    header, _, signature = scaikey.issue_token().split(".")
    for payload in ("[1]", "{", "7", "[" * 9000):
        message = refusal(scaikey, keys, f"{header}.{_b64(payload)}.{signature}")
        assert message == "The token is malformed: its claims can't be read."


def test_fail_too_long(scaikey: Sandbox, keys: Keys) -> None:
    message = refusal(scaikey, keys, scaikey.issue_token(name="x" * 20_000))
    assert message == "The token is longer than 16384 characters."


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"role": 1}, "role"),
        ({"roles": [1]}, "roles"),
        ({"roles": {"a": 1}}, "roles"),
        ({"scope": 1}, "scope"),
        ({"tenant_id": 1}, "tenant_id"),
        ({"email": ["a"]}, "email"),
        ({"sub": 5}, "sub"),
    ],
)
def test_fail_claim_is_not_a_text(
    scaikey: Sandbox, keys: Keys, claims: dict[str, Any], name: str
) -> None:
    message = refusal(scaikey, keys, scaikey.issue_token(**claims))
    assert message == f"The token is malformed: its {name} is not a text."


@pytest.mark.parametrize("name", ["sub", "tenant_id", "partner_id", "client_id"])
@pytest.mark.parametrize("value", ["a\x00b", "a\x1b[2J", "a\u2028b"])
def test_fail_id_with_control_characters(
    scaikey: Sandbox, keys: Keys, name: str, value: str
) -> None:
    claims: dict[str, Any] = {name: value}
    told = refusal(scaikey, keys, scaikey.issue_token(**claims))
    assert told == f"The token is malformed: its {name} is not an ID."


@pytest.mark.parametrize("claims", [{"name": "\ud800"}, {"x": ["\udfff"]}, {"\udc00": 1}])
def test_fail_half_a_surrogate_pair(scaikey: Sandbox, keys: Keys, claims: dict[str, Any]) -> None:
    token = sign(
        scaikey,
        {"alg": scaikey.alg, "kid": scaikey.keys.current.kid},
        {"iss": scaikey.url, "aud": scaikey.client_id, "sub": "a", "exp": 4e9, **claims},
    )
    told = refusal(scaikey, keys, token)
    assert told == "The token is malformed: its claims can't be read."


def test_fail_no_subject(scaikey: Sandbox, keys: Keys) -> None:
    message = refusal(scaikey, keys, scaikey.issue_token(sub=None))
    assert message == "The token names no subject (sub)."


def test_fail_keys_unreadable(scaikey: Sandbox) -> None:
    with pytest.raises(UpstreamInvalidResponse) as caught:
        verify(scaikey, lambda tenant: {"keys": None}, scaikey.issue_token())
    assert caught.value.message == "ScaiKey returned an invalid list of keys (JWKS)."


def test_fail_scaikey_unreachable() -> None:
    with Sandbox(people=1, tenants=1) as scaikey:
        token = scaikey.issue_token()
    with ScaiKeyClient(scaikey.url, retry_policy=NO_RETRIES) as client:
        with pytest.raises(UpstreamUnreachable) as caught:
            verify(scaikey, lambda tenant: client.fetch_jwks(), token)
    assert caught.value.exit_code == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children),
    max_leaves=5,
)
HEADER_NAMES = ("alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5c")
CLAIM_NAMES = (
    *("iss", "aud", "sub", "exp", "nbf", "iat", "role", "roles", "tenant_id", "partner_id"),
    *("scope", "client_id", "app_scope", "token_type", "platform_token", "name", "email"),
)


@given(
    headers=st.dictionaries(st.sampled_from(HEADER_NAMES), JSON, max_size=3),
    claims=st.dictionaries(st.sampled_from(CLAIM_NAMES), JSON, max_size=4),
)
def test_success_or_refused_whatever_is_signed(
    scaikey: Sandbox, headers: dict[str, Any], claims: dict[str, Any]
) -> None:
    """Any token signed with ScaiKey's key is either valid or refused."""
    public = scaikey.keys.build_jwks()
    now = int(time.time())
    token = sign(
        scaikey,
        {"alg": scaikey.alg, **headers},
        {
            "iss": scaikey.url,
            "aud": scaikey.client_id,
            "sub": "a",
            "scope": "openid",
            "exp": now + 60,
            **claims,
        },
    )
    try:
        verified = verify(scaikey, lambda tenant: public, token)
    except (InvalidToken, ExpiredToken):
        return
    verified.name.encode()
    assert all(text.isprintable() for text in (verified.subject, verified.tenant_id))


@given(st.text(max_size=60) | st.from_regex(r"[\w-]{0,20}\.[\w-]{0,20}\.[\w-]{0,20}"))
def test_fail_any_malformed_token(token: str) -> None:
    with pytest.raises(InvalidToken):
        verify_token(token, issuer="http://x", audience="y", fetch_jwks=lambda t: {"keys": []})
