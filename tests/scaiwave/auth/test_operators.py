"""Who acts, with tokens that a ScaiKey on loopback has really signed."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from identity_sync.models import Registration, RegistrationState
from scaiwave.auth.identify import identify_operator
from scaiwave.config import load
from scaiwave.core.errors import (
    ExpiredToken,
    InsufficientPermission,
    InvalidToken,
    ScaiWaveError,
    SettingMissing,
    TokenRequired,
    UpstreamUnreachable,
)
from scaiwave.core.operators import ROLE_PERMISSIONS, Operator, OperatorRole, Permission
from scaiwave.sandbox import Sandbox
from tenants.models import Participant, Tenant
from tests.scaiwave.cli_helpers import run_scaiwave
from tests.tenants.factories import NOW, make_person, make_tenant

# The owner of a token may be a participant who is suspended.
pytestmark = pytest.mark.django_db

LIST = ("admin", "list-tenants")
NEW_TOKEN = "Get a new ScaiKey token and export it as SCAIWAVE_ADMIN_TOKEN, or unset that variable."


@pytest.fixture(scope="module")
def scaikey() -> Iterator[Sandbox]:
    with Sandbox(people=5, tenants=2, seed=3) as running:
        yield running


def environment(scaikey: Sandbox, token: str, **others: str) -> dict[str, str]:
    return {
        "SCAIWAVE_SCAIKEY_URL": scaikey.url,
        "SCAIWAVE_SCAIKEY_CLIENT_ID": scaikey.client_id,
        "SCAIWAVE_ADMIN_TOKEN": token,
        **others,
    }


def identified(scaikey: Sandbox, token: str, **others: str) -> Operator:
    return identify_operator(load(environment(scaikey, token, **others)))


def test_success_host_operator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is that of the process's user, not of environment variables."""
    monkeypatch.setenv("USER", "mallory")
    monkeypatch.setenv("LOGNAME", "mallory")
    operator = identify_operator(load({}))
    assert operator.role is OperatorRole.HOST
    assert operator.name == pwd.getpwuid(os.geteuid()).pw_name
    assert operator.sees_everything


@pytest.mark.parametrize(
    ("claims", "role", "partner_id", "tenant_id"),
    [
        ({"role": "super_admin"}, OperatorRole.SUPER_ADMIN, None, None),
        ({"role": "SUPER_ADMIN"}, OperatorRole.SUPER_ADMIN, None, None),
        (
            {"roles": ["viewer", "super_admin", "tenant_admin"]},
            OperatorRole.SUPER_ADMIN,
            None,
            None,
        ),
        (
            {"role": "partner_admin", "partner_id": "prt_1"},
            OperatorRole.PARTNER_ADMIN,
            "prt_1",
            None,
        ),
        (
            {"role": "tenant_admin", "partner_id": "prt_1", "tenant_id": "tnt_1"},
            OperatorRole.TENANT_ADMIN,
            None,
            "tnt_1",
        ),
        (
            {"role": "super_admin", "partner_id": "prt_1", "tenant_id": "tnt_1"},
            OperatorRole.SUPER_ADMIN,
            None,
            None,
        ),
    ],
)
def test_success_roles(
    claims: dict[str, Any],
    role: OperatorRole,
    partner_id: str | None,
    tenant_id: str | None,
    scaikey: Sandbox,
) -> None:
    operator = identified(
        scaikey, scaikey.issue_token(email="anna@example.com", sub="usr_1", **claims)
    )
    assert (operator.name, operator.role) == ("anna@example.com", role)
    assert operator.subject == "usr_1"
    assert (operator.partner_id, operator.tenant_id) == (partner_id, tenant_id)


@pytest.mark.parametrize(
    ("scope", "role"),
    [
        ("admin:read", OperatorRole.PLATFORM_READ),
        ("admin:write", OperatorRole.SUPER_ADMIN),
        ("openid admin:read admin:write", OperatorRole.SUPER_ADMIN),
    ],
)
def test_success_platform_tokens(scope: str, role: OperatorRole, scaikey: Sandbox) -> None:
    assert identified(scaikey, scaikey.issue_platform_token(scope=scope)).role is role


