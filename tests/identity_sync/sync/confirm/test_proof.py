"""What proves a loss of access, and what does not: one test for each way to be misled.

`len(people) > 20` and the like keep a test above the removal limit, which is 20 by default (and a
tenth of the people). Without SCIM, members come from the lists of the admin API, which the tests
replace.
"""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from identity_sync.errors import RemovalLimitExceeded, SyncPartial
from identity_sync.models import SyncSkip
from identity_sync.report import SyncReport
from scaiwave.sandbox import Sandbox
from tenants.models import Group, GroupMembership, Participant, Tenant
from tests.identity_sync.sync.fetch.test_scope import use_application
from tests.identity_sync.sync.helpers import (
    ADMIN,
    USERS,
    assert_partial,
    assert_synced,
    dump_rows,
    get_changed_counts,
    get_tenant_id,
    list_groups,
    list_people,
    list_people_of_tenant,
    read_database,
    sync,
)
from tests.tenants.role_factories import make_grant, make_role

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=60, groups=3, scim=False),
]

# Paths of faults are shell patterns: `?*` behind one matches look-ups by ID, and not the list.
GROUPS = f"{ADMIN}/groups/"
TENANTS = f"{ADMIN}/tenants/"
PARTNERS = f"{ADMIN}/partners/"


def list_as(sandbox: Sandbox, path: str, rows: list[dict[str, Any]]) -> None:
    """Make a list return these rows, all on its first page. Further pages are the sandbox's own."""
    body = {"data": rows, "total": len(rows)}
    sandbox.faults.add("wrong_shape", path=path, query={"page": "1"}, body=body)


def answer_as(sandbox: Sandbox, path: str, body: dict[str, Any]) -> None:
    """Make a look-up by ID return this record."""
    sandbox.faults.add("wrong_shape", path=path, body=body)


def list_with(rows: list[dict[str, Any]], record_id: str, **fields: Any) -> list[dict[str, Any]]:
    """Return the rows, with fields of one record replaced."""
    return [row | fields if row["id"] == record_id else row for row in rows]


def list_without(rows: list[dict[str, Any]], record_id: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["id"] != record_id]


def pick_members(sandbox: Sandbox) -> tuple[str, list[str]]:
    """Return a group that has people, and their IDs."""
    for group in list_groups(sandbox):
        edges = GroupMembership.objects.filter(
            group__scaikey_id=group["id"], member_participant__isnull=False
        )
        people = edges.values_list("member_participant__scaikey_id", flat=True)
        if len(people) >= 2:
            return group["id"], sorted(map(str, people))
    raise AssertionError("no group has two people")


def assert_nothing_lost(**options: Any) -> SyncReport:
    """Sync; everything that was active still is, though other columns may differ."""
    before = read_database()
    report = sync(**options)
    after = read_database()
    for kind in ("tenants", "people", "groups", "edges"):
        assert before[kind] <= after[kind], f"{kind}: {before[kind] - after[kind]}"
    return report


def test_success_a_move_into_the_tenant_of_a_run_is_looked_up(synced: Sandbox) -> None:
    """A list shows people and groups in the tenant of the run who are still in another one."""
    first, second, _ = synced.directory.tenants
    moved = list_people_of_tenant(synced, first)[0]
    group = next(row for row in list_groups(synced) if row["tenant_id"] == first)
    own_people = list_people_of_tenant(synced, second)
    own_groups = [row for row in list_groups(synced) if row["tenant_id"] == second]
    list_as(synced, USERS, [*own_people, moved | {"tenant_id": second, "tenant": None}])
    list_as(synced, GROUPS, [*own_groups, group | {"tenant_id": second}])

    assert_nothing_lost(tenant=second)


def test_success_a_move_into_the_partner_of_the_credentials_is_looked_up(
    synced: Sandbox, settings: Settings
) -> None:
    partner, other = synced.directory.partners
    own, foreign = (
        next(
            str(row["id"])
            for row in synced.directory.tenants.values()
            if row["partner_id"] == partner_id
        )
        for partner_id in (partner, other)
    )
    use_application(synced, settings, "PARTNER", partner)
    inside = [
        row
        for row in list_people(synced)
        if synced.directory.tenants[get_tenant_id(row)]["partner_id"] == partner
    ]
    person = list_people_of_tenant(synced, foreign)[0]
    list_as(synced, USERS, [*inside, person | {"tenant_id": own, "tenant": None}])

    assert_nothing_lost()


