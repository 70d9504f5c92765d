"""Manual changes leave at least one super_admin, and who counts as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from scaiwave.clients.scaikey.schemas import ScaiKeyTenantRecord
from scaiwave.operations.doctor.findings import Finding, State
from scaiwave.operations.doctor.tenants import check_super_admin
from tenants.errors import LastSuperAdmin
from tenants.lookup.sign_in_blockers import sign_in_blockers
from tenants.models import AuditEntry, Participant, Partner, Role, Tenant
from tenants.people.link_tenant import link_tenant, unlink_tenant
from tenants.people.suspension import suspend_tenant
from tenants.roles.queries.super_admins import SuperAdmins, count_super_admins
from tests.concurrency import run_concurrently
from tests.refusals import refuses
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    add_members,
    make_group,
    make_partner,
    make_person,
    make_tenant,
)
from tests.tenants.role_factories import grant, make_grant, make_nested_groups, make_role, revoke

pytestmark = pytest.mark.django_db

NO_ACTIVE_SUPER_ADMIN = "No active super_admin would remain."
NO_SUPER_ADMIN_CAN_SIGN_IN = "No super_admin who can sign in would remain."
ELSEWHERE = (
    "Grant it to a person of another tenant first: `scaiwave role grant super_admin --tenant "
    "<slug> --to <who>`."
)


def suspend(tenant: Tenant, **changes: Any) -> None:
    arguments = {
        "operator": HOST_OPERATOR,
        "reason": "",
        "confirm": lambda question: None,
        "now": NOW,
    }
    suspend_tenant(name=tenant.slug, **{**arguments, **changes})


def unlink(tenant: Tenant, **changes: Any) -> None:
    arguments = {"operator": HOST_OPERATOR, "confirm": lambda question: None, "now": NOW}
    unlink_tenant(name=tenant.slug, **{**arguments, **changes})


def link(tenant: Tenant, *, status: str, **changes: Any) -> None:
    row = ScaiKeyTenantRecord(id="tnt_9", slug=tenant.slug, name=tenant.name, status=status)
    link_tenant(
        operator=HOST_OPERATOR,
        name=tenant.slug,
        scaikey_tenant_id="tnt_9",
        lookup=lambda key: row,
        now=NOW,
        **changes,
    )


def super_admin_in(slug: str, **fields: Any) -> Participant:
    person = make_person(make_tenant(slug, **fields))
    make_grant(make_role(person.tenant, "super_admin", is_built_in=True), person)
    return person


def fail_if_prompted(question: str) -> None:
    pytest.fail("prompted before the refusal")


@pytest.mark.parametrize(
    ("act", "message"), [(suspend, NO_ACTIVE_SUPER_ADMIN), (unlink, NO_SUPER_ADMIN_CAN_SIGN_IN)]
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_fail_the_tenant_of_the_last_super_admin(
    act: Callable[..., None], message: str, dry_run: bool
) -> None:
    last = super_admin_in("acme")
    super_admin_in("globex", suspended_by_hand_at=EARLIER)
    with refuses(LastSuperAdmin, message, ELSEWHERE):
        act(last.tenant, confirm=fail_if_prompted, dry_run=dry_run)
    last.tenant.refresh_from_db()
    assert (last.tenant.is_active, last.tenant.scaikey_tenant_id) == (True, "tnt_acme")
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("dry_run", [True, False])
def test_fail_linked_to_a_tenant_suspended_in_scaikey(dry_run: bool) -> None:
    last = super_admin_in("acme", scaikey_tenant_id=None)
    with pytest.raises(LastSuperAdmin):
        link(last.tenant, status="SUSPENDED", dry_run=dry_run)
    assert not AuditEntry.objects.exists()
    link(last.tenant, status="ACTIVE", dry_run=dry_run)


@pytest.mark.parametrize("act", [suspend, unlink])
def test_success_another_tenant_has_a_super_admin(act: Callable[..., None]) -> None:
    anna, _ = super_admin_in("acme"), super_admin_in("globex")
    act(anna.tenant)
    assert AuditEntry.objects.count() == 1


@pytest.mark.parametrize("act", [suspend, unlink])
def test_success_a_tenant_without_a_super_admin(act: Callable[..., None]) -> None:
    act(make_tenant("globex"))
    super_admin_in("acme")
    act(make_tenant("initech"))
    assert AuditEntry.objects.count() == 2


def test_fail_a_tenant_whose_group_has_the_last_super_admins(tenant: Tenant) -> None:
    _, everybody = make_nested_groups(tenant)
    grant(everybody, "super_admin")
    with pytest.raises(LastSuperAdmin):
        suspend(tenant)


def test_success_a_tenant_that_cannot_sign_in_may_be_unlinked() -> None:
    """A person that ScaiKey never had is active, and stays so."""
    person = make_person(make_tenant(), scaikey_id=None)
    grant(person, "super_admin")
    unlink(person.tenant)
    with refuses(LastSuperAdmin, NO_ACTIVE_SUPER_ADMIN):
        suspend(person.tenant)


def test_fail_revoked_from_the_last_super_admin_who_can_sign_in() -> None:
    anna = super_admin_in("acme")
    local = super_admin_in("globex", scaikey_tenant_id=None)
    with refuses(LastSuperAdmin, NO_SUPER_ADMIN_CAN_SIGN_IN):
        revoke(anna, "super_admin")
    assert revoke(local, "super_admin", tenant="globex").changed


def test_success_the_database_counts_as_show_participant_does(partner: Partner) -> None:
    gone = make_partner("gone", absent_since=EARLIER)
    tenants = [
        make_tenant("a"),
        make_tenant("b", partner=partner),
        make_tenant("c", partner=gone),
        make_tenant("d", scaikey_tenant_id=None),
        make_tenant("e", scaikey_status="SUSPENDED"),
        make_tenant("f", absent_since=EARLIER),
    ]
    shapes: list[dict[str, Any]] = [
        {},
        {"scaikey_id": None},
        {"participant_type": "agent"},
        {"scaikey_status": "SUSPENDED"},
        {"absent_since": EARLIER},
        {"suspended_by_hand_at": EARLIER},
    ]
    for tenant in tenants:
        role = make_role(tenant, "super_admin", is_built_in=True)
        people = [
            make_person(tenant, f"person{number}", **fields) for number, fields in enumerate(shapes)
        ]
        group = make_group(tenant)
        add_members(group, *people[3:])
        make_grant(role, group)
        for person in people[:4]:
            make_grant(role, person)
    everybody = Participant.objects.select_related("tenant__partner")
    assert count_super_admins() == SuperAdmins(
        active=sum(person.is_active and person.tenant.is_active for person in everybody),
        able=sum(not sign_in_blockers(person) for person in everybody),
    )
    assert count_super_admins() == SuperAdmins(active=12, able=2)
    assert count_super_admins(excluding=tenants[:1]) == SuperAdmins(active=9, able=1)


# One group and six people a tenant; all of them are in the group and have a role of another slug.
PLATFORM = (
    """
    INSERT INTO sw_tenants (id, slug, name, contact_email, scaikey_tenant_id, scaikey_status,
                            features, created_at, updated_at)
    SELECT gen_random_uuid(), 't' || number, '', '', 'tnt_' || number, '', '{}', now(), now()
    FROM generate_series(%s, %s) AS number
    """,
    """
    INSERT INTO sw_groups (id, tenant_id, scaikey_id, name, group_type, created_at, updated_at)
    SELECT gen_random_uuid(), id, 'grp_' || slug, '', '', now(), now()
    FROM sw_tenants WHERE id NOT IN (SELECT tenant_id FROM sw_groups)
    """,
    """
    INSERT INTO sw_participants (id, tenant_id, participant_type, scaikey_id, local_id, server_name,
                                 display_name, email, avatar_url, scaikey_status,
                                 created_at, updated_at)
    SELECT gen_random_uuid(), id, 'human', 'usr_' || number || slug, number || slug, '',
           '', '', '', '', now(), now()
    FROM sw_tenants CROSS JOIN generate_series(1, 6) AS number
    WHERE id NOT IN (SELECT tenant_id FROM sw_participants)
    """,
    """
    INSERT INTO sw_group_memberships (id, tenant_id, group_id, member_participant_id,
                                      created_at, updated_at)
    SELECT gen_random_uuid(), person.tenant_id, grp.id, person.id, now(), now()
    FROM sw_participants person JOIN sw_groups grp ON grp.tenant_id = person.tenant_id
    WHERE person.id NOT IN
        (SELECT member_participant_id FROM sw_group_memberships
         WHERE member_participant_id IS NOT NULL)
    """,
    """
    INSERT INTO sw_role_grants (id, tenant_id, role_id, participant_id, source, granted_by,
                                created_at)
    SELECT gen_random_uuid(), person.tenant_id, role.id, person.id, 'scaikey', '', now()
    FROM sw_participants person JOIN sw_roles role ON role.slug = 'editors'
    WHERE person.id NOT IN
        (SELECT participant_id FROM sw_role_grants WHERE participant_id IS NOT NULL)
    """,
)


def insert_tenants(first: int, last: int) -> None:
    with connection.cursor() as cursor:
        for index, statement in enumerate(PLATFORM):
            cursor.execute(statement, [first, last] if index == 0 else [])


def count_rows_read() -> int:
    """Count the rows that this transaction has read so far, in every table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT SUM(COALESCE(seq_tup_read, 0) + COALESCE(idx_tup_fetch, 0))"
            " FROM pg_stat_xact_user_tables"
        )
        return int(cursor.fetchone()[0])


