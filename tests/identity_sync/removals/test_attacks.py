"""Ways around an approval, a keep or a limit, which people who had not built them have tried."""

from __future__ import annotations

import pytest
from django.utils import timezone
from pytest_django import Settings

from identity_sync.errors import RemovalsChanged
from identity_sync.models import PendingRemoval, RemovalState
from identity_sync.reasons import Loss
from identity_sync.removals.decide import Selection
from identity_sync.removals.queries import digest_pending
from identity_sync.sync.confirm import claims
from identity_sync.sync.fetch.announced import AnnouncedRecords
from scaiwave.core.errors import InsufficientPermission
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.sandbox import Sandbox
from tenants.models import Group, GroupMembership, Participant, Partner, Tenant
from tests.identity_sync.removals.helpers import (
    approve,
    keep,
    list_open,
    now,
    pick_tenant,
    remove_groups,
    remove_people,
    set_roles,
    start_with_roles,
    sync_anyhow,
    sync_partly,
)
from tests.identity_sync.sync.helpers import (
    USERS,
    list_people,
    list_people_of_tenant,
    read_database,
    read_directory,
    sync,
)
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=6, people=600, groups=6, scim=False),
]


def count_gone(keys: list[str]) -> int:
    present = Participant.objects.filter(scaikey_id__in=keys, absent_since=None)
    return len(keys) - present.values("scaikey_id").distinct().count()


def has_access(tenant: str) -> bool:
    return Tenant.objects.get(scaikey_tenant_id=tenant).inactive_reason is None


def start(scaikey: Sandbox) -> tuple[str, str]:
    """Sync; return the largest tenant and its partner, to which all tenants belong."""
    remove_groups(scaikey)
    tenant = pick_tenant(scaikey)
    partner = str(scaikey.directory.tenants[tenant]["partner_id"])
    for key in list(scaikey.directory.tenants):
        scaikey.directory.update_tenant(key, partner_id=partner)
    sync()
    return tenant, partner


def add_inactive_partner(scaikey: Sandbox) -> str:
    partner = scaikey.directory.add_partner(name="Q", slug="q-q")
    scaikey.directory.update_partner(partner, status="INACTIVE")
    sync()
    return str(partner)


@pytest.mark.parametrize("is_removed", [True, False])
def test_success_a_tenant_of_a_partner_that_waits(scaikey: Sandbox, is_removed: bool) -> None:
    tenant, partner = start(scaikey)
    scaikey.directory.update_partner(partner, status="SUSPENDED")
    sync_partly()
    if is_removed:
        scaikey.directory.remove_tenant(tenant)
    else:
        scaikey.directory.update_tenant(tenant, status="INACTIVE")
    sync_partly()
    assert has_access(tenant)


def test_success_a_partner_of_a_kept_tenant(scaikey: Sandbox) -> None:
    tenant, partner = start(scaikey)
    scaikey.directory.update_tenant(tenant, status="INACTIVE")
    sync_partly()
    keep([row.pk for row in list_open()])
    scaikey.directory.update_partner(partner, status="INACTIVE")
    sync_partly()
    assert has_access(tenant)


def test_success_a_kept_tenant_that_moves_to_an_inactive_partner(scaikey: Sandbox) -> None:
    tenant, _ = start(scaikey)
    inactive = add_inactive_partner(scaikey)
    scaikey.directory.update_tenant(tenant, status="INACTIVE")
    sync_partly()
    keep([row.pk for row in list_open()])
    scaikey.directory.update_tenant(tenant, partner_id=inactive)
    sync_anyhow()
    assert has_access(tenant)


