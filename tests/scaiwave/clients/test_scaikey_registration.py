"""Registering with the sandbox, up to the credentials that come once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaiwave.clients.errors import UpstreamConflict, UpstreamRejected
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.registration import Credentials, RegistrationTicket
from scaiwave.clients.scaikey.schemas import (
    GroupRecord,
    MemberRecord,
    PartnerRecord,
    ScaiKeyRecord,
    ScaiKeyTenantRecord,
    UserRecord,
)
from scaiwave.core.errors import (
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamNotFound,
    UpstreamUnavailable,
)
from scaiwave.sandbox import Sandbox

PATH = "/api/v1/public/register/applications"


@pytest.fixture
def scaikey() -> Iterator[Sandbox]:
    with Sandbox(people=30, tenants=2, seed=3) as running:
        yield running


@pytest.fixture
def client(scaikey: Sandbox) -> Iterator[ScaiKeyClient]:
    with ScaiKeyClient(scaikey.url) as client:
        yield client


def register(client: ScaiKeyClient, **changes: Any) -> RegistrationTicket:
    fields = {
        "name": "ScaiWave",
        "scope": "GLOBAL",
        "contact_email": "ops@example.org",
        "redirect_uris": ["https://chat.example.org/auth/callback"],
    }
    return client.register_application(**{**fields, **changes})


def test_success_credentials_come_once_and_work(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    ticket = register(client)
    assert client.registration_status(*_of(ticket)).status == "PENDING"
    scaikey.registrations.decide(ticket.request_id, "APPROVED")
    status = client.registration_status(*_of(ticket))
    assert status.status == "APPROVED"
    assert status.request_id == ticket.request_id
    own = status.credentials
    assert own is not None
    assert own.application_id
    assert own.issuer == scaikey.url
    assert client.registration_status(*_of(ticket)).credentials is None
    with ScaiKeyClient(
        scaikey.url, client_id=own.client_id, client_secret=own.client_secret
    ) as registered:
        assert sum(len(page) for page in registered.iter_pages("users")) == 30


def _of(ticket: RegistrationTicket) -> tuple[str, str]:
    return ticket.request_id, ticket.status_token


def test_success_of_a_tenant(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    tenant = next(iter(scaikey.directory.tenants.values()))
    scaikey.registrations.auto_approve = True
    ticket = register(client, scope="TENANT", tenant_slug=tenant["slug"])
    own = client.registration_status(*_of(ticket)).credentials
    assert own is not None
    with ScaiKeyClient(
        scaikey.url, client_id=own.client_id, client_secret=own.client_secret
    ) as registered:
        assert [row.id for page in registered.iter_pages("tenants") for row in page] == [
            tenant["id"]
        ]
        assert registered.app_scope == "TENANT"


def test_success_rejected(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    ticket = register(client)
    scaikey.registrations.decide(ticket.request_id, "REJECTED", "Who are you?")
    status = client.registration_status(*_of(ticket))
    assert (status.status, status.rejection_reason) == ("REJECTED", "Who are you?")


def test_success_cancelled(client: ScaiKeyClient) -> None:
    ticket = register(client)
    client.cancel_registration(*_of(ticket))
    assert client.registration_status(*_of(ticket)).status == "CANCELLED"


def test_fail_cancelled_too_late(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    ticket = register(client)
    scaikey.registrations.decide(ticket.request_id, "APPROVED")
    with pytest.raises(UpstreamConflict) as caught:
        client.cancel_registration(*_of(ticket))
    assert caught.value.message == (
        f"ScaiKey at {scaikey.url} reports a conflict for DELETE {PATH}/{ticket.request_id}: "
        "Registration request is APPROVED."
    )


def test_fail_wrong_token(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    ticket = register(client)
    with pytest.raises(UpstreamForbidden) as caught:
        client.registration_status(ticket.request_id, "not-the-status-token")
    assert caught.value.message == (
        f"ScaiKey at {scaikey.url} does not allow GET {PATH}/{ticket.request_id}/status: Invalid "
        "status "
        "token."
    )
    assert caught.value.fix == (
        "Check the request ID and the status token; if they are lost, register again."
    )


def test_fail_unknown_request(client: ScaiKeyClient) -> None:
    with pytest.raises(UpstreamNotFound) as caught:
        client.registration_status("req/none", "not-the-status-token")
    assert caught.value.message == (f"Not found in ScaiKey: {PATH}/req/none/status (404).")


def test_fail_field_is_rejected(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    with pytest.raises(UpstreamRejected) as caught:
        register(client, contact_email="invalid")
    assert caught.value.message == (
        f"ScaiKey at {scaikey.url} rejected POST {PATH}: body.contact_email: value is not a valid "
        "email address."
    )
    assert caught.value.exit_code == 1


def test_fail_is_not_sent_twice(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    scaikey.faults.add("status", path=PATH, status=503)
    with pytest.raises(UpstreamUnavailable):
        register(client)
    assert scaikey.requests.count(PATH) == 1


def test_fail_ticket_is_incomplete(scaikey: Sandbox, client: ScaiKeyClient) -> None:
    scaikey.faults.add("status", path=PATH, status=201, body={"request_id": "req_1"})
    with pytest.raises(UpstreamInvalidResponse) as caught:
        register(client)
    assert caught.value.message == (
        f"Invalid response from ScaiKey, POST {PATH}: object missing required field `status_token`."
    )


def test_success_reprs_hide_secrets() -> None:
    ticket = RegistrationTicket(request_id="req_1", status_token="geheim")
    own = Credentials(client_id="app", client_secret="geheim")
    assert repr(ticket) == "RegistrationTicket(request_id='req_1', status_token=[hidden])"
    assert repr(own) == "Credentials(client_id='app', client_secret=[hidden])"


KINDS = [PartnerRecord, ScaiKeyTenantRecord, UserRecord, GroupRecord]


def read(kind: type[ScaiKeyRecord], **fields: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(fields), type=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_success_an_id_is_enough(kind: type[ScaiKeyRecord]) -> None:
    row = read(kind, id="x", unheard_of={"a": [1]})
    assert row.id == "x"
    assert row.status == ""
    assert row.key == ("x",)


@pytest.mark.parametrize("kind", [*KINDS, MemberRecord])
def test_success_null_is_the_same_as_missing(kind: type[ScaiKeyRecord]) -> None:
    given = {"user_id": "x"} if kind is MemberRecord else {"id": "x"}
    fields = [field.name for field in msgspec.structs.fields(kind) if field.name not in given]
    assert read(kind, **given, **dict.fromkeys(fields)) == read(kind, **given)


@pytest.mark.parametrize(
    ("sent", "status"),
    [("ACTIVE", "ACTIVE"), (" suspended ", "SUSPENDED"), ("neu", "NEU"), (None, "")],
)
def test_success_status(sent: str | None, status: str) -> None:
    assert read(UserRecord, id="x", status=sent).status == status


@pytest.mark.parametrize("kind", [UserRecord, GroupRecord])
@pytest.mark.parametrize(
    ("sent", "tenant_id"),
    [
        ({"tenant_id": "t"}, "t"),
        ({"tenant": {"id": "t", "name": "T"}}, "t"),
        ({"tenant_id": None, "tenant": {"id": "t"}}, "t"),
        ({"tenant_id": "t", "tenant": {"id": "u"}}, "t"),
        ({"tenant": None}, ""),
        ({"tenant": {"name": "T"}}, ""),
        ({"tenant": {"id": None}}, ""),
    ],
)
def test_success_tenant(kind: type[ScaiKeyRecord], sent: dict[str, Any], tenant_id: str) -> None:
    assert read(kind, id="x", **sent).tenant_id == tenant_id


def test_success_partner_limits() -> None:
    row = read(PartnerRecord, id="x", max_tenants=5, max_users_per_tenant=None)
    assert (row.max_tenants, row.max_users_per_tenant) == (5, None)


def test_fail_number_too_big() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"at `\$.max_tenants`"):
        read(PartnerRecord, id="x", max_tenants=2**63)


@pytest.mark.parametrize(
    ("sent", "roles"),
    [
        (["a", "b"], ("a", "b")),
        ([{"name": "a"}, {"id": 1}, "", 3, None], ("a",)),
        ("a", ("a",)),
        ({"name": "a"}, ("a",)),
        ([{"slug": "a", "name": "The As"}], ("a",)),
        ([], ()),
        (None, None),
        (7, None),
        ({}, None),
        ([{"id": 1}, 3], None),
    ],
)
def test_success_roles(sent: object, roles: tuple[str, ...] | None) -> None:
    assert read(UserRecord, id="x", roles=sent).roles == roles


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ({"user_id": "u"}, ("u", "")),
        ({"user_id": "u", "group_id": "container", "id": "m"}, ("u", "")),
        ({"user": {"id": "u"}}, ("u", "")),
        ({"id": "u", "type": "user"}, ("u", "")),
        ({"member_group_id": "g"}, ("", "g")),
        ({"group_id": "g"}, ("", "g")),
        ({"id": "g", "member_type": "GROUP"}, ("", "g")),
        ({"id": "g", "group_id": "container", "type": "GROUP"}, ("", "g")),
        ({"member_group_id": "g", "group_id": "container"}, ("", "g")),
    ],
)
def test_success_member(sent: dict[str, Any], key: tuple[str, str]) -> None:
    assert read(MemberRecord, **sent).key == key


@pytest.mark.parametrize("sent", [{}, {"id": "x"}, {"user_id": ""}, {"type": "USER"}])
def test_fail_member_without_a_person_or_group(sent: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="The user or group has no id"):
        read(MemberRecord, **sent)


@pytest.mark.parametrize(
    ("sent", "direct"), [(None, True), ("direct", True), ("DIRECT", True), ("INHERITED", False)]
)
def test_success_direct_membership(sent: str | None, direct: bool) -> None:
    assert read(MemberRecord, user_id="u", membership_type=sent).is_direct is direct


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_success_roles_of_any_shape(sent: Any) -> None:
    roles = read(UserRecord, id="x", roles=sent).roles
    assert roles is None or isinstance(roles, tuple)
    assert all(isinstance(role, str) for role in roles or ())
