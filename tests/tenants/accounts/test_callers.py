from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from pytest_django import Settings

from scaiwave.auth.tokens import ROLES_BY_RANK, Claims
from scaiwave.core.errors import InsufficientPermission
from scaiwave.core.operators import Operator, OperatorRole, Permission
from scaiwave.site.access import SCAIKEY_BACKEND
from tenants.accounts.callers import (
    find_account,
    find_sign_in_blocker,
    get_caller,
    is_suspended_manually,
)
from tenants.accounts.scaikey_sign_in import sign_in_person
from tenants.errors import SignInRefused, TenantNotFound
from tenants.lookup.visibility import visible_partners, visible_tenants
from tenants.models import AdminUser, AuditEntry, Participant
from tests.refusals import refuses
from tests.scaiwave.site.scaikey_sessions import sign_in
from tests.tenants.factories import NOW, READ_ONLY_OPERATOR, make_partner, make_person, make_tenant

pytestmark = [pytest.mark.django_db, pytest.mark.dated]


def claims(**overrides: Any) -> Claims:
    empty = ("name", "email", "client_id", "partner_id", "issuing_tenant_id", "app_scope")
    silent: dict[str, Any] = dict.fromkeys(empty, "")
    silent |= {"role": None, "roles": (), "scopes": frozenset(), "by_client": False}
    given = {"subject": "usr_anna", "tenant_id": "tnt_acme", "expires_at": 0.0}
    return Claims(**{**silent, **given, **overrides})


def test_success_a_participant_sees_their_tenant_and_may_only_move_rooms() -> None:
    acme = make_tenant(partner=make_partner())
    make_tenant("globex")
    make_tenant("local", scaikey_tenant_id=None)
    anna = make_person(acme, scaikey_id="usr_anna")
    caller = get_caller(claims(role="super_admin"), origin="203.0.113.7")
    assert (caller.tenant, caller.participant) == (acme, anna)
    operator = caller.operator
    assert (operator.name, operator.role) == ("@anna.acme:localhost", OperatorRole.PARTICIPANT)
    assert (operator.origin, operator.subject) == ("203.0.113.7", "usr_anna")
    assert list(visible_tenants(operator)) == [acme]
    assert list(visible_partners(operator)) == []
    assert [permission for permission in Permission if operator.has_permission(permission)] == [
        Permission.EXPORT_ROOMS,
        Permission.IMPORT_ROOMS,
    ]
    for_exports = get_caller(claims(scopes=frozenset({"rooms:export"})), origin="").operator
    assert [each for each in Permission if for_exports.has_permission(each)] == [
        Permission.EXPORT_ROOMS
    ]


def test_success_no_token_makes_an_operator_a_participant() -> None:
    assert OperatorRole.PARTICIPANT.value not in ROLES_BY_RANK


def test_success_no_error_refers_to_a_participant_as_administrator() -> None:
    with pytest.raises(InsufficientPermission) as caught:
        READ_ONLY_OPERATOR.require(Permission.IMPORT_ROOMS)
    assert caught.value.fix == (
        "Ask an operator with one of these roles: host, super_admin, partner_admin, tenant_admin."
    )


@pytest.mark.parametrize("tenant_id", ["", "tnt_none", "acme", "tnt\0"])
def test_fail_unknown_tenant(tenant_id: str) -> None:
    make_person(make_tenant(scaikey_tenant_id=None), scaikey_id="usr_anna")
    with pytest.raises(TenantNotFound):
        get_caller(claims(tenant_id=tenant_id), origin="")


@pytest.mark.parametrize("subject", ["usr_berta", "", "usr\0"])
def test_fail_unknown_participant(subject: str) -> None:
    make_person(make_tenant(), scaikey_id=None)
    make_person(make_tenant("globex"), "berta", scaikey_id="usr_berta")
    with refuses(InsufficientPermission, "The token's user is not a participant of tenant acme."):
        get_caller(claims(subject=subject), origin="")


def test_fail_a_participant_suspended_manually() -> None:
    make_person(make_tenant(), scaikey_id="usr_anna", suspended_by_hand_at=NOW)
    with refuses(InsufficientPermission, "You can't sign in: the person is suspended manually."):
        get_caller(claims(), origin="")


def test_success_suspended_manually_where_the_person_is_now() -> None:
    make_person(make_tenant(), scaikey_id="usr_anna", suspended_by_hand_at=NOW)
    make_person(make_tenant("globex"), scaikey_id="usr_bert")
    assert is_suspended_manually("usr_anna")
    assert not is_suspended_manually("usr_bert")
    assert not is_suspended_manually("usr_unknown")
    assert not is_suspended_manually("usr\0")
    Participant.objects.filter(scaikey_id="usr_anna").update(absent_since=NOW)
    make_person(make_tenant("initech"), scaikey_id="usr_anna")
    assert not is_suspended_manually("usr_anna")


