"""Who may not give, and who may not be left without, which role."""

from __future__ import annotations

from functools import partial

import pytest

from scaiwave.core.operators import Operator, OperatorRole
from tenants.errors import LastSuperAdmin, SelfElevation, SuperAdminOnly
from tenants.models import (
    AuditEntry,
    Group,
    GroupMembership,
    Participant,
    Partner,
    Role,
    RoleGrant,
    Tenant,
)
from tests.concurrency import run_concurrently
from tests.refusals import refuses
from tests.tenants.factories import (
    EARLIER,
    add_members,
    make_group,
    make_partner,
    make_partner_admin,
    make_person,
    make_tenant,
)
from tests.tenants.role_factories import (
    grant,
    make_grant,
    make_nested_groups,
    make_role,
    make_super_admin_operator,
    revoke,
)

pytestmark = pytest.mark.django_db


def test_fail_only_a_super_admin_grants_and_revokes_super_admin(partner: Partner) -> None:
    acme = make_tenant("acme", partner=partner)
    anna, berta = make_person(acme), make_person(acme, "berta")
    paula = make_partner_admin(partner)
    with pytest.raises(SuperAdminOnly) as caught:
        grant(anna, "super_admin", operator=paula)
    assert (caught.value.message, caught.value.exit_code) == (
        "paula (partner_admin) can't grant or revoke super_admin.",
        3,
    )
    sue = make_super_admin_operator(make_person(acme, "sue"))
    for person in (anna, berta):
        assert grant(person, "super_admin", operator=sue).changed
    with pytest.raises(SuperAdminOnly):
        revoke(anna, "super_admin", operator=paula)
    assert revoke(anna, "super_admin", operator=make_super_admin_operator(berta)).changed


def test_fail_operators_cannot_elevate_themselves() -> None:
    tenant = make_tenant(partner=make_partner())
    sue = make_person(tenant, "sue")
    paula = Operator(
        "paula", OperatorRole.PARTNER_ADMIN, partner_id="prt_northwind", subject=str(sue.scaikey_id)
    )
    make_role(tenant)
    for operator in (make_super_admin_operator(sue), paula):
        with pytest.raises(SelfElevation) as caught:
            grant(sue, operator=operator)
        assert caught.value.exit_code == 3
        assert caught.value.message == (
            f"You can't grant a role to yourself: {operator.name} is Sue (@sue.acme:localhost)."
        )
    assert not RoleGrant.objects.exists()
    assert not AuditEntry.objects.exists()
    assert grant(make_person(tenant, "berta"), operator=paula).changed


def test_fail_operators_cannot_elevate_themselves_through_a_group(
    tenant: Tenant, role: Role
) -> None:
    """Not even if a sync deactivates a group between two others, with its membership above."""
    anna, all_group = make_nested_groups(tenant)
    operator = make_super_admin_operator(anna)
    with refuses(SelfElevation, "You can't grant a role to yourself: sue is in group All."):
        grant(all_group, operator=operator)
    assert grant(make_group(tenant, "Others"), operator=operator).changed
    middle = Group.objects.filter(name="Engineering")
    above = GroupMembership.objects.filter(member_group__name="Engineering")
    for rows in (middle, above):
        rows.update(absent_since=EARLIER)
    with pytest.raises(SelfElevation):
        grant(all_group, operator=operator)
    for rows in (middle, above):
        rows.update(absent_since=None)
    GroupMembership.objects.filter(member_participant=anna).update(absent_since=EARLIER)
    assert grant(all_group, operator=operator).changed


def test_fail_operators_cannot_grant_themselves_their_scaikey_roles(tenant: Tenant) -> None:
    anna = make_person(tenant)
    make_grant(make_role(tenant), anna, source="scaikey")
    with pytest.raises(SelfElevation):
        grant(anna, operator=make_super_admin_operator(anna))


def test_success_a_token_of_an_unknown_person(tenant: Tenant, role: Role) -> None:
    local = make_person(tenant, scaikey_id=None)
    platform = Operator("app", OperatorRole.SUPER_ADMIN, subject="app_1")
    assert grant(local, operator=platform).changed


def test_fail_the_last_super_admin(tenant: Tenant, anna: Participant) -> None:
    grant(anna, "super_admin")
    grant(make_person(tenant, "berta", suspended_by_hand_at=EARLIER), "super_admin")
    with pytest.raises(LastSuperAdmin):
        revoke(anna, "super_admin", dry_run=True)
    with refuses(LastSuperAdmin, "No active super_admin would remain.") as caught:
        revoke(anna, "super_admin")
    assert (caught.value.exit_code, caught.value.fix) == (
        1,
        "Grant super_admin to another person first.",
    )
    assert RoleGrant.objects.count() == 2


def test_success_another_super_admin_in_another_tenant() -> None:
    acme, globex = make_tenant("acme"), make_tenant("globex")
    anna, berta = make_person(acme), make_person(globex, "berta")
    grant(anna, "super_admin")
    grant(berta, "super_admin", tenant="globex")
    globex.suspended_by_hand_at = EARLIER
    globex.save()
    with pytest.raises(LastSuperAdmin):
        revoke(anna, "super_admin")
    globex.suspended_by_hand_at = None
    globex.save()
    assert revoke(anna, "super_admin").changed
    with pytest.raises(LastSuperAdmin):
        revoke(berta, "super_admin", tenant="globex")


def test_fail_the_last_super_admins_of_a_group(tenant: Tenant) -> None:
    anna, all_group = make_nested_groups(tenant)
    grant(all_group, "super_admin")
    with pytest.raises(LastSuperAdmin):
        revoke(all_group, "super_admin")
    grant(anna, "super_admin")
    assert revoke(all_group, "super_admin").changed


def test_success_the_same_person_through_another_grant(tenant: Tenant) -> None:
    anna, all_group = make_nested_groups(tenant)
    grant(anna, "super_admin")
    grant(all_group, "super_admin")
    assert revoke(anna, "super_admin").lines == [
        "Role super_admin revoked from Anna (@anna.acme:localhost).",
        "Anna (@anna.acme:localhost) still has role super_admin through Backend > Engineering > "
        "All, granted by root.",
    ]


def test_success_an_inactive_super_admin_may_lose_the_role(tenant: Tenant) -> None:
    berta = make_person(tenant, "berta", suspended_by_hand_at=EARLIER)
    empty = make_group(tenant)
    grant(berta, "super_admin")
    grant(empty, "super_admin")
    assert revoke(berta, "super_admin").changed
    assert revoke(empty, "super_admin").changed


def test_success_scaikeys_super_admins_count(tenant: Tenant) -> None:
    anna, berta = make_person(tenant), make_person(tenant, "berta")
    grant(anna, "super_admin")
    make_grant(anna.role_grants.get().role, berta, source="scaikey")
    assert revoke(anna, "super_admin").changed


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_concurrent_calls_leave_one_super_admin() -> None:
    people = [make_person(make_tenant(slug), slug) for slug in ("acme", "globex")]
    for person in people:
        grant(person, "super_admin", tenant=person.tenant.slug)
    add_members(make_group(people[0].tenant), people[0])

    def attempt(person: Participant) -> str:
        try:
            revoke(person, "super_admin", tenant=person.tenant.slug)
        except LastSuperAdmin:
            return "refused"
        return "revoked"

    outcomes = run_concurrently(*[partial(attempt, person) for person in people])
    assert sorted(outcomes) == ["refused", "revoked"]
    assert RoleGrant.objects.count() == 1