def test_success_a_tenant_of_a_suspended_partner_is_looked_up(scaikey: Sandbox) -> None:
    first, second = scaikey.directory.partners
    scaikey.directory.update_partner(second, status="SUSPENDED")
    sync()
    tenant = next(row for row in scaikey.directory.tenants.values() if row["partner_id"] == first)
    rows = [dict(row) for row in scaikey.directory.tenants.values()]
    list_as(scaikey, TENANTS, list_with(rows, str(tenant["id"]), partner_id=second))

    sync(allow_removals=1000)

    moved = Tenant.objects.get(scaikey_tenant_id=tenant["id"])
    assert moved.partner is not None
    assert moved.partner.scaikey_id == first


@pytest.mark.parametrize("status", ["ACTIVE", "SUSPENDED"])
def test_fail_a_tenant_moves_to_a_partner_that_is_suspended_in_the_same_run(
    synced: Sandbox, status: str
) -> None:
    """The people behind it count, also where the partner is new or was active until now."""
    before = dump_rows()
    tenant = max(synced.directory.tenants, key=lambda key: len(list_people_of_tenant(synced, key)))
    partner = synced.directory.add_partner(name="New", slug="new")
    if status == "ACTIVE":
        sync()
        before = dump_rows()
    synced.directory.update_partner(partner, status="SUSPENDED")
    synced.directory.update_tenant(tenant, partner_id=partner)
    people = Participant.objects.filter(
        tenant__scaikey_tenant_id=tenant, scaikey_status="ACTIVE", absent_since=None
    ).count()
    assert people > 20

    for dry_run in (True, False):
        with pytest.raises((RemovalLimitExceeded, SyncPartial)) as caught:
            sync(dry_run=dry_run)
        if isinstance(caught.value, RemovalLimitExceeded):
            assert caught.value.report.losses["people"] == people
        assert dump_rows()["sw_participants"] == before["sw_participants"]
        active = Participant.objects.filter(tenant__scaikey_tenant_id=tenant)
        assert all(person.tenant.is_active for person in active)
        moved = Tenant.objects.get(scaikey_tenant_id=tenant)
        assert moved.partner is not None
        assert moved.partner.scaikey_id != partner


@pytest.mark.sandbox(partners=2, tenants=8, people=400, groups=0)
def test_fail_a_tenant_over_the_limit_keeps_its_active_partner(scaikey: Sandbox) -> None:
    """What is reported as skipped is skipped: the tenant does not get its suspended partner."""
    first, second = scaikey.directory.partners
    scaikey.directory.update_partner(second, status="SUSPENDED")
    for key, row in scaikey.directory.tenants.items():
        if row["partner_id"] == second:
            scaikey.directory.update_tenant(key, partner_id=first)
    sync()
    sizes = {
        key: Participant.objects.filter(
            tenant__scaikey_tenant_id=key, scaikey_status="ACTIVE"
        ).count()
        for key in scaikey.directory.tenants
    }
    tenant = min((key for key in sizes if sizes[key] > 20), key=lambda key: sizes[key])
    assert sizes[tenant] < 0.1 * sum(sizes.values())
    scaikey.directory.update_tenant(tenant, partner_id=second)

    caught = assert_partial()

    moved = Tenant.objects.get(scaikey_tenant_id=tenant)
    assert moved.partner is not None
    assert moved.partner.scaikey_id == first
    assert caught.report.losses["people"] == 0
    assert_synced(scaikey, allow_removals=10_000)


@pytest.mark.parametrize("fields", [{}, {"tenant_id": None}, {"tenant_id": ""}])
def test_success_a_record_without_a_tenant_is_where_it_was(
    synced: Sandbox, fields: dict[str, Any]
) -> None:
    tenant = next(iter(synced.directory.tenants))
    rows = list_people_of_tenant(synced, tenant)
    person = rows[0]
    record = {key: value for key, value in person.items() if key not in ("tenant_id", "tenant")}
    list_as(synced, USERS, list_without(rows, person["id"]))
    answer_as(synced, f"{USERS}{person['id']}", record | fields)

    assert_nothing_lost(tenant=tenant)


