from __future__ import annotations

import json

import pytest

from scaiwave.core.errors import UsageError
from tenants.errors import (
    AmbiguousName,
    GroupNotFound,
    ParticipantNotFound,
    RoleHolderInactive,
    RoleNotFound,
    TenantNotFound,
)
from tenants.models import AuditEntry, Participant, Partner, Role, RoleGrant, Tenant
from tenants.people.queries.participants import show_participant
from tests.concurrency import run_concurrently
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    make_group,
    make_partner_admin,
    make_person,
    make_tenant,
    run_command,
)
from tests.tenants.role_factories import grant, make_grant, make_role

pytestmark = pytest.mark.django_db


def test_success_to_a_participant_and_audited(tenant: Tenant) -> None:
    anna, role = make_person(tenant), make_role(tenant)
    result = grant(anna)
    assert result.lines == ["Role editors granted to Anna (@anna.acme:localhost)."]
    given, entry = RoleGrant.objects.get(), AuditEntry.objects.get()
    assert (given.role, given.participant, given.group, given.tenant) == (role, anna, None, tenant)
    assert (given.source, given.granted_by, given.created_at) == ("manual", "root", NOW)
    assert (entry.action, entry.subject_type, entry.subject_id) == (
        "role grant",
        "participant",
        str(anna.pk),
    )
    assert entry.details == {"role": "editors", "outcome": "granted", "reason": ""}
    shown = show_participant(operator=HOST_OPERATOR, name=str(anna.pk))
    assert [row["action"] for row in shown["audit_entries"]] == ["role grant"]


def test_success_command(tenant: Tenant, role: Role) -> None:
    make_person(tenant)
    group = make_group(tenant)
    words = ("grant_role", "editors", "--tenant", "acme", "--to-group", "Engineering")
    assert run_command(*words, "--dry-run") == "Would grant role editors to group Engineering.\n"
    assert not RoleGrant.objects.exists()
    assert run_command(*words) == "Role editors granted to group Engineering.\n"
    assert run_command(*words) == "Group Engineering already has role editors (manual grant).\n"
    assert AuditEntry.objects.count() == 1
    document = json.loads(run_command(*words, "--json"))
    assert (document["group"]["id"], document["outcome"], document["changed"]) == (
        str(group.pk),
        "already_granted",
        False,
    )
    words = ("grant_role", "editors", "--tenant", "acme", "--to", "anna@acme.example")
    document = json.loads(run_command(*words, "--json", "--dry-run"))
    assert (document["outcome"], document["changed"], document["dry_run"]) == (
        "granted",
        True,
        True,
    )
    assert run_command(*words) == "Role editors granted to Anna (@anna.acme:localhost).\n"


def test_success_built_in_gets_its_row(tenant: Tenant, anna: Participant) -> None:
    assert grant(anna, "tenant_admin", dry_run=True).document()["role"]["id"] is None
    assert not Role.objects.exists()
    grant(anna, "tenant_admin")
    grant(make_person(tenant, "berta"), "tenant_admin")
    role = Role.objects.get()
    assert (role.slug, role.name, role.is_built_in) == (
        "tenant_admin",
        "Tenant administrator",
        True,
    )
    assert role.grants.count() == 2


def test_success_manual_grant_replaces_that_of_scaikey(tenant: Tenant, anna: Participant) -> None:
    given = make_grant(make_role(tenant), anna, source="scaikey", granted_by="ScaiKey")
    assert grant(anna, dry_run=True).lines == [
        "Anna (@anna.acme:localhost) has role editors from ScaiKey; would convert it to a manual "
        "grant."
    ]
    assert grant(anna).lines == [
        "Anna (@anna.acme:localhost) has role editors from ScaiKey; converted to a manual grant, "
        "which remains if ScaiKey removes its own."
    ]
    again = RoleGrant.objects.get()
    assert (again.pk, again.source, again.granted_by) == (given.pk, "manual", "root")
    assert AuditEntry.objects.get().details["outcome"] == "taken_over"


def test_success_in_a_tenant_that_is_suspended() -> None:
    tenant = make_tenant(scaikey_status="SUSPENDED")
    make_role(tenant)
    counts = "The role has no effect while tenant acme is suspended in ScaiKey."
    assert grant(make_group(tenant)).lines[1:] == [counts]
    person = make_person(tenant, suspended_by_hand_at=EARLIER)
    assert grant(person, dry_run=True).lines[2:] == [counts]


def test_success_to_a_suspended_participant(tenant: Tenant, role: Role) -> None:
    assert grant(make_person(tenant, suspended_by_hand_at=EARLIER)).lines[1:] == [
        "The role has no effect while Anna (@anna.acme:localhost) is suspended manually."
    ]


def test_success_partner_within_its_scope(partner: Partner) -> None:
    acme = make_tenant("acme", partner=partner)
    make_role(acme)
    assert grant(make_person(acme), operator=make_partner_admin(partner)).changed


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_concurrent_calls_create_one_grant(anna: Participant) -> None:
    results = run_concurrently(*[lambda: grant(anna, "tenant_admin")] * 4)
    assert sorted(result.changed for result in results) == [False, False, False, True]
    assert (Role.objects.count(), RoleGrant.objects.count()) == (1, 1)
    assert AuditEntry.objects.count() == 1


def test_fail_unknown() -> None:
    acme, globex = make_tenant("acme"), make_tenant("globex")
    make_role(acme)
    anna = make_person(acme)
    with pytest.raises(RoleNotFound):
        grant(anna, "nope")
    with pytest.raises(TenantNotFound):
        grant(anna, tenant="nope")
    with pytest.raises(ParticipantNotFound) as caught:
        grant(make_person(globex))
    assert caught.value.message.startswith("Participant not found in tenant acme: ")
    with pytest.raises(GroupNotFound):
        grant(make_group(globex))
    make_group(acme, "Sales"), make_group(acme, "Sales")
    with pytest.raises(AmbiguousName):
        run_command("grant_role", "editors", "--tenant", "acme", "--to-group", "Sales")
    assert not RoleGrant.objects.exists()


@pytest.mark.parametrize("words", [(), ("--to", "anna", "--to-group", "All")])
def test_fail_usage(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        run_command("grant_role", "editors", "--tenant", "acme", *words)


def test_fail_participant_was_removed_from_scaikey(tenant: Tenant, role: Role) -> None:
    with pytest.raises(RoleHolderInactive) as caught:
        grant(make_person(tenant, absent_since=EARLIER))
    assert caught.value.message == "Anna (@anna.acme:localhost) was removed from ScaiKey."
    with pytest.raises(RoleHolderInactive) as caught:
        grant(make_group(tenant, absent_since=EARLIER))
    assert caught.value.message == "Group Engineering was removed from ScaiKey."
