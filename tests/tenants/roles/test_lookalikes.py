"""Slugs and names that could be mistaken for a built-in role are reserved."""

from __future__ import annotations

import pytest

from tenants.errors import InvalidRoleSlug, RoleBuiltIn
from tenants.models import Role, Tenant
from tenants.roles.create_role import create_role
from tenants.roles.lookalikes import find_lookalike
from tenants.roles.update_role import update_role
from tests.tenants.factories import HOST_OPERATOR, NOW

LOOKALIKES = [
    "super-admin",
    "superadmin",
    "super_adm1n",
    "supe-radmin",
    "5uper_admin",
    "partneradmin",
    "partner-admin",
    "tenant-admin",
    "t3nant_admin",
    "super-adrnin",
]
NAMES = [
    "Super_Admin",
    "super admin",
    "ＳＵＰＥＲ＿ＡＤＭＩＮ",
    "ѕuреr_аdmіn",
    "süper_admın",
    "Super Administrator",
    "super\u200b_admin",
    "Tenant administrator",
    "super_admin",
    "Super administrator\u3164",
    "\u115fSuper\u1160\uffa0 Admin",
    "Tenant\u02baadmin",
    "ŧenant admin",
]


@pytest.mark.django_db
@pytest.mark.parametrize("slug", LOOKALIKES)
def test_fail_slug(slug: str, tenant: Tenant) -> None:
    with pytest.raises(RoleBuiltIn) as caught:
        create_role(operator=HOST_OPERATOR, tenant="acme", slug=slug, name="Helpers", now=NOW)
    assert f"Slug '{slug}' is reserved" in caught.value.message
    assert not Role.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("slug", ["Super_Admin", "ѕuреr_аdmіn", "super__admin"])
def test_fail_slug_of_no_form(slug: str, tenant: Tenant) -> None:
    with pytest.raises(InvalidRoleSlug):
        create_role(operator=HOST_OPERATOR, tenant="acme", slug=slug, name="Helpers", now=NOW)


@pytest.mark.django_db
def test_fail_name(tenant: Tenant) -> None:
    create_role(operator=HOST_OPERATOR, tenant="acme", slug="helper", name="Helpers", now=NOW)
    for name in NAMES:
        if not name.isprintable():
            assert find_lookalike(name) == "super_admin"
            continue
        with pytest.raises(RoleBuiltIn):
            create_role(operator=HOST_OPERATOR, tenant="acme", slug="other", name=name, now=NOW)
        with pytest.raises(RoleBuiltIn):
            update_role(
                operator=HOST_OPERATOR,
                role="helper",
                tenant="acme",
                name=name,
                now=NOW,
            )
    assert Role.objects.get().name == "Helpers"


@pytest.mark.parametrize(
    "name", ["admin", "superb", "support-admin", "partner", "tenant", "editor", "administrator", ""]
)
def test_success_other_names(name: str) -> None:
    assert find_lookalike(name) is None


@pytest.mark.parametrize("slug", ["super_admin", "partner_admin", "tenant_admin"])
def test_success_a_built_in_role_does_not_look_like_itself(slug: str) -> None:
    assert find_lookalike(slug) is None