def forget_statistics() -> None:
    """Delete what PostgreSQL has noted of these tables, in this transaction only.

    It may have counted in the background the few rows of a test that committed them. Where nearly
    every row has the same key it reads the whole table.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM pg_statistic"
            " WHERE starelid IN (SELECT oid FROM pg_class WHERE starts_with(relname, 'sw_'))"
        )


def grant_super_admin_to_a_person_and_nested_groups() -> None:
    tenant = make_tenant()
    _, everybody = make_nested_groups(tenant)
    role = make_role(tenant, "super_admin", is_built_in=True)
    make_role(tenant, "editors")
    make_grant(role, make_person(tenant, "bert"))
    make_grant(role, everybody)


@pytest.mark.only_on("postgresql")
def test_success_rows_read_do_not_grow_with_the_platform() -> None:
    """A sync counts in the transaction of its bulk insert, of which there are no statistics."""
    forget_statistics()
    grant_super_admin_to_a_person_and_nested_groups()
    rows_read = []
    for first, last in [(1, 1000), (1001, 3000)]:
        insert_tenants(first, last)
        before = count_rows_read()
        assert count_super_admins() == SuperAdmins(active=2, able=2)
        rows_read.append(count_rows_read() - before)
    assert rows_read[1] <= rows_read[0] < 50


@pytest.mark.only_on("sqlite")
def test_success_only_the_table_of_roles_is_read_completely() -> None:
    grant_super_admin_to_a_person_and_nested_groups()
    with CaptureQueriesContext(connection) as captured:
        assert count_super_admins() == SuperAdmins(active=2, able=2)
    steps = []
    with connection.cursor() as cursor:
        for query in captured.captured_queries:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            steps += [step for *_, step in cursor.fetchall()]
    assert any(step.startswith("SEARCH sw_participants") for step in steps)
    assert [step for step in steps if step.startswith("SCAN")] == ["SCAN sw_roles"]


def get_finding() -> Finding:
    (finding,) = check_super_admin(settings.CONFIG, NOW)
    return finding


def test_success_doctor_reports_the_number() -> None:
    assert (get_finding().state, get_finding().message) == (
        State.PASS,
        "No one has been granted super_admin.",
    )
    super_admin_in("acme")
    assert (get_finding().state, get_finding().message) == (
        State.PASS,
        "1 person with super_admin can sign in.",
    )


def test_fail_doctor_warns_if_no_super_admin_can_sign_in() -> None:
    person = super_admin_in("acme")
    Tenant.objects.update(scaikey_tenant_id=None)
    assert (get_finding().state, get_finding().message) == (
        State.WARN,
        "No one with super_admin can sign in.",
    )
    assert get_finding().fix == (
        "Grant super_admin to another person: `scaiwave role grant super_admin --tenant <slug> "
        "--to <who>`. `scaiwave admin show-participant <who>` shows what blocks a sign-in."
    )
    Participant.objects.filter(pk=person.pk).update(absent_since=EARLIER)
    assert (get_finding().state, get_finding().message) == (
        State.WARN,
        "No active person has super_admin.",
    )
    Role.objects.get().grants.all().delete()
    assert get_finding().state is State.WARN


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_concurrent_calls_leave_one_super_admin() -> None:
    acme, globex = (super_admin_in(slug) for slug in ("acme", "globex"))

    def attempt(act: Callable[[], object]) -> str:
        try:
            act()
        except LastSuperAdmin:
            return "refused"
        return "done"

    outcomes = run_concurrently(
        lambda: attempt(lambda: suspend(acme.tenant)),
        lambda: attempt(lambda: revoke(globex, "super_admin", tenant="globex")),
    )
    assert sorted(outcomes) == ["done", "refused"]
    assert count_super_admins().able == 1
