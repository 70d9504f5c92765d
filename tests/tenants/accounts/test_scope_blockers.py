"""Administrators of a suspended or deactivated partner or tenant can't use the admin site."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from pytest_django import Settings

from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.site.access import SCAIKEY_BACKEND
from tenants.accounts.scaikey_sign_in import sign_in_person
from tenants.errors import SignInRefused
from tenants.models import AuditEntry
from tests.scaiwave.site.scaikey_sessions import sign_in
from tests.tenants.factories import NOW, make_partner, make_tenant

pytestmark = pytest.mark.django_db
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
