from __future__ import annotations

import json

import pytest

from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.core.errors import InsufficientPermission, UsageError
from tenants.errors import GroupNotFound, ParticipantNotFound, RoleFromScaiKey, RoleNotFound
from tenants.models import AuditEntry, Participant, Role, RoleGrant, Tenant
from tests.refusals import decline, refuses
from tests.tenants.factories import (
    make_group,
    make_person,
    make_tenant_admin,
    run_command,
)
from tests.tenants.role_factories import make_grant, make_nested_groups, make_role, revoke

pytestmark = pytest.mark.django_db


def test_success_revoked_and_audited(tenant: Tenant, anna: Participant, role: Role) -> None:
    make_grant(role, anna)
    make_grant(role, make_person(tenant, "berta"))
    assert revoke(anna).lines == ["Role editors revoked from Anna (@anna.acme:localhost)."]
    assert list(role.grants.values_list("participant__local_id", flat=True)) == ["berta.acme"]
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_id) == ("role revoke", str(anna.pk))
    assert entry.details == {
        "role": "editors",
        "granted_by": "root",
        "granted_at": "2026-11-01T08:30:00+00:00",
        "reason": "",
    }


def test_success_command(tenant: Tenant) -> None:
    make_grant(make_role(tenant), make_group(tenant))
    words = ("revoke_role", "editors", "--tenant", "acme", "--from-group", "Engineering")
    assert run_command(*words, "--dry-run") == "Would revoke role editors from group Engineering.\n"
    dry = json.loads(run_command(*words, "--dry-run", "--json"))
    assert (dry["changed"], dry["dry_run"]) == (True, True)
    assert RoleGrant.objects.count() == 1
    assert run_command(*words, "--yes") == "Role editors revoked from group Engineering.\n"
    assert (
        run_command(*words)
        == "Role editors is not granted to group Engineering; nothing changed.\n"
    )
    document = json.loads(run_command(*words, "--json"))
    assert (document["group"]["name"], document["changed"]) == ("Engineering", False)
    assert AuditEntry.objects.count() == 1


def test_success_remaining_grants_are_reported(tenant: Tenant) -> None:
    anna, all_group = make_nested_groups(tenant)
    role = make_role(tenant)
    make_grant(role, anna)
    make_grant(role, all_group)
    still = (
        "Anna (@anna.acme:localhost) still has role editors through Backend > Engineering > All, "
        "granted by root."
    )
    for dry_run in (True, False):
        result = revoke(anna, dry_run=dry_run)
        assert result.lines[1:] == [still]
    assert revoke(anna).lines == [
        "Role editors is not granted to Anna (@anna.acme:localhost); nothing changed.",
        still,
    ]
    assert revoke(anna).document()["remaining_paths"] == [["Backend", "Engineering", "All"]]


def test_success_built_in_that_was_never_granted(anna: Participant) -> None:
    assert not revoke(anna, "tenant_admin").changed
    assert not Role.objects.exists()


def test_fail_from_scaikey(tenant: Tenant, anna: Participant) -> None:
    make_grant(make_role(tenant), anna, source="scaikey")
    with pytest.raises(RoleFromScaiKey):
        revoke(anna, dry_run=True)
    with refuses(
        RoleFromScaiKey,
        "Anna (@anna.acme:localhost) has role editors through ScaiKey, not through a manual grant.",
        "Remove the role from the holder in ScaiKey, then run `scaiwave sync`.",
    ) as caught:
        revoke(anna)
    assert caught.value.exit_code == 1
    assert RoleGrant.objects.exists()


def test_fail_unknown_and_not_allowed(tenant: Tenant, anna: Participant) -> None:
    make_grant(make_role(tenant), anna)
    with pytest.raises(RoleNotFound):
        revoke(anna, "nope")
    with pytest.raises(ParticipantNotFound):
        revoke(anna, holder="nope")
    with pytest.raises(GroupNotFound):
        revoke(anna, is_group=True)
    with pytest.raises(InsufficientPermission):
        revoke(anna, operator=make_tenant_admin(tenant))
    with pytest.raises(UsageError):
        run_command("revoke_role", "editors", "--tenant", "acme")
    assert RoleGrant.objects.exists()


def test_fail_not_confirmed(tenant: Tenant) -> None:
    role, anna = make_role(tenant), make_person(tenant)
    make_grant(role, anna)
    with refuses(
        ConfirmationDeclined, "This revokes role editors from Anna (@anna.acme:localhost)."
    ):
        revoke(anna, confirm=decline)
    assert RoleGrant.objects.count() == 1
    revoke(anna, confirm=print)
    assert not RoleGrant.objects.exists()
