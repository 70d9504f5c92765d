from __future__ import annotations

import json
from functools import partial

import pytest

from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.core.errors import ConfirmationNeeded, InsufficientPermission
from tenants.errors import RoleBuiltIn, RoleInUse, RoleNotFound, TenantNotFound
from tenants.models import AuditEntry, Partner, Role, Tenant
from tenants.roles.create_role import delete_role
from tests.refusals import decline, refuses
from tests.scaiwave import row_factories
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    make_group,
    make_partner_admin,
    make_person,
    make_tenant,
    make_tenant_admin,
    run_command,
)
from tests.tenants.role_factories import make_grant, make_role

pytestmark = pytest.mark.django_db


delete = partial(delete_role, operator=HOST_OPERATOR, tenant="acme", role="editors", now=NOW)


def test_success_deleted_and_audited(role: Role) -> None:
    words = ("delete_role", "editors", "--tenant", "acme")
    assert run_command(*words, "--dry-run") == "Would delete role editors of tenant acme.\n"
    assert Role.objects.exists()
    with pytest.raises(ConfirmationNeeded, match="This deletes role editors of tenant acme"):
        run_command(*words)
    assert Role.objects.exists()
    assert run_command(*words, "--yes") == "Role editors of tenant acme deleted.\n"
    assert not Role.objects.exists()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_id, entry.subject_name) == (
        "role delete",
        str(role.pk),
        "editors",
    )


def test_success_json(role: Role) -> None:
    words = ("delete_role", str(role.pk), "--tenant", "acme", "--json")
    dry = json.loads(run_command(*words, "--dry-run"))
    assert (dry["changed"], dry["dry_run"]) == (True, True)
    document = json.loads(run_command(*words, "--yes"))
    assert (document["role"]["id"], document["changed"]) == (str(role.pk), True)


def test_success_rooms_that_still_use_it_are_reported() -> None:
    acme, globex = make_tenant("acme"), make_tenant("globex")
    make_role(acme)
    for tenant, name, slugs in (
        (acme, "Lab", ["sales", "editors"]),
        (acme, "Attic", ["editors"]),
        (acme, "Hall", ["editors-2"]),
        (globex, "Elsewhere", ["editors"]),
    ):
        place = row_factories.make_workspace(tenant, name.lower())
        row_factories.make_room(
            place, make_person(tenant, name.lower()), name=name, read_role_slugs=slugs
        )
    planned = delete(dry_run=True)
    assert planned.document()["used_by"] == ["room Attic", "room Lab"]
    assert planned.warnings == [
        "Still open to holders of editors: room Attic; room Lab. No one holds the role now, but "
        "anyone who is granted a new role with this slug can read them."
    ]
    assert delete().warnings == planned.warnings


def test_fail_role_is_granted(tenant: Tenant, role: Role) -> None:
    make_grant(role, make_person(tenant), source="scaikey")
    make_grant(role, make_group(tenant))
    with pytest.raises(RoleInUse):
        delete(dry_run=True)
    with refuses(
        RoleInUse,
        "Role editors has 2 grants: to Anna (@anna.acme:localhost) from ScaiKey; to "
        "group Engineering.",
        "Revoke each grant first: `scaiwave role revoke editors --tenant acme --from "
        "<participant>` or `--from-group <group>`. Remove grants from ScaiKey in ScaiKey.",
    ):
        delete()
    assert not AuditEntry.objects.exists()


def test_fail_role_is_granted_to_many(tenant: Tenant, role: Role) -> None:
    for number in range(12):
        make_grant(role, make_person(tenant, f"p{number}"))
    with pytest.raises(RoleInUse) as caught:
        delete()
    assert caught.value.message.startswith("Role editors has 12 grants: to P0 (")
    assert caught.value.message.endswith("; and 2 more.")


def test_fail_built_in() -> None:
    make_role(make_tenant(), "super_admin", is_built_in=True)
    for slug in ("super_admin", "tenant_admin"):
        with refuses(RoleBuiltIn, f"Role {slug} is built in and can't be deleted."):
            delete(role=slug)


def test_fail_unknown_and_out_of_scope(partner: Partner) -> None:
    acme, globex = make_tenant("acme", partner=partner), make_tenant("globex")
    elsewhere = make_role(globex)
    with refuses(RoleNotFound, "Role not found in tenant acme: editors."):
        delete()
    with pytest.raises(RoleNotFound):
        delete(role=str(elsewhere.pk))
    with pytest.raises(TenantNotFound):
        delete(operator=make_partner_admin(partner), tenant="globex")
    with pytest.raises(InsufficientPermission):
        delete(operator=make_tenant_admin(acme))
    assert Role.objects.exists()


def test_fail_not_confirmed(role: Role) -> None:
    with refuses(ConfirmationDeclined, "This deletes role editors of tenant acme."):
        delete(confirm=decline)
    assert Role.objects.count() == 1
    delete(confirm=print)
    assert not Role.objects.exists()