def test_fail_participant_may_not_sign_in() -> None:
    tenant = make_tenant(partner=make_partner(suspended_by_hand_at=NOW))
    make_person(tenant, scaikey_id="usr_anna")
    with pytest.raises(InsufficientPermission) as caught:
        get_caller(claims(), origin="")
    assert caught.value.message == ("You can't sign in: partner northwind is suspended manually.")


BLOCKS: list[tuple[str, Any]] = [
    ("suspended_by_hand_at", NOW),
    ("absent_since", NOW),
    ("scaikey_status", "SUSPENDED"),
]


@pytest.mark.parametrize(("field", "value"), BLOCKS)
@pytest.mark.parametrize("place", ["person", "tenant", "partner"])
def test_an_account_ends_with_what_blocks_the_sign_in_of_its_person(
    place: str, field: str, value: Any
) -> None:
    tenant = make_tenant(partner=make_partner())
    person = make_person(tenant, scaikey_id="usr_anna")
    account = AdminUser.objects.create(username="scaikey:usr_anna", scaikey_id="usr_anna")
    assert find_account(account.pk) == account
    row = {"person": person, "tenant": tenant, "partner": tenant.partner}[place]
    assert row is not None
    setattr(row, field, value)
    row.save()
    assert find_sign_in_blocker("usr_anna") is not None
    assert find_account(account.pk) is None


def test_an_account_is_found_by_the_present_row_of_its_person() -> None:
    left, present = make_tenant("left"), make_tenant("present")
    make_person(left, scaikey_id="usr_anna", absent_since=NOW)
    make_person(present, scaikey_id="usr_anna")
    account = AdminUser.objects.create(username="scaikey:usr_anna", scaikey_id="usr_anna")
    assert find_sign_in_blocker("usr_anna") is None
    assert find_account(account.pk) == account
    AdminUser.objects.update(is_active=False)
    assert find_account(account.pk) is None


def test_an_account_with_a_password_does_not_sign_in_with_scaikey() -> None:
    assert find_account(AdminUser.objects.create(username="root").pk) is None


BLOCKED = [
    ("suspended_by_hand_at", NOW, "is suspended manually"),
    ("absent_since", NOW, "is removed from ScaiKey"),
    ("scaikey_status", "SUSPENDED", "is suspended in ScaiKey"),
]
PLACES = [
    ("partner_admin", "partner", True),
    ("tenant_admin", "partner", True),
    ("tenant_admin", "tenant", True),
    ("partner_admin", "tenant", False),
    ("super_admin", "partner", False),
]


@pytest.mark.parametrize(("field", "value", "reason"), BLOCKED)
@pytest.mark.parametrize(("role", "place", "is_blocked"), PLACES)
def test_only_administrators_of_the_blocked_scope_are_kept_out(
    role: str,
    place: str,
    is_blocked: bool,
    field: str,
    value: Any,
    reason: str,
    settings: Settings,
) -> None:
    """They are not participants: only their role shows where they belong."""
    settings.AUTHENTICATION_BACKENDS = [*django_settings.AUTHENTICATION_BACKENDS, SCAIKEY_BACKEND]
    partner = make_partner()
    tenant = make_tenant(partner=partner)
    scope: dict[str, Any] = {
        "partner_id": partner.scaikey_id if role == "partner_admin" else None,
        "tenant_id": tenant.scaikey_tenant_id if role == "tenant_admin" else None,
    }
    client = sign_in(role, partner=scope["partner_id"], tenant=scope["tenant_id"])
    pages = ("/admin/", "/admin/tenants/tenant/", f"/admin/tenants/tenant/{tenant.pk}/change/")
    assert [client.get(page).status_code for page in pages] == [HTTPStatus.OK] * 3
    row = {"partner": partner, "tenant": tenant}[place]
    before = getattr(row, field)
    setattr(row, field, value)
    row.save()
    expected = HTTPStatus.FOUND if is_blocked else HTTPStatus.OK
    assert [client.get(page).status_code for page in pages] == [expected] * 3
    eve = Operator("eve", OperatorRole(role), subject="usr_eve", **scope)
    setattr(row, field, before)
    row.save()  # The session does not go on.
    assert [client.get(page).status_code for page in pages] == [expected] * 3
    setattr(row, field, value)
    row.save()
    if is_blocked:
        with pytest.raises(SignInRefused, match=reason):
            sign_in_person(operator=eve, name="Eve", email="", now=timezone.now())
        assert not AuditEntry.objects.filter(action="sign-in").exists()
    else:
        sign_in_person(operator=eve, name="Eve", email="", now=timezone.now())


def test_success_a_partner_that_this_server_does_not_have_keeps_no_one_out() -> None:
    for role in ("partner_admin", "tenant_admin"):
        eve = Operator(
            "eve",
            OperatorRole(role),
            partner_id="prt_unknown" if role == "partner_admin" else None,
            tenant_id="tnt_unknown" if role == "tenant_admin" else None,
            subject="usr_eve",
        )
        assert sign_in_person(operator=eve, name="Eve", email="", now=timezone.now()).is_active