def test_success_an_allowance_takes_only_what_was_looked_up(
    scaikey: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Claims that are no losses make more than the allowance, so that only a sample is drawn."""
    tenant, _ = start(scaikey)
    inside = [row["id"] for row in list_people_of_tenant(scaikey, tenant)]
    removed = remove_people(scaikey, tenant, 39)
    hidden = inside[50]
    others = [row["id"] for row in list_people(scaikey) if row["id"] not in inside][:60]
    Participant.objects.filter(scaikey_id__in=others).update(suspended_by_hand_at=timezone.now())
    for key in others:
        scaikey.directory.suspend_user(key)
    rows = [row for row in list_people(scaikey) if row["id"] != hidden]
    scaikey.faults.add("wrong_shape", path=USERS, body={"data": rows, "total": len(rows)})
    draw = claims.draw_sample
    monkeypatch.setattr(
        claims, "draw_sample", lambda *a, **k: [key for key in draw(*a, **k) if key != hidden]
    )
    sync_anyhow(allow_removals=40)
    assert count_gone([hidden]) == 0
    assert count_gone(removed) == 39


def move_people(scaikey: Sandbox) -> tuple[str, list[PendingRemoval]]:
    tenant, _ = start(scaikey)
    for row in list_people_of_tenant(scaikey, tenant)[:30]:
        scaikey.directory.move_user(row["id"], pick_tenant(scaikey, 1))
    sync_partly()
    return tenant, list_open()


def test_success_moves_are_the_same_rows_in_a_sync_of_their_tenant(scaikey: Sandbox) -> None:
    tenant, rows = move_people(scaikey)
    keep([row.pk for row in rows[:15]])
    approve([row.pk for row in rows[15:]])
    sync_anyhow(tenant=tenant)
    sync_anyhow()
    sync_anyhow(tenant=tenant)
    kept = [row.subject_scaikey_id for row in rows[:15]]
    stay = Participant.objects.filter(tenant__scaikey_tenant_id=tenant, absent_since=None)
    assert stay.filter(scaikey_id__in=kept).count() == 15
    assert {row.pk for row in list_open()} == {row.pk for row in rows[:15]}
    applied = PendingRemoval.objects.filter(state=RemovalState.APPLIED)
    assert {row.pk for row in applied} == {row.pk for row in rows[15:]}


def test_success_kept_people_whose_tenant_is_gone_for_one_run(scaikey: Sandbox) -> None:
    tenant, _ = start(scaikey)
    keys = remove_people(scaikey, tenant, 30)
    sync_partly()
    keep([row.pk for row in list_open()])
    record = scaikey.directory.tenants[tenant]
    scaikey.directory.remove_tenant(tenant)
    sync_partly()
    scaikey.directory.tenants[tenant] = record
    scaikey.directory.clear_cache()
    sync_anyhow()
    assert count_gone(keys) == 0
    assert {row.state for row in list_open()} == {RemovalState.KEPT}


def test_success_records_without_roles_end_no_rows(scaikey: Sandbox) -> None:
    people = start_with_roles(scaikey, "editor")
    set_roles(scaikey, people, [])
    sync_partly()
    keep([row.pk for row in list_open()])
    set_roles(scaikey, people, None)
    sync_anyhow()
    set_roles(scaikey, people, [])
    sync_anyhow()
    holders = Participant.objects.filter(role_grants__role__slug="editor")
    assert holders.count() == len(list_open()) == 30


@pytest.mark.parametrize("status", ["INACTIVE", "LOCKED", None])
def test_success_kept_people_with_another_cause(scaikey: Sandbox, status: str | None) -> None:
    tenant, _ = start(scaikey)
    keys = [row["id"] for row in list_people_of_tenant(scaikey, tenant)[:30]]
    for key in keys:
        scaikey.directory.update_user(key, status="SUSPENDED")
    sync_partly()
    keep([row.pk for row in list_open()])
    for key in keys[:15]:
        if status is None:
            scaikey.directory.remove_user(key)
        else:
            scaikey.directory.update_user(key, status=status)
    for _ in range(2):
        sync_anyhow()
        active = Participant.objects.filter(scaikey_id__in=keys, scaikey_status="ACTIVE")
        assert active.filter(absent_since=None).count() == 30
        assert len(list_open()) == 30


def test_success_webhooks_about_people_of_a_kept_tenant(scaikey: Sandbox) -> None:
    tenant, _ = start(scaikey)
    keys = [row["id"] for row in list_people_of_tenant(scaikey, tenant)]
    scaikey.directory.remove_tenant(tenant)
    sync_partly()
    keep([row.pk for row in list_open()])
    sync_anyhow(announced=AnnouncedRecords.from_pairs(("participants", key) for key in keys[:50]))
    assert count_gone(keys) == 0


def test_success_a_kept_membership_ends_with_its_member(synced: Sandbox) -> None:
    edge = GroupMembership.objects.filter(member_participant__isnull=False)[0]
    person = edge.member_participant
    assert person is not None
    PendingRemoval.objects.create(
        tenant=edge.tenant,
        kind="memberships",
        subject_id=edge.pk,
        subject_scaikey_id=f"{edge.group.scaikey_id} {person.scaikey_id}",
        loss=Loss.GROUP_LEFT,
        cause="member_removed",
        limit_code="tenant",
        first_seen_at=now(),
        last_seen_at=now(),
    )
    keep([list_open()[0].pk])
    synced.directory.remove_user(str(person.scaikey_id))
    sync()
    assert PendingRemoval.objects.get().state == RemovalState.ENDED


@pytest.mark.parametrize("first", [True, False])
def test_fail_someone_else_decides_while_the_question_is_asked(
    scaikey: Sandbox, first: bool
) -> None:
    tenant, _ = start(scaikey)
    remove_people(scaikey, tenant, 30)
    sync_partly()
    ids = [row.pk for row in list_open()]
    if first:
        keep(ids[:10])
        ids = ids[10:]

    def decide(effect: str) -> None:
        keep(ids[:10])

    with pytest.raises(RemovalsChanged):
        approve(selection=Selection((), tenant, digest_pending(ids)), confirm=decide)
    assert not PendingRemoval.objects.filter(state=RemovalState.APPROVED).exists()


def test_success_slugs_that_wait_for_each_other(scaikey: Sandbox) -> None:
    """The first tenant waits for a decision, so the next ones keep their slugs too."""
    remove_groups(scaikey)
    sync()
    tenants = scaikey.directory.tenants
    first, second = pick_tenant(scaikey), pick_tenant(scaikey, 5)
    slugs = str(tenants[first]["slug"]), str(tenants[second]["slug"])
    movers = [row["id"] for row in list_people_of_tenant(scaikey, pick_tenant(scaikey, 2))[:5]]
    scaikey.directory.remove_tenant(first)
    scaikey.directory.update_tenant(second, slug=slugs[0])
    new = scaikey.directory.add_tenant(name="New", slug=slugs[1], people=2)
    for key in movers:
        scaikey.directory.move_user(key, new)
    for _ in range(2):
        sync_partly()
        assert Tenant.objects.get(scaikey_tenant_id=second).slug == slugs[1]
        assert not Tenant.objects.filter(scaikey_tenant_id=new).exists()
        # People who have moved to it stay where they were.
        assert count_gone(movers) == 0
    approve([row.pk for row in list_open()])
    sync_anyhow()
    sync_anyhow()
    assert read_database() == read_directory(scaikey)


def test_success_an_approved_role_of_someone_whose_suspension_waits(scaikey: Sandbox) -> None:
    people = start_with_roles(scaikey, "editor")
    set_roles(scaikey, people, [])
    for key in people:
        scaikey.directory.update_user(key, status="SUSPENDED")
    sync_partly()
    approve([row.pk for row in list_open() if row.loss == Loss.ROLE_TAKEN])
    sync_partly()
    assert not Participant.objects.filter(role_grants__role__slug="editor").exists()
    assert {row.loss for row in list_open()} == {Loss.SUSPENDED}


def test_success_another_role_of_the_same_people_is_looked_up(scaikey: Sandbox) -> None:
    people = start_with_roles(scaikey, "aa", "bb")
    set_roles(scaikey, people, ["bb"])
    sync_partly()
    set_roles(scaikey, people[:5], ["aa"])
    set_roles(scaikey, people[5:], ["aa", "bb"])
    assert sync().pending_count == 0
    assert Participant.objects.filter(role_grants__role__slug="bb").count() == 25


def test_success_the_only_groups_of_a_tenant(scaikey: Sandbox, settings: Settings) -> None:
    """The list of a sync of the tenant alone is then empty, and all of it was approved."""
    settings.CONFIG = make_config(
        scaikey, SCAIWAVE_SYNC_REMOVAL_LIMIT="0", SCAIWAVE_SYNC_REMOVAL_SHARE="0"
    )
    sync()
    tenant = Group.objects.select_related("tenant")[0].tenant
    for key in Group.objects.filter(tenant=tenant).values_list("scaikey_id", flat=True):
        scaikey.directory.remove_group(str(key))
    sync_partly()
    approve([row.pk for row in list_open()])
    sync(tenant=tenant.slug)
    assert list_open() == []
    assert not Group.objects.filter(tenant=tenant, absent_since=None).exists()


def test_success_people_of_a_waiting_tenant_are_counted_again(scaikey: Sandbox) -> None:
    tenant, _ = start(scaikey)
    scaikey.directory.update_tenant(tenant, status="INACTIVE")
    sync_partly()
    before = list_open()[0].people
    for _ in range(7):
        scaikey.directory.add_user(tenant, display_name="New")
    sync_partly()
    assert list_open()[0].people == before + 7


def test_fail_a_partner_admin_keeps_what_has_left_them(scaikey: Sandbox) -> None:
    tenant, partner = start(scaikey)
    boss = Operator("paul", OperatorRole.PARTNER_ADMIN, partner_id=partner)
    inactive = add_inactive_partner(scaikey)
    scaikey.directory.update_tenant(tenant, partner_id=inactive)
    sync_partly()
    assert Partner.objects.get(tenants__scaikey_tenant_id=tenant).scaikey_id == partner
    with pytest.raises(InsufficientPermission):
        keep([list_open()[0].pk], boss)
    assert keep([list_open()[0].pk]).changed


@pytest.mark.parametrize("how", ["pending", "kept", "no removals", "off"])
def test_success_a_sync_of_a_tenant_whose_new_partner_is_inactive(
    scaikey: Sandbox, how: str
) -> None:
    """That sync makes no claim about the tenant itself."""
    tenant, _ = start(scaikey)
    inactive = add_inactive_partner(scaikey)
    scaikey.directory.update_tenant(tenant, partner_id=inactive)
    if how in ("pending", "kept"):
        sync_partly()
    if how == "kept":
        keep([row.pk for row in list_open()])
    if how == "off":
        Tenant.objects.filter(scaikey_tenant_id=tenant).update(sync_removals=False)
    sync_anyhow(tenant=tenant, removals=how != "no removals")
    assert has_access(tenant)


@pytest.mark.parametrize("is_new", [True, False])
def test_success_moves_into_a_tenant_whose_slug_is_taken(scaikey: Sandbox, is_new: bool) -> None:
    """The tenant with the slug waits for a decision. No one loses a membership, or is counted."""
    directory = scaikey.directory
    remove_groups(scaikey)
    waiting, old = pick_tenant(scaikey), pick_tenant(scaikey, 1)
    other = directory.add_tenant(name="Small", slug="small-one", people=3)
    movers = [row["id"] for row in list_people_of_tenant(scaikey, old)[:10]]
    group = directory.add_group(old, name="Group")
    for key in [*movers, list_people_of_tenant(scaikey, old)[-1]["id"]]:
        directory.add_member(group, user_id=key)
    sync()
    slug = str(directory.tenants[waiting]["slug"])
    record = directory.tenants[other]
    directory.remove_tenant(other)
    sync_anyhow()
    directory.remove_tenant(waiting)
    sync_partly()
    if is_new:
        other = directory.add_tenant(name="Again", slug=slug, people=1)
    else:
        directory.tenants[other] = {**record, "slug": slug}
        directory.clear_cache()
    for key in movers:
        directory.move_user(key, other)
    for _ in range(4):
        sync_partly()
        assert count_gone(movers) == 0
    people = Participant.objects.filter(scaikey_id__in=movers, absent_since=None)
    assert all(person.tenant.absent_since is None for person in people.select_related("tenant"))
    edges = GroupMembership.objects.filter(group__scaikey_id=group, absent_since=None)
    assert edges.count() == (11 if is_new else 1)


def test_success_a_new_slug_uses_up_no_approval(scaikey: Sandbox) -> None:
    start(scaikey)
    first, second = pick_tenant(scaikey), pick_tenant(scaikey, 1)
    slug = scaikey.directory.tenants[first]["slug"]
    scaikey.directory.update_tenant(second, status="INACTIVE")
    sync_partly()
    approve([row.pk for row in list_open()])
    scaikey.directory.remove_tenant(first)
    scaikey.directory.update_tenant(second, slug=slug)
    sync_partly()
    assert not has_access(second)
    row = PendingRemoval.objects.get(loss=Loss.TENANT_SUSPENDED)
    assert row.state == RemovalState.APPLIED


@pytest.mark.parametrize("is_new", [True, False])
def test_success_the_slug_of_the_last_super_admin(scaikey: Sandbox, is_new: bool) -> None:
    start(scaikey)
    small = scaikey.directory.add_tenant(name="Small", slug="small-one", people=3)
    admin = list_people_of_tenant(scaikey, small)[0]["id"]
    scaikey.directory.set_roles(admin, ["super_admin"])
    sync()
    scaikey.directory.remove_tenant(small)
    if is_new:
        scaikey.directory.add_tenant(name="New", slug="small-one", people=2)
    else:
        scaikey.directory.update_tenant(pick_tenant(scaikey, 2), slug="small-one")
    sync_partly()
    tenant = Tenant.objects.get(scaikey_tenant_id=small)
    assert (tenant.slug, tenant.absent_since) == ("small-one", None)


def test_success_an_allowance_and_kept_people_of_a_removed_tenant(scaikey: Sandbox) -> None:
    tenant, _ = start(scaikey)
    keys = remove_people(scaikey, tenant, 30)
    sync_partly()
    keep([row.pk for row in list_open()])
    scaikey.directory.remove_tenant(tenant)
    sync_partly(allow_removals=10_000)
    assert count_gone(keys) == 0
    assert has_access(tenant)
    approve([row.pk for row in list_open() if row.kind == "tenants"])
    sync()
    assert not has_access(tenant)


def test_success_a_loss_that_changed_while_it_was_kept(scaikey: Sandbox) -> None:
    """At the end it waits for a decision too."""
    tenant, _ = start(scaikey)
    keys = [row["id"] for row in list_people_of_tenant(scaikey, tenant)[:30]]
    for key in keys:
        scaikey.directory.suspend_user(key)
    sync_partly()
    rows = list_open()
    keep([row.pk for row in rows[:5]])
    approve([row.pk for row in rows[5:]])
    sync()
    kept = [row.subject_scaikey_id for row in rows[:5]]
    for key in kept:
        scaikey.directory.remove_user(key)
    sync()
    PendingRemoval.objects.open().update(expires_at=now())
    for _ in range(2):
        sync_partly()
        assert count_gone(kept) == 0


def test_success_webhooks_about_people_of_a_tenant_kept_for_another_cause(
    scaikey: Sandbox,
) -> None:
    tenant, _ = start(scaikey)
    keys = [row["id"] for row in list_people_of_tenant(scaikey, tenant)]
    scaikey.directory.update_tenant(tenant, status="INACTIVE")
    sync_partly()
    keep([row.pk for row in list_open()])
    scaikey.directory.remove_tenant(tenant)
    sync_anyhow()
    sync_anyhow(announced=AnnouncedRecords.from_pairs(("participants", key) for key in keys[:15]))
    assert count_gone(keys) == 0
