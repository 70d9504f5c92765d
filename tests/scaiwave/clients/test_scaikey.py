"""The client against the sandbox: access, items, members, keys."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator

import jwt
import pytest

from scaiwave.clients.scaikey.auth import ClientCredentialsAuth, unverified_claims
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.results import MemberList
from scaiwave.clients.scaikey.schemas import MemberRecord
from scaiwave.core.errors import (
    InvalidToken,
    ScaiWaveError,
    SettingMissing,
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamNotFound,
    UpstreamUnauthorized,
    UpstreamUnreachable,
)
from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.http.messages import Action
from tests.scaiwave.clients.raw_socket_server import (
    RawRequest,
    RawResponse,
    RawServer,
    make_response,
)
from tests.scaiwave.clients.retry_policies import QUICK

DISCOVERY = "/api/v1/platform/oauth/.well-known/openid-configuration"
TOKEN = "/api/v1/platform/oauth/token"
ENVELOPES = ("data+pagination", "data+total", "items+total", "data+meta", "bare")


@pytest.fixture
def scaikey() -> Iterator[Sandbox]:
    with Sandbox(people=250, tenants=3, partners=2, groups=9, seed=7) as running:
        yield running


@pytest.fixture
def client(scaikey: Sandbox) -> Iterator[ScaiKeyClient]:
    with connected(scaikey) as client:
        yield client


def connected(scaikey: Sandbox, secret: str | None = None) -> ScaiKeyClient:
    return ScaiKeyClient(
        scaikey.url,
        client_id=scaikey.client_id,
        client_secret=secret or scaikey.client_secret,
        retry_policy=QUICK,
    )


def tokens_asked(scaikey: Sandbox) -> int:
    return scaikey.requests.count(TOKEN)


@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize("cap", [7, 100])
def test_success_walks(scaikey: Sandbox, client: ScaiKeyClient, envelope: str, cap: int) -> None:
    scaikey.envelope, scaikey.max_per_page = envelope, cap
    users = [row for page in client.iter_pages("users") for row in page]
    assert len({row.id for row in users}) == len(users) == 250
    assert all(row.tenant_id and row.email and row.status for row in users)
    assert sum(len(page) for page in client.iter_pages("partners")) == 2
    tenants = [row for page in client.iter_pages("tenants") for row in page]
    assert len(tenants) == 3
    assert all(row.slug and row.partner_id for row in tenants)
    groups = [row for page in client.iter_pages("groups") for row in page]
    assert len(groups) == 9
    assert all(row.group_type and row.tenant_id for row in groups)


def test_success_walk_of_one_tenant(client: ScaiKeyClient) -> None:
    (tenants,) = client.iter_pages("tenants")
    counted = 0
    for tenant in tenants:
        listing = client.iter_pages("users", params={"tenant_id": tenant.id})
        rows = [row for page in listing for row in page]
        assert {row.tenant_id for row in rows} == {tenant.id}
        counted += len(rows)
    assert counted == 250


def members_of(client: ScaiKeyClient, group_ids: list[str]) -> dict[str, list[MemberRecord]]:
    """Members of existing groups."""
    found = dict(client.iter_members(group_ids))
    return {
        group_id: rows.records for group_id, rows in found.items() if isinstance(rows, MemberList)
    }


def test_success_members(client: ScaiKeyClient) -> None:
    groups = [row.id for page in client.iter_pages("groups") for row in page]
    found = members_of(client, groups)
    assert list(found) == groups
    assert found == {
        group: [row for page in client.iter_pages("groups", members_of=group) for row in page]
        for group in groups
    }
    members = [member for rows in found.values() for member in rows]
    assert any(member.user_id for member in members)
    assert {member.member_group_id for member in members if not member.user_id} <= set(groups)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("members")]


def test_success_members_truncated_are_not_a_whole_list(
    scaikey: Sandbox, client: ScaiKeyClient
) -> None:
    (groups,) = client.iter_pages("groups")
    big = max(groups, key=lambda group: len(members_of(client, [group.id])[group.id]))
    ((_, whole),) = client.iter_members([big.id], to_end=True)
    assert isinstance(whole, MemberList)
    scaikey.faults.add("total", path="*/members", total=len(whole.records) + 5)
    ((_, partial),) = client.iter_members([big.id], to_end=True)
    assert isinstance(partial, MemberList)
    assert whole.is_complete
    assert partial.records == whole.records
    assert not partial.is_complete


def test_success_items(client: ScaiKeyClient) -> None:
    (partner, *_), (tenant, *_), (user, *_), (group, *_) = (
        next(iter(client.iter_pages("partners"))),
        next(iter(client.iter_pages("tenants"))),
        next(iter(client.iter_pages("users"))),
        next(iter(client.iter_pages("groups"))),
    )
    assert client.get_partner(partner.id) == partner
    assert client.get_tenant(tenant.id) == tenant
    assert client.get_user(user.id) == user
    assert client.get_group(group.id) == group


@pytest.mark.parametrize("unknown", ["usr_unknown", "", ".", "..", "a/b", "a?b#c", "ü", "%2e"])
def test_success_unknown_item_returns_none(client: ScaiKeyClient, unknown: str) -> None:
    assert client.get_user(unknown) is None


def test_success_ids_are_encoded() -> None:
    seen = []

    def respond(request: RawRequest) -> RawResponse:
        seen.append(request.target)
        return make_response({"data": {"id": "tnt_ü+b"}})

    with RawServer(respond) as server, ScaiKeyClient(server.origin, bearer="t") as client:
        row = client.get_tenant("tnt_ü+b")
        for unsafe in ("a/b", "a%2Fb", "a?b", "a#b", "..", "a\\b", "a b", ""):
            assert client.get_tenant(unsafe) is None
    assert row is not None
    assert row.id == "tnt_ü+b"
    assert seen == ["/api/v1/admin/tenants/tnt_%C3%BC%2Bb"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"id": "other"}, "ScaiKey responded to GET {path} with a record that has a different ID."),
        (
            {"data": []},
            "Invalid response from ScaiKey, GET {path}: expected `object`, got `array`.",
        ),
        (
            {"data": {"id": "x", "email": 1}},
            "Invalid response from ScaiKey, GET {path}: expected `str | null`, got `int` at "
            "`email`.",
        ),
        (b"<html>", "Invalid response from ScaiKey, GET {path}: it is not JSON."),
    ],
)
def test_fail_item_is_invalid(body: object, message: str) -> None:
    with RawServer(lambda request: make_response(body)) as server:
        with ScaiKeyClient(server.origin, bearer="t") as client:
            with pytest.raises(UpstreamInvalidResponse) as caught:
                client.get_user("x")
    assert caught.value.message == message.format(path="/api/v1/admin/users/x")


def test_success_one_token_for_all(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    for _ in range(3):
        client.get_user("usr_unknown")
    assert tokens_asked(scaikey) == 1
    assert scaikey.requests.count(DISCOVERY) == 1
    claims = client.claims()
    assert claims["client_id"] == scaikey.client_id
    assert claims["scope"] == "admin:read"
    assert client.app_scope == "GLOBAL"


def test_success_one_token_for_many_threads(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    threads = [threading.Thread(target=client.get_user, args=("usr_x",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens_asked(scaikey) == 1


def test_success_token_is_renewed_in_time(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    scaikey.token_lifetime, now = 40, 0.0
    client.auth = ClientCredentialsAuth(
        client.http,
        client_id=scaikey.client_id,
        client_secret=scaikey.client_secret,
        endpoints=client.endpoints,
        clock=lambda: now,
    )
    for now, tokens in ((0.0, 1), (19.9, 1), (20.1, 2), (40.0, 2), (40.2, 3)):  # noqa: B007 - read by the clock
        client.get_user("usr_unknown")
        assert tokens_asked(scaikey) == tokens
    assert not [entry for entry in scaikey.requests.recent if entry[1] == 401]


def test_success_token_is_renewed_after_a_401(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    (tenant, *_) = next(iter(client.iter_pages("tenants")))
    scaikey.rotate_keys(keep_old=False)
    assert client.get_tenant(tenant.id) == tenant
    assert tokens_asked(scaikey) == 2


def test_success_token_expires_during_a_list(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    seen = 0
    for page in client.iter_pages("users", per_page=10, in_flight=4):
        seen += len(page)
        if seen == 10:
            scaikey.rotate_keys(keep_old=False)
    assert seen == 250
    assert tokens_asked(scaikey) == 2


def test_fail_401_twice(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    scaikey.faults.add("status", path="/api/v1/admin/*", status=401)
    with pytest.raises(UpstreamUnauthorized) as caught:
        client.get_user("usr_1")
    assert tokens_asked(scaikey) == 2
    assert caught.value.exit_code == 3
    assert caught.value.message == (
        f"ScaiKey at {scaikey.url} rejected this server's credentials for GET "
        "/api/v1/admin/users/usr_1: Fault 401."
    )


def test_fail_wrong_secret(scaikey: Sandbox) -> None:
    with connected(scaikey, "not-the-client-secret") as client:
        with pytest.raises(UpstreamUnauthorized) as caught:
            client.get_user("usr_1")
    assert caught.value.message == (
        f"ScaiKey at {scaikey.url} rejected this server's credentials for POST {TOKEN}: "
        "invalid_client: Client authentication failed."
    )
    assert caught.value.fix == (
        "Check SCAIWAVE_SCAIKEY_CLIENT_ID and SCAIWAVE_SCAIKEY_CLIENT_SECRET, and that the "
        "application may use client credentials with the scope admin:read."
    )


def test_success_special_characters_in_credentials() -> None:
    with Sandbox(people=1, tenants=1, client_id="a:b+c", client_secret="p%+ü: d") as scaikey:
        with connected(scaikey) as client:
            assert client.get_user("usr_unknown") is None


@pytest.mark.parametrize("error", ["invalid_scope", "unauthorized_client"])
def test_fail_token_refused(scaikey: Sandbox, client: ScaiKeyClient, error: str) -> None:
    scaikey.faults.add("status", path=TOKEN, status=400, body={"error": error})
    with pytest.raises(UpstreamUnauthorized) as caught:
        client.get_user("usr_1")
    assert caught.value.message == f"ScaiKey at {scaikey.url} rejected POST {TOKEN}: {error}."


def test_success_token_request_is_retried(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    scaikey.faults.add("drop", path=TOKEN, times=2)
    assert client.get_user("usr_unknown") is None
    assert tokens_asked(scaikey) == 3


@pytest.mark.parametrize(
    ("grant", "what"),
    [
        ({}, "object missing required field `access_token`"),
        ({"access_token": "a", "expires_in": "x"}, "expected `float | null`, got `str` at "),
        ({"access_token": "a", "token_type": "mac"}, None),
        ({"access_token": "a b"}, None),
        ({"access_token": ""}, None),
    ],
)
def test_fail_token_response_is_invalid(
    scaikey: Sandbox, client: ScaiKeyClient, grant: object, what: str | None
) -> None:
    scaikey.faults.add("status", path=TOKEN, status=200, body=grant)
    with pytest.raises(UpstreamInvalidResponse) as caught:
        client.get_user("usr_1")
    problem = "returned something that is not a bearer token" if what is None else what
    assert problem in caught.value.message


def test_success_opaque_token_has_no_claims(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    body = {"access_token": "opaque", "token_type": "bearer"}
    scaikey.faults.add("status", path=TOKEN, status=200, body=body)
    assert client.claims() == {}
    assert client.app_scope == ""


@pytest.mark.parametrize("token", ["", "a", "a.b", "a.!.c", "a.bm90IGpzb24.c", "a.WzFd.c", "a.ü.c"])
def test_success_malformed_token_has_no_claims(token: str) -> None:
    assert unverified_claims(token) == {}


def test_success_claims_are_read() -> None:
    token = jwt.encode({"role": "x"}, "k" * 32, algorithm="HS256")
    assert unverified_claims(token) == {"role": "x"}


@pytest.mark.parametrize("fault", ["status", "drop"])
def test_success_without_discovery(scaikey: Sandbox, client: ScaiKeyClient, fault: Action) -> None:
    scaikey.faults.add(fault, path=DISCOVERY, status=404)
    assert client.get_user("usr_unknown") is None
    assert client.fetch_jwks() == scaikey.keys.build_jwks()


@pytest.mark.parametrize("suffix", ["/api/v1", "/api/v1/", "/scaikey"])
def test_fail_an_address_with_a_path_is_configuration(scaikey: Sandbox, suffix: str) -> None:
    with ScaiKeyClient(
        f"{scaikey.url}{suffix}",
        retry_policy=QUICK,
        client_id=scaikey.client_id,
        client_secret=scaikey.client_secret,
    ) as client:
        calls: list[Callable[[], object]] = [
            client.fetch_jwks,
            lambda: client.get_user("usr_unknown"),
            lambda: client.register_application(
                name="chat", scope="GLOBAL", contact_email="ops@example.com", redirect_uris=[]
            ),
        ]
        for call in calls:
            with pytest.raises(UpstreamInvalidResponse) as caught:
                call()
            assert caught.value.exit_code == 2
            assert "was not found (404), although ScaiKey has it." in caught.value.message
            assert caught.value.fix.endswith(
                " to the address of ScaiKey, without /v1 or any other path."
            )


def test_fail_a_list_is_not_found(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    """No ID was sent that could be wrong."""
    path = "/api/v1/admin/tenants/"
    scaikey.faults.add("status", path=f"{path}*", status=404, body={"detail": "No such thing"})
    with pytest.raises(UpstreamNotFound) as caught, client.iter_pages("tenants") as pages:
        next(iter(pages))
    assert caught.value.message == f"Not found in ScaiKey: {path} (404)."
    assert caught.value.fix.startswith("Check that ")
    assert caught.value.fix.endswith(" is the address of ScaiKey.")


def test_success_discovered_endpoints_are_used(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    elsewhere = {"token_endpoint": f"{scaikey.url}{TOKEN}?via=discovery", "jwks_uri": "/keys"}
    scaikey.faults.add("status", path=DISCOVERY, status=200, body=elsewhere)
    client.get_user("usr_unknown")
    assert (f"POST {TOKEN}?via=discovery", 200) in scaikey.requests.recent


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://evil.example.org/token", "https://evil.example.org"),
        ("http://127.0.0.1:1/token", "http://127.0.0.1:1"),
        ("//evil.example.org/token", "http://evil.example.org"),
        ("http://user:pw@127.0.0.1:{port}/token", "http://127.0.0.1:{port}"),
        ("file:///etc/passwd", "file://"),
        ("http://a:port", "://"),
    ],
)
def test_fail_discovery_points_elsewhere(
    scaikey: Sandbox, client: ScaiKeyClient, address: str, shown: str
) -> None:
    body = {"token_endpoint": address.format(port=scaikey.port)}
    scaikey.faults.add("status", path=DISCOVERY, status=200, body=body)
    with pytest.raises(UpstreamInvalidResponse) as caught:
        client.get_user("usr_1")
    assert caught.value.message == (
        f"The discovery document of ScaiKey at {scaikey.url} has its token_endpoint on another "
        f"server, {shown.format(port=scaikey.port)}, which must not get credentials."
    )
    assert tokens_asked(scaikey) == 0


def test_success_https_of_the_same_host_is_accepted(
    scaikey: Sandbox, client: ScaiKeyClient
) -> None:
    body = {"token_endpoint": "https://127.0.0.1:1/token"}
    scaikey.faults.add("status", path=DISCOVERY, status=200, body=body)
    assert client.endpoints().token == "https://127.0.0.1:1/token"


def test_fail_discovery_is_a_web_page(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    scaikey.faults.add("not_json", path=DISCOVERY)
    with pytest.raises(UpstreamInvalidResponse) as caught:
        client.get_user("usr_1")
    assert caught.value.message == (
        f"Invalid response from ScaiKey, GET {DISCOVERY}: it is not JSON."
    )


def test_success_operators_token_is_sent(scaikey: Sandbox) -> None:
    (tenant_id, *_) = scaikey.directory.tenants
    token = scaikey.issue_token(role="tenant_admin", tenant_id=tenant_id)
    with ScaiKeyClient(scaikey.url, bearer=token) as client:
        tenants = [row.id for page in client.iter_pages("tenants") for row in page]
        assert client.claims()["role"] == "tenant_admin"
    assert tenants == [tenant_id]
    assert tokens_asked(scaikey) == 0


def test_fail_operators_token_is_refused(scaikey: Sandbox) -> None:
    token = scaikey.issue_token(role="super_admin", exp=1)
    with ScaiKeyClient(scaikey.url, bearer=token) as client:
        with pytest.raises(UpstreamUnauthorized) as caught:
            client.get_user("usr_1")
    assert caught.value.message == (
        f"ScaiKey at {scaikey.url} rejected this server's credentials for GET "
        "/api/v1/admin/users/usr_1: Invalid or expired token."
    )
    assert caught.value.fix == (
        "Get a new ScaiKey token and export it as SCAIWAVE_ADMIN_TOKEN, or unset that variable."
    )
    assert token not in repr(caught.value) + repr(client)


def test_fail_operators_role_is_too_low(scaikey: Sandbox) -> None:
    token = scaikey.issue_token(role="partner_admin", partner_id="prt_1")
    with ScaiKeyClient(scaikey.url, bearer=token) as client:
        with pytest.raises(UpstreamForbidden) as caught:
            list(client.iter_pages("partners"))
    assert caught.value.message == (
        f"ScaiKey at {scaikey.url} does not allow GET /api/v1/admin/partners/: Super admin role "
        "required."
    )
    assert caught.value.fix == (
        "Use the token of a ScaiKey administrator with access, or unset SCAIWAVE_ADMIN_TOKEN."
    )


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "ü"])
def test_fail_operators_token_is_malformed(token: str) -> None:
    with pytest.raises(InvalidToken) as caught:
        ScaiKeyClient("http://127.0.0.1:1", bearer=token)
    assert caught.value.message == "The ScaiKey token contains characters that no token may have."


def test_fail_no_credentials(scaikey: Sandbox) -> None:
    with ScaiKeyClient(scaikey.url) as client, pytest.raises(SettingMissing) as caught:
        client.get_user("usr_1")
    assert caught.value.message == "No credentials for ScaiKey are configured."
    assert caught.value.fix == (
        "Run `scaiwave sync register`, or set SCAIWAVE_SCAIKEY_CLIENT_ID and "
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET."
    )


@pytest.mark.parametrize(
    ("collection", "fix"),
    [
        (
            "partners",
            "Give the application the scope admin:read and make it GLOBAL in ScaiKey: one that is "
            "PARTNER or TENANT can't list partners.",
        ),
        ("users", "Give the application the scope admin:read in ScaiKey."),
        ("groups", "Give the application the scopes groups:read and admin:read in ScaiKey."),
    ],
)
def test_fail_scope_missing(
    scaikey: Sandbox, client: ScaiKeyClient, collection: str, fix: str
) -> None:
    detail = "Platform token requires admin:read or admin:write scope"
    scaikey.faults.add("status", path="/api/v1/admin/*", status=403, body={"detail": detail})
    with pytest.raises(UpstreamForbidden) as caught:
        list(client.iter_pages(collection))
    assert caught.value.message == (
        f"ScaiKey at {scaikey.url} does not allow GET /api/v1/admin/{collection}/: {detail}."
    )
    assert caught.value.fix == fix
    assert caught.value.exit_code == 3


def test_success_keys_of_platform_and_tenant(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    (tenant, *_) = next(iter(client.iter_pages("tenants")))
    with ScaiKeyClient(scaikey.url) as anonymous:
        assert anonymous.fetch_jwks() == scaikey.keys.build_jwks()
        assert anonymous.fetch_jwks(tenant.slug) == scaikey.keys.build_jwks()


def test_fail_keys_unreadable(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    scaikey.faults.add("status", path="*/jwks.json", status=200, body={"keys": [1]})
    with pytest.raises(UpstreamInvalidResponse) as caught:
        client.fetch_jwks()
    assert caught.value.message == (
        "Invalid response from ScaiKey, the list of keys (JWKS): expected `object`, got `int` "
        "at `keys[0]`."
    )


def test_fail_unreachable(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    scaikey.stop()
    with pytest.raises(UpstreamUnreachable) as caught:
        client.get_user("usr_1")
    assert caught.value.message == f"ScaiKey at {scaikey.url} refuses connections."
    assert client.requests == 0


def test_success_reprs_hide_secrets(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    client.get_user("usr_unknown")
    token = client.auth.bearer()
    shown = repr(client) + repr(client.auth) + repr(client.http) + repr(vars(client))
    assert scaikey.client_secret not in shown
    assert token not in shown
    assert json.dumps(base64.b64encode(scaikey.client_secret.encode()).decode()) not in shown


@pytest.mark.parametrize(
    ("fault", "settings"),
    [
        ("not_json", {}),
        ("wrong_shape", {}),
        ("redirect", {"location": "/login"}),
        ("status", {"status": 500}),
        ("drop", {}),
        ("cut", {}),
        ("wrong_length", {}),
    ],
)
def test_fail_every_fault_is_reported(
    scaikey: Sandbox, client: ScaiKeyClient, fault: Action, settings: dict[str, object]
) -> None:
    scaikey.faults.add(fault, path="/api/v1/admin/users/", query={"page": "2"}, **settings)
    with pytest.raises(ScaiWaveError) as caught:
        list(client.iter_pages("users"))
    assert caught.value.exit_code == 2
    assert caught.value.message.endswith(".")
    assert caught.value.fix
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pages")]


def test_success_temporary_faults_are_retried(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    users = "/api/v1/admin/users/"
    faults: list[Action] = ["drop", "cut", "wrong_length", "status"]
    for page, fault in enumerate(faults, start=1):
        scaikey.faults.add(fault, path=users, query={"page": str(page)}, times=1)
    assert sum(len(page) for page in client.iter_pages("users", per_page=50)) == 250


def test_success_repeated_rows_are_returned(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    """The caller decides about an inconsistent list, and gets what it needs for that."""
    scaikey.faults.add("shift", path="/api/v1/admin/users/", query={"page": "2"}, rows=-3)
    listing = client.iter_pages("users")
    seen = [row.id for page in listing for row in page]
    assert len(seen) == listing.row_count == listing.reported_total == 250
    assert len(set(seen)) == 247