def test_success_a_tenant_id_in_another_case_is_the_same_tenant(synced: Sandbox) -> None:
    tenant = next(iter(synced.directory.tenants))
    rows = list_people_of_tenant(synced, tenant)
    person = rows[0]
    list_as(synced, USERS, list_without(rows, person["id"]))
    record = person | {"tenant_id": f"{tenant.upper()} ", "tenant": None}
    answer_as(synced, f"{USERS}{person['id']}", record)

    assert_nothing_lost(tenant=tenant)


@pytest.mark.parametrize(
    ("path", "kind"), [(USERS, "users"), (GROUPS, "groups"), (TENANTS, "tenants")]
)
def test_success_a_server_without_look_ups_proves_nothing(
    synced: Sandbox, path: str, kind: str
) -> None:
    """Every ID gets the 404 that an unknown one would get."""
    rows = {
        "users": list_people(synced),
        "groups": list_groups(synced),
        "tenants": [dict(row) for row in synced.directory.tenants.values()],
    }[kind]
    list_as(synced, path, rows[1:])
    synced.faults.add("status", path=f"{path}?*", status=404, body={"detail": "Not Found"})

    report = assert_nothing_lost()
    assert any("does not return" in warning for warning in report.warnings)
    assert SyncSkip.objects.filter(is_postponed=True).exists()


@pytest.mark.parametrize("detail", [None, "", [], {"loc": "id"}])
def test_success_a_404_without_a_text_proves_nothing(synced: Sandbox, detail: object) -> None:
    rows = list_people(synced)
    list_as(synced, USERS, rows[1:])
    path = f"{USERS}{rows[0]['id']}"
    synced.faults.add("status", path=path, status=404, body={"detail": detail})

    assert_nothing_lost()


def test_success_listed_and_missing_contradict_each_other(synced: Sandbox) -> None:
    """The list shows a suspended person, and the look-up finds no one: both are disregarded."""
    person = next(row for row in list_people(synced) if row["status"] == "ACTIVE")["id"]
    list_as(synced, USERS, list_with(list_people(synced), person, status="SUSPENDED"))
    synced.faults.add("status", path=f"{USERS}{person}", status=404)

    assert_nothing_lost()


@pytest.mark.parametrize("tenant_id", ["tnt_unknown", "", None])
def test_success_an_unknown_tenant_ends_no_membership(
    synced: Sandbox, tenant_id: str | None
) -> None:
    group, (person, *others) = pick_members(synced)
    list_as(synced, USERS, list_with(list_people(synced), person, tenant_id=tenant_id, tenant=None))
    members = [{"user_id": other, "membership_type": "DIRECT"} for other in others]
    body = {"data": members, "total": len(members)}
    synced.faults.add(
        "wrong_shape", path=f"{GROUPS}{group}/members", query={"page": "1"}, times=1, body=body
    )

    assert_nothing_lost()


def test_success_a_total_that_is_the_size_of_the_page_proves_nothing(synced: Sandbox) -> None:
    """The total of each page of members is the size of that page."""
    group, people = pick_members(synced)
    for page, person in enumerate(people, 1):
        synced.faults.add(
            "wrong_shape",
            path=f"{GROUPS}{group}/members",
            query={"page": str(page)},
            body={"data": [{"user_id": person}], "total": 1},
        )

    assert_nothing_lost()


@pytest.mark.parametrize("word", ["OWNER", "DYNAMIC", "manual"])
def test_success_any_word_but_an_indirect_one_is_a_member(synced: Sandbox, word: str) -> None:
    group, people = pick_members(synced)
    edges = GroupMembership.objects.filter(group__scaikey_id=group, member_group__isnull=False)
    children = edges.values_list("member_group__scaikey_id", flat=True)
    rows = [{"user_id": person, "membership_type": word} for person in people]
    rows += [{"member_group_id": str(child)} for child in children]
    list_as(synced, f"{GROUPS}{group}/members", rows)

    assert_nothing_lost()