def test_success_configured_audience(scaikey: Sandbox) -> None:
    token = scaikey.issue_token(role="super_admin", aud="other-app")
    operator = identified(scaikey, token, SCAIWAVE_SCAIKEY_AUDIENCE="other-app")
    assert operator.role is OperatorRole.SUPER_ADMIN


def test_success_token_of_a_tenant(scaikey: Sandbox) -> None:
    """Its keys are at the tenant's own address, which its slug is part of."""
    id_, row = next(iter(scaikey.directory.tenants.items()))
    now = datetime(2026, 1, 1, tzinfo=UTC)
    Tenant.objects.create(
        scaikey_tenant_id=id_, slug=row["slug"], name="A", created_at=now, updated_at=now
    )
    token = scaikey.issue_token(role="tenant_admin", tenant_id=id_, iss=scaikey.get_issuer(id_))
    assert identified(scaikey, token).tenant_id == id_


NO_ROLE = (InsufficientPermission, "The token has no administrator role.")
REFUSED: list[tuple[str, dict[str, Any], type[ScaiWaveError], str]] = [
    ("expired", {"exp": 1_700_000_000}, ExpiredToken, "The token has expired."),
    ("issuer", {"iss": "https://evil.example"}, InvalidToken, "The token was not issued by {url}."),
    (
        "audience",
        {"aud": "another"},
        InvalidToken,
        "The token was issued for another application (audience).",
    ),
    ("no role", {"role": None}, *NO_ROLE),
    ("user role", {"role": "viewer"}, *NO_ROLE),
    ("scope without a platform token", {"role": None, "scope": "admin:write"}, *NO_ROLE),
    (
        "application without a scope",
        {"role": None, "scope": "admin:write", "token_type": "client_credentials"},
        InsufficientPermission,
        "The token does not name the scope of its application (app_scope), and this server has "
        "no registration for that application.",
    ),
    (
        "application with an unknown scope",
        {
            "role": None,
            "scope": "admin:write",
            "token_type": "client_credentials",
            "app_scope": "ALL",
        },
        *NO_ROLE,
    ),
    (
        "no partner",
        {"role": "partner_admin"},
        InvalidToken,
        "The token has the role partner_admin but no partner.",
    ),
    (
        "no tenant",
        {"role": "tenant_admin"},
        InvalidToken,
        "The token has the role tenant_admin but no tenant.",
    ),
]


@pytest.mark.parametrize(
    ("claims", "error", "message"),
    [case[1:] for case in REFUSED],
    ids=[case[0] for case in REFUSED],
)
def test_fail_refused(
    claims: dict[str, Any], error: type[ScaiWaveError], message: str, scaikey: Sandbox
) -> None:
    token = scaikey.issue_token(**{"role": "super_admin", **claims})
    with pytest.raises(error) as caught:
        identified(scaikey, token)
    assert caught.value.message == message.format(url=scaikey.url)
    assert caught.value.exit_code == 3
    assert token not in caught.value.fix


@pytest.mark.parametrize(
    ("app_scope", "scope", "role"),
    [
        ("PARTNER", "admin:read", OperatorRole.SERVICE),
        ("PARTNER", "admin:write", OperatorRole.PARTNER_ADMIN),
        ("TENANT", "admin:read", OperatorRole.SERVICE),
        ("TENANT", "admin:write", OperatorRole.TENANT_ADMIN),
    ],
)
def test_success_application_of_a_partner_or_tenant(
    app_scope: str, scope: str, role: OperatorRole, scaikey: Sandbox
) -> None:
    token = scaikey.issue_platform_token(
        scope=scope,
        app_scope=app_scope,
        platform_token=None,
        **{f"{app_scope.lower()}_id": "one"},
    )
    operator = identified(scaikey, token)
    assert operator.role is role
    assert operator.is_own_application
    assert (operator.partner_id, operator.tenant_id) == (
        ("one", None) if app_scope == "PARTNER" else (None, "one")
    )


@pytest.mark.parametrize(
    ("scope", "role"),
    [
        ("GLOBAL", OperatorRole.PLATFORM_READ),
        ("PARTNER", OperatorRole.SERVICE),
        ("TENANT", OperatorRole.SERVICE),
    ],
)
def test_success_application_has_the_scope_of_its_registration(
    scope: str, role: OperatorRole, scaikey: Sandbox
) -> None:
    Registration.objects.create(
        scaikey_url=scaikey.url,
        request_id="req_1",
        name="here",
        scope=scope,
        client_id=scaikey.client_id,
        state=RegistrationState.APPROVED,
        requested_at=NOW,
    )
    claims: dict[str, Any] = {"app_scope": None, "platform_token": None}
    claims |= {"partner_id": "p", "tenant_id": "t"}
    assert identified(scaikey, scaikey.issue_platform_token(**claims)).role is role


def test_fail_tenant_issues_a_token_for_the_platform(scaikey: Sandbox) -> None:
    id_, row = next(iter(scaikey.directory.tenants.items()))
    make_tenant(row["slug"], scaikey_tenant_id=id_)
    claims = {"tenant_id": id_, "iss": scaikey.get_issuer(id_)}
    for role in ("super_admin", "partner_admin"):
        with pytest.raises(InsufficientPermission) as caught:
            identified(scaikey, scaikey.issue_token(role=role, partner_id="prt_1", **claims))
        assert caught.value.message == (
            "The token claims a role of the platform, but a tenant has issued it."
        )
    for scope in ("GLOBAL", "PARTNER"):
        token = scaikey.issue_platform_token(
            scope="admin:write", app_scope=scope, partner_id="prt_1", **claims
        )
        with pytest.raises(InsufficientPermission):
            identified(scaikey, token)


def test_success_name_is_cut(scaikey: Sandbox) -> None:
    token = scaikey.issue_token(role="super_admin", email="x" * 5_000)
    assert identified(scaikey, token).name == "x" * 200


def test_fail_signed_with_another_key(scaikey: Sandbox) -> None:
    with pytest.raises(InvalidToken) as caught:
        identified(scaikey, scaikey.issue_token(role="super_admin", key=scaikey.keys.foreign_key()))
    assert caught.value.message == "The token's signature is invalid."


@pytest.mark.parametrize("scope", ["", "openid groups:read", "admin:reader"])
def test_fail_platform_token_without_a_scope(scope: str, scaikey: Sandbox) -> None:
    with pytest.raises(InsufficientPermission):
        identified(scaikey, scaikey.issue_platform_token(scope=scope))


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("token", ["garbage", " ", "a.b.c", "é", "x" * 20_000])
@pytest.mark.parametrize("words", [LIST, ("admin", "list-tenants", "--json")])
def test_fail_malformed_token_never_falls_back_to_the_host(
    words: tuple[str, ...], token: str, scaikey: Sandbox, migrated: Path
) -> None:
    ended = run_scaiwave(*words, **environment(scaikey, token))
    assert (ended.code, ended.out) == (3, "")
    assert "SW_AUTH_INVALID_TOKEN" in ended.err
    assert NEW_TOKEN in ended.err
    assert token.strip() == "" or token not in ended.err


def test_fail_token_of_an_empty_file(home: Path) -> None:
    (home / "token").write_text("\n")
    ended = run_scaiwave("sync", "show-config", SCAIWAVE_ADMIN_TOKEN_FILE=str(home / "token"))
    assert (ended.code, ended.out) == (2, "")