def start_with_another_tenant(
    sandbox: Sandbox, settings: Settings
) -> tuple[str, list[dict[str, Any]]]:
    """Sync with the credentials of a partner; return a tenant of it, and the rows of them all."""
    partner = next(iter(sandbox.directory.partners))
    tenant = str(sandbox.directory.add_tenant(partner_id=partner, name="More", slug="more"))
    use_application(sandbox, settings, "PARTNER", partner)
    sync()
    tenants = sandbox.directory.tenants.values()
    return tenant, [dict(row) for row in tenants if row["partner_id"] == partner]


@pytest.mark.parametrize(
    "body", [None, {"detail": ""}, {"title": "Forbidden", "status": 403}, {"message": "blocked"}]
)
def test_success_a_403_of_a_gateway_proves_nothing(
    scaikey: Sandbox, settings: Settings, body: dict[str, Any] | None
) -> None:
    """Only a 403 from ScaiKey itself means that a tenant is out of scope."""
    tenant, rows = start_with_another_tenant(scaikey, settings)
    list_as(scaikey, TENANTS, list_without(rows, tenant))
    scaikey.faults.add("status", path=f"{TENANTS}{tenant}", status=403, body=body or [])

    sync()

    assert Tenant.objects.get(scaikey_tenant_id=tenant).absent_since is None


def test_success_a_manual_suspension_hides_no_claim(synced: Sandbox) -> None:
    """What a list shows of a suspended tenant is looked up like that of any other."""
    tenant = Tenant.objects.filter(scaikey_status="ACTIVE").exclude(scaikey_tenant_id=None)[0]
    Tenant.objects.filter(pk=tenant.pk).update(suspended_by_hand_at=tenant.created_at)
    rows = [dict(row) for row in synced.directory.tenants.values()]
    list_as(synced, TENANTS, list_with(rows, str(tenant.scaikey_tenant_id), status="SUSPENDED"))

    sync()

    tenant.refresh_from_db()
    assert tenant.scaikey_status == "ACTIVE"


def test_fail_people_behind_a_nested_group_count(scaikey: Sandbox) -> None:
    """One membership ends between two groups, and with it a role of everyone in one of them."""
    tenant = max(
        scaikey.directory.tenants, key=lambda key: len(list_people_of_tenant(scaikey, key))
    )
    outer = scaikey.directory.add_group(tenant, name="Outer")
    inner = scaikey.directory.add_group(tenant, name="Inner")
    people = [row["id"] for row in list_people_of_tenant(scaikey, tenant)]
    for person in people:
        scaikey.directory.add_member(inner, user_id=person)
    scaikey.directory.add_member(outer, member_group_id=inner)
    sync()
    role = make_role(Tenant.objects.get(scaikey_tenant_id=tenant))
    group = Group.objects.get(scaikey_id=outer)
    make_grant(role, group)
    scaikey.directory.remove_member(outer, member_group_id=inner)
    before = read_database()
    assert len(people) > 20

    with pytest.raises((RemovalLimitExceeded, SyncPartial)):
        sync()

    assert read_database() == before


@pytest.mark.parametrize(
    "fields", [{"deleted_at": "2026-01-02T03:04:05Z"}, {"is_deleted": True}, {"status": "DELETED"}]
)
def test_success_a_soft_deleted_person_is_removed(synced: Sandbox, fields: dict[str, Any]) -> None:
    rows = list_people(synced)
    list_as(synced, USERS, rows[1:])
    answer_as(synced, f"{USERS}{rows[0]['id']}", rows[0] | fields)

    sync()

    assert Participant.objects.get(scaikey_id=rows[0]["id"]).absent_since is not None


def test_success_a_list_that_omits_the_suspended(synced: Sandbox) -> None:
    """Those who are suspended now lose access as such, and are not reported as kept."""
    active = [row["id"] for row in list_people(synced) if row["status"] == "ACTIVE"][:3]
    for person in active:
        synced.directory.suspend_user(person)
    list_as(synced, USERS, [row for row in list_people(synced) if row["id"] not in active])

    report = sync()

    assert report.losses["people"] == 3
    assert not any("still have it" in warning for warning in report.warnings)
    suspended = Participant.objects.filter(scaikey_id__in=active, absent_since=None)
    assert {person.scaikey_status for person in suspended} == {"SUSPENDED"}