@pytest.mark.only_on("sqlite")
def test_success_token_at_the_console(scaikey: Sandbox, migrated: Path) -> None:
    good = scaikey.issue_token(role="super_admin")
    ended = run_scaiwave(*LIST, **environment(scaikey, good, SCAIWAVE_REQUIRE_ADMIN_TOKEN="true"))
    assert (ended.code, ended.err) == (0, "No tenants.\n")


def test_fail_token_is_required() -> None:
    with pytest.raises(TokenRequired):
        identify_operator(load({"SCAIWAVE_REQUIRE_ADMIN_TOKEN": "true"}))
    ended = run_scaiwave("sync", "show-config", SCAIWAVE_REQUIRE_ADMIN_TOKEN="true")
    assert ended.code == 3
    assert ended.err == (
        "Error: No operator token is set, and this server requires one. "
        "[SW_AUTH_TOKEN_REQUIRED]\n  Fix: Export a ScaiKey token as SCAIWAVE_ADMIN_TOKEN.\n"
    )


def test_fail_role_is_not_allowed(scaikey: Sandbox) -> None:
    token = scaikey.issue_token(role="tenant_admin", tenant_id="tnt_1", email="anna@example.com")
    ended = run_scaiwave("sync", "show-config", **environment(scaikey, token))
    assert (ended.code, ended.out) == (3, "")
    assert ended.err == (
        "Error: anna@example.com (tenant_admin) may not view this server's configuration. "
        "[SW_AUTH_INSUFFICIENT_PERMISSION]\n"
        "  Fix: Ask an operator with one of these roles: host, super_admin, platform_read.\n"
    )


def test_fail_suspended_manually_on_this_server(scaikey: Sandbox) -> None:
    person = make_person(make_tenant(), scaikey_id="usr_anna")
    token = scaikey.issue_token(role="super_admin", sub="usr_anna", email="anna@example.com")
    assert identified(scaikey, token).subject == "usr_anna"
    Participant.objects.filter(pk=person.pk).update(suspended_by_hand_at=NOW)
    with pytest.raises(InsufficientPermission) as caught:
        identified(scaikey, token)
    assert caught.value.message == "anna@example.com is suspended manually on this server."
    assert caught.value.fix == (
        "Ask another operator to run `scaiwave admin resume-participant usr_anna`."
    )


def test_fail_an_administrator_of_a_suspended_tenant(scaikey: Sandbox) -> None:
    tenant = make_tenant()
    scope: dict[str, Any] = {"role": "tenant_admin", "tenant_id": tenant.scaikey_tenant_id}
    token = scaikey.issue_token(**scope, email="anna@example.com")
    assert identified(scaikey, token).role is OperatorRole.TENANT_ADMIN
    Tenant.objects.update(suspended_by_hand_at=NOW)
    with pytest.raises(InsufficientPermission) as caught:
        identified(scaikey, token)
    assert caught.value.message == (
        "anna@example.com (tenant_admin) may not run commands: tenant acme is suspended manually."
    )
    assert identified(scaikey, scaikey.issue_token(role="super_admin")).sees_everything


def test_success_the_own_application_of_a_deactivated_tenant_can_still_sync(
    scaikey: Sandbox,
) -> None:
    tenant = make_tenant()
    Tenant.objects.update(absent_since=NOW)
    claims: dict[str, Any] = {
        "token_type": "client_credentials",
        "app_scope": "TENANT",
        "scope": "admin:write",
        "tenant_id": tenant.scaikey_tenant_id,
    }
    own = scaikey.issue_token(**claims, client_id=scaikey.client_id)
    assert identified(scaikey, own).is_own_application
    other = scaikey.issue_token(**claims, client_id="app_other", aud=scaikey.client_id)
    with pytest.raises(InsufficientPermission, match="is removed from ScaiKey"):
        identified(scaikey, other)


def test_fail_keys_cannot_be_fetched(scaikey: Sandbox) -> None:
    gone = Sandbox(people=1, seed=3)
    with gone:
        token = gone.issue_token(role="super_admin")
    began = time.monotonic()
    with pytest.raises(UpstreamUnreachable) as caught:
        identified(gone, token)
    assert caught.value.exit_code == 2
    assert time.monotonic() - began < 30


@pytest.mark.parametrize("name", ["SCAIWAVE_SCAIKEY_URL", "SCAIWAVE_SCAIKEY_CLIENT_ID"])
def test_fail_scaikey_is_not_configured(name: str, scaikey: Sandbox) -> None:
    with pytest.raises(SettingMissing) as caught:
        identified(scaikey, scaikey.issue_token(role="super_admin"), **{name: ""})
    assert caught.value.message == f"{name} is not set."
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("role", OperatorRole)
@pytest.mark.parametrize("permission", Permission)
def test_success_permissions(role: OperatorRole, permission: Permission) -> None:
    operator = Operator("anna", role)
    if permission in ROLE_PERMISSIONS[role]:
        operator.require(permission)
    else:
        with pytest.raises(InsufficientPermission, match=rf"\Aanna \({role.value}\) may not "):
            operator.require(permission)


def test_success_the_table_of_roles() -> None:
    everything = set(Permission)
    looking = {Permission.VIEW}
    assert (
        ROLE_PERMISSIONS[OperatorRole.HOST]
        == ROLE_PERMISSIONS[OperatorRole.SUPER_ADMIN]
        == everything
    )
    syncing = looking | {Permission.SYNC_TENANTS}
    assert ROLE_PERMISSIONS[OperatorRole.SERVICE] == syncing
    rooms = {Permission.EXPORT_ROOMS, Permission.IMPORT_ROOMS}
    assert ROLE_PERMISSIONS[OperatorRole.TENANT_ADMIN] == syncing | rooms
    assert ROLE_PERMISSIONS[OperatorRole.PLATFORM_READ] == looking | {Permission.VIEW_PLATFORM}
    assert ROLE_PERMISSIONS[OperatorRole.PARTNER_ADMIN] == everything - {
        Permission.MANAGE_PLATFORM,
        Permission.VIEW_PLATFORM,
        Permission.READ_MESSAGES,
    }


ROOMS = [Permission.EXPORT_ROOMS, Permission.IMPORT_ROOMS]


@pytest.mark.parametrize(
    ("scope", "permissions"),
    [
        ("admin:read", []),
        ("admin:read rooms:export", ROOMS[:1]),
        ("admin:read rooms:import", ROOMS[1:]),
        ("admin:read rooms:export rooms:import", ROOMS),
        ("admin:write", ROOMS),
        ("admin:write rooms:export", ROOMS[:1]),
    ],
)
def test_success_scopes_name_what_a_token_may_do_with_rooms(
    scope: str, permissions: list[Permission], scaikey: Sandbox
) -> None:
    operator = identified(scaikey, scaikey.issue_platform_token(scope=scope))
    assert [each for each in ROOMS if operator.has_permission(each)] == permissions
    assert operator.has_permission(Permission.VIEW_PLATFORM)
    assert operator.has_permission(Permission.MANAGE_PLATFORM) is ("admin:write" in scope)


def test_fail_a_token_for_exports_imports_nothing_whatever_its_role(scaikey: Sandbox) -> None:
    token = scaikey.issue_token(role="super_admin", scope="rooms:export")
    operator = identified(scaikey, token)
    operator.require(Permission.EXPORT_ROOMS)
    with pytest.raises(InsufficientPermission) as caught:
        operator.require(Permission.IMPORT_ROOMS)
    assert caught.value.message.endswith(" (super_admin) may not import rooms.")
    assert caught.value.fix == "Use a token with the scope rooms:import."


def test_fail_scopes_of_rooms_alone_are_no_role(scaikey: Sandbox) -> None:
    with pytest.raises(InsufficientPermission, match="The token has no administrator role"):
        identified(scaikey, scaikey.issue_platform_token(scope="rooms:export"))