@pytest.mark.parametrize("exists", [True, False])
def test_success_person_moved_to_an_unknown_tenant(synced: Sandbox, exists: bool) -> None:
    """They leave the tenant that they are no longer in, if ScaiKey has the other one."""
    person = list_people(synced)[0]
    moved = person | {"tenant_id": "tnt_elsewhere", "tenant": None}
    list_as(synced, USERS, list_with(list_people(synced), person["id"], **moved))
    answer_as(synced, f"{USERS}{person['id']}", moved)
    if exists:
        answer_as(synced, f"{TENANTS}tnt_elsewhere", {"id": "tnt_elsewhere", "slug": "elsewhere"})

    if exists:
        sync(allow_removals=100)
        assert Participant.objects.get(scaikey_id=person["id"]).absent_since is not None
    else:
        assert_nothing_lost(allow_removals=100)


@pytest.mark.parametrize(
    ("path", "kind"), [(USERS, "users"), (TENANTS, "tenants"), (PARTNERS, "partners")]
)
def test_success_records_of_another_kind_are_no_control(
    synced: Sandbox, path: str, kind: str
) -> None:
    """One record is omitted, all others are shown suspended, and none is returned by its ID.

    A control is an existing record that ScaiKey returns by its ID: without one of the same kind, a
    404 proves nothing.
    """
    rows = {
        "users": list_people(synced),
        "tenants": [dict(row) for row in synced.directory.tenants.values()],
        "partners": [dict(row) for row in synced.directory.partners.values()],
    }[kind]
    list_as(synced, path, [row | {"status": "SUSPENDED"} for row in rows[1:]])
    synced.faults.add("status", path=f"{path}?*", status=404, body={"detail": "Not Found"})

    assert_nothing_lost()


def test_success_a_403_does_not_remove_a_tenant_that_is_listed(
    scaikey: Sandbox, settings: Settings
) -> None:
    tenant, rows = start_with_another_tenant(scaikey, settings)
    list_as(scaikey, TENANTS, list_with(rows, tenant, status="SUSPENDED"))
    scaikey.faults.add("status", path=f"{TENANTS}{tenant}", status=403)

    sync()

    assert Tenant.objects.get(scaikey_tenant_id=tenant).is_active


def test_fail_people_of_an_unlinked_tenant_stay_where_they_are(synced: Sandbox) -> None:
    """ScaiKey still has the tenant, but its slug is in use by the local one that it was."""
    key = max(synced.directory.tenants, key=lambda key: len(list_people_of_tenant(synced, key)))
    people = set(Participant.objects.filter(tenant__scaikey_tenant_id=key).values_list("pk"))
    assert len(people) > 20
    Tenant.objects.filter(scaikey_tenant_id=key).update(scaikey_tenant_id=None)

    caught = assert_partial()

    assert caught.report.losses["people"] == 0
    present = Participant.objects.filter(tenant__scaikey_tenant_id=None, absent_since=None)
    assert people <= set(present.values_list("pk"))
    Tenant.objects.filter(scaikey_tenant_id=None).update(slug="renamed")
    assert_synced(synced)


@pytest.mark.parametrize("fault", [{"status": 404}, {"status": 422}, None])
def test_success_a_server_without_a_page_behind_the_last(
    synced: Sandbox, fault: dict[str, int] | None
) -> None:
    """It refuses such a page, or returns the last one again."""
    group, people = pick_members(synced)
    edges = GroupMembership.objects.filter(group__scaikey_id=group, member_group__isnull=False)
    rows: list[dict[str, Any]] = [{"user_id": person} for person in people[1:]]
    rows += [
        {"member_group_id": str(child)}
        for child in edges.values_list("member_group__scaikey_id", flat=True)
    ]
    path = f"{GROUPS}{group}/members"
    list_as(synced, path, rows)
    if fault is not None:
        synced.faults.add("status", path=path, **fault)
    else:
        body = {"data": rows, "total": len(rows)}
        synced.faults.add("wrong_shape", path=path, body=body)

    report = sync()

    assert get_changed_counts(report) == {"memberships": {"deactivated": 1}}
