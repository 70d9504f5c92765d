"""Over a limit, losses of access wait for a decision; everything else is applied."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from identity_sync.models import Limit, PendingRemoval, RemovalState
from identity_sync.reasons import Loss, Reason
from identity_sync.sync.fetch.announced import AnnouncedRecords
from identity_sync.sync.variants import compute_drift
from scaiwave.console.progress import null_progress_factory
from scaiwave.sandbox import Sandbox
from tenants.models import GroupMembership, Participant, Tenant
from tests.identity_sync.removals.helpers import (
    approve,
    keep,
    list_open,
    now,
    pick_tenant,
    remove_groups,
    remove_people,
    restore_people,
    set_roles,
    start_with_roles,
    sync_anyhow,
    sync_partly,
)
from tests.identity_sync.sync.helpers import (
    HOST,
    USERS,
    assert_partial,
    assert_synced,
    get_changed_counts,
    get_last_run,
    list_groups,
    list_people,
    list_people_of_tenant,
    read_database,
    read_directory,
    sync,
)

pytestmark = [
    pytest.mark.dated,
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=6, people=600, groups=6, scim=False),
]


def active(keys: list[str]) -> int:
    return Participant.objects.filter(
        scaikey_id__in=keys, absent_since=None, scaikey_status="ACTIVE"
    ).count()


@pytest.fixture
def tenant(scaikey: Sandbox) -> str:
    """The largest tenant, after a first sync. There are no groups, which would be losses too."""
    remove_groups(scaikey)
    sync()
    return pick_tenant(scaikey)


@pytest.fixture
def gone(scaikey: Sandbox, tenant: str) -> list[str]:
    """More people of the tenant than the limit, whose removal waits."""
    people = remove_people(scaikey, tenant, 30)
    sync_partly()
    return people


def test_success_over_the_limit_everything_else_is_applied(scaikey: Sandbox, tenant: str) -> None:
    gone = remove_people(scaikey, tenant, 30)
    [elsewhere] = remove_people(scaikey, pick_tenant(scaikey, 1), 1)
    listed: list[str] = []
    stays = list_people_of_tenant(scaikey, tenant)[0]["id"]
    scaikey.directory.update_user(stays, display_name="Renamed")
    scaikey.directory.add_user(tenant, display_name="Newcomer")
    partial = assert_partial(on_planned=lambda: listed.append("seen"))
    slug = scaikey.directory.tenants[tenant]["slug"]
    assert partial.message == (
        f"30 removals in {slug} wait for a decision. Everything else was applied."
    )
    assert (partial.code, partial.exit_code) == ("SW_SYNC_PARTIAL", 1)
    assert listed == ["seen"]
    report = partial.report
    assert report.outcome == get_last_run().outcome == "partial"
    assert get_changed_counts(report) == {
        "participants": {"added": 1, "updated": 1, "deactivated": 1, "skipped": 30}
    }
    assert report.pending_count == 30
    assert (active(gone), active([elsewhere])) == (30, 0)
    assert {(row.loss, row.cause, row.limit_code, row.state) for row in list_open()} == {
        (Loss.REMOVED, Reason.REMOVED, Limit.TENANT, RemovalState.PENDING)
    }
    assert {row.subject_scaikey_id for row in list_open()} == set(gone)


@pytest.mark.usefixtures("gone")
def test_success_a_new_loss_waits_beside_those_that_wait(scaikey: Sandbox, tenant: str) -> None:
    """Over a limit all losses wait, never only the first ones, and the same row stays one row."""
    first = list_open()
    remove_people(scaikey, tenant, 1)
    other = remove_people(scaikey, pick_tenant(scaikey, 1), 1)
    requests = sync_partly().requests
    assert len(list_open()) == 31
    assert {row.pk for row in first} < {row.pk for row in list_open()}
    assert {row.runs for row in list_open()} == {1, 2}
    assert active(other) == 0
    # Rows that wait are not looked up again.
    assert sync_partly().requests < requests
    assert len(list_open()) == 31


@pytest.mark.usefixtures("gone")
def test_success_approved_rows_are_applied_once_and_no_others(scaikey: Sandbox) -> None:
    rows = list_open()
    approve([row.pk for row in rows[:25]])
    assert get_changed_counts(sync_partly())["participants"] == {"deactivated": 25, "skipped": 5}
    assert [row.pk for row in list_open()] == [row.pk for row in rows[25:]]
    applied = PendingRemoval.objects.filter(state=RemovalState.APPLIED)
    assert {row.pk for row in applied} == {row.pk for row in rows[:25]}
    assert {row.ended_by for row in applied} == {get_last_run()}
    # Approved ones count for no later limit.
    other = remove_people(scaikey, pick_tenant(scaikey, 1), 3)
    sync_partly()
    assert active(other) == 0
    approve([row.pk for row in rows[25:]])
    assert sync().pending_count == 0
    assert read_database() == read_directory(scaikey)


def test_success_people_who_are_swapped_are_not_covered(
    scaikey: Sandbox, tenant: str, gone: list[str]
) -> None:
    approved = [row.pk for row in list_open()]
    approve(approved)
    restore_people(scaikey, tenant, gone)
    others = [row["id"] for row in list_people_of_tenant(scaikey, tenant)]
    others = [key for key in others if key not in gone][:30]
    for key in others:
        scaikey.directory.remove_user(key)
    sync_partly()
    assert (active(gone), active(others)) == (30, 30)
    assert set(PendingRemoval.objects.filter(pk__in=approved).values_list("state", flat=True)) == {
        RemovalState.ENDED
    }
    # They are removed again: that takes another approval.
    for key in gone:
        scaikey.directory.remove_user(key)
    sync_partly()
    assert (active(gone), len(list_open())) == (30, 60)


@pytest.mark.usefixtures("gone")
def test_success_an_approval_expires() -> None:
    approve([row.pk for row in list_open()], now=now() - timedelta(hours=25))
    assert sync_partly().pending_count == 30
    assert {row.state for row in list_open()} == {RemovalState.PENDING}


def test_success_kept_rows_count_nowhere_and_wait_again(
    scaikey: Sandbox, tenant: str, gone: list[str]
) -> None:
    keep([row.pk for row in list_open()])
    # Only kept rows: the run is applied, and one more loss is within the limit.
    [another] = remove_people(scaikey, tenant, 1)
    report = sync()
    assert (report.outcome, report.pending_count) == ("applied", 0)
    assert (active(gone), active([another])) == (30, 0)
    assert {row.state for row in list_open()} == {RemovalState.KEPT}
    # Neither an allowance nor a plan applies them.
    assert sync(allow_removals=1000).outcome == "applied"
    assert active(gone) == 30
    PendingRemoval.objects.open().update(expires_at=now() - timedelta(minutes=1))
    assert sync_partly().pending_count == 30
    approve([row.pk for row in list_open()])
    assert_synced(scaikey)


def test_success_what_is_no_longer_claimed_ends(
    scaikey: Sandbox, tenant: str, gone: list[str]
) -> None:
    keep([list_open()[0].pk])
    approve([list_open()[1].pk])
    restore_people(scaikey, tenant, gone)
    assert sync().outcome == "applied"
    assert list_open() == []
    assert set(PendingRemoval.objects.values_list("state", flat=True)) == {RemovalState.ENDED}


def test_success_losses_within_the_limit_count_for_a_day(scaikey: Sandbox, tenant: str) -> None:
    remove_people(scaikey, tenant, 20)
    assert sync().outcome == "applied"
    later = remove_people(scaikey, tenant, 20)
    sync_partly()
    assert active(later) == 20
    run = get_last_run()
    type(run).objects.update(started_at=now() - timedelta(hours=25))
    more = remove_people(scaikey, tenant, 3)
    # A day later there is room again. Those that wait are not applied by themselves.
    sync_partly()
    assert (active(later), active(more)) == (20, 0)


def test_success_a_move_waits_as_a_whole(synced: Sandbox) -> None:
    tenant, other = pick_tenant(synced), pick_tenant(synced, 1)
    movers = [row["id"] for row in list_people_of_tenant(synced, tenant)[:30]]
    for key in movers:
        synced.directory.move_user(key, other)
    report = sync_partly()
    # The additions wait too, and so do the memberships of these people.
    assert Participant.objects.filter(scaikey_id__in=movers).count() == 30
    assert active(movers) == 30
    edges = GroupMembership.objects.filter(member_participant__scaikey_id__in=movers)
    assert not edges.exclude(absent_since=None).exists()
    assert report.pending_count == len(list_open()) == 30
    assert {(row.loss, row.destination) for row in list_open()} == {(Loss.MOVED, other)}
    approve([row.pk for row in list_open()])
    assert_synced(synced)


def test_success_a_lost_tenant_is_one_row(synced: Sandbox) -> None:
    key = pick_tenant(synced)
    tenant = Tenant.objects.get(scaikey_tenant_id=key)
    people = Participant.objects.filter(tenant=tenant).count()
    synced.directory.remove_tenant(key)
    report = sync_partly()
    [row] = list_open()
    assert (row.loss, row.subject_id, row.people) == (Loss.TENANT_REMOVED, tenant.pk, people)
    assert row.memberships == GroupMembership.objects.filter(tenant=tenant).count()
    assert report.pending_count == 1
    assert not report.has_losses
    assert not Participant.objects.exclude(absent_since=None).exists()
    assert sync_partly().requests <= report.requests
    approve([row.pk])
    assert_synced(synced)


def test_success_a_suspended_tenant_takes_effect_at_once(synced: Sandbox) -> None:
    """It is intended, so its people count nowhere; and it is undone by one act."""
    key = pick_tenant(synced)
    synced.directory.update_tenant(key, status="SUSPENDED")
    gone = remove_people(synced, pick_tenant(synced, 1), 2)
    assert sync().outcome == "applied"
    assert not Tenant.objects.get(scaikey_tenant_id=key).is_active
    assert active(gone) == 0
    counted = {measure for measure, _, _ in get_last_run().counted_losses or ()}
    assert counted >= {"suspended_people", "suspended_tenants"}
    synced.directory.update_tenant(key, status="ACTIVE")
    assert sync().outcome == "applied"
    assert Tenant.objects.get(scaikey_tenant_id=key).is_active


def test_success_many_suspended_tenants_wait(synced: Sandbox) -> None:
    keys = list(synced.directory.tenants)
    for key in keys[:3]:
        synced.directory.update_tenant(key, status="SUSPENDED")
        sync()
    synced.directory.update_tenant(keys[3], status="SUSPENDED")
    gone = remove_people(synced, keys[4], 2)
    sync_partly()
    [row] = list_open()
    assert (row.loss, row.limit_code) == (Loss.TENANT_SUSPENDED, Limit.SUSPENSIONS)
    assert Tenant.objects.get(scaikey_tenant_id=keys[3]).is_active
    assert active(gone) == 0
    approve([row.pk])
    sync()
    assert not Tenant.objects.get(scaikey_tenant_id=keys[3]).is_active


def test_success_a_suspended_partner_counts_as_its_tenants(scaikey: Sandbox) -> None:
    partner, other = map(str, scaikey.directory.partners)
    tenants = list(scaikey.directory.tenants)
    for key in tenants:
        scaikey.directory.update_tenant(key, partner_id=partner)
    scaikey.directory.update_tenant(tenants[-1], partner_id=other)
    sync()
    scaikey.directory.update_partner(other, status="SUSPENDED")  # one tenant
    assert sync().outcome == "applied"
    scaikey.directory.update_partner(partner, status="SUSPENDED")
    sync_partly()
    [row] = list_open()
    assert (row.kind, row.loss) == ("partners", Loss.PARTNER_SUSPENDED)
    people = Participant.objects.filter(tenant__partner__scaikey_id=partner)
    assert row.people == people.count()
    approve([row.pk])
    assert_synced(scaikey)


def test_success_a_new_name_does_not_wait_with_the_suspension(
    scaikey: Sandbox, tenant: str
) -> None:
    keys = [row["id"] for row in list_people_of_tenant(scaikey, tenant)[:30]]
    for key in keys:
        scaikey.directory.update_user(key, status="SUSPENDED", display_name="Renamed")
    report = sync_partly()
    assert get_changed_counts(report)["participants"] == {"updated": 30, "skipped": 30}
    people = Participant.objects.filter(scaikey_id__in=keys)
    assert {person.display_name for person in people} == {"Renamed"}
    assert active(keys) == 30
    report = sync_partly()
    assert get_changed_counts(report)["participants"] == {"skipped": 30}
    approve([row.pk for row in list_open()])
    assert_synced(scaikey)


def test_success_another_loss_of_the_same_person_is_another_row(
    scaikey: Sandbox, tenant: str
) -> None:
    keys = [row["id"] for row in list_people_of_tenant(scaikey, tenant)[:30]]
    for key in keys:
        scaikey.directory.update_user(key, status="SUSPENDED")
    sync_partly()
    row = next(each for each in list_open() if each.subject_scaikey_id == keys[0])
    approve([row.pk])
    scaikey.directory.remove_user(keys[0])
    sync_partly()
    assert active([keys[0]]) == 1
    row.refresh_from_db()
    assert row.state == RemovalState.ENDED
    again = next(each for each in list_open() if each.subject_scaikey_id == keys[0])
    assert (again.loss, again.state) == (Loss.REMOVED, RemovalState.PENDING)


def test_success_roles_wait_one_by_one(scaikey: Sandbox) -> None:
    people = start_with_roles(scaikey, "editor", "author")
    set_roles(scaikey, people, ["author", "reader"])
    report = sync_partly()
    assert report.pending_count == 30
    assert {(row.kind, row.loss, row.destination) for row in list_open()} == {
        ("grants", Loss.ROLE_TAKEN, "editor")
    }
    holders = Participant.objects.filter(scaikey_id__in=people)
    assert {grant.role.slug for person in holders for grant in person.role_grants.all()} == {
        *("editor", "author", "reader")
    }
    assert sync_partly().pending_count == 30
    approve([row.pk for row in list_open()])
    sync()
    assert {grant.role.slug for person in holders for grant in person.role_grants.all()} == {
        *("author", "reader")
    }


def test_success_memberships_wait_alone(synced: Sandbox) -> None:
    before = GroupMembership.objects.filter(absent_since=None).count()
    gone = remove_people(synced, pick_tenant(synced, 2), 1)
    for group in (row["id"] for row in list_groups(synced)[1:]):
        members = synced.directory.list_members(group, 0, 10**6)[0]
        for text in members:
            member = msgspec.json.decode(text)
            synced.directory.remove_member(
                group, user_id=member.get("user_id"), member_group_id=member.get("group_id")
            )
    sync_partly()
    assert active(gone) == 0
    rows = list_open()
    assert {row.kind for row in rows} == {"memberships"}
    assert GroupMembership.objects.filter(absent_since=None).count() >= len(rows) > before // 2
    assert len({row.person_scaikey_id for row in rows}) > 1
    approve([row.pk for row in rows])
    assert_synced(synced)


@pytest.mark.usefixtures("gone")
def test_success_a_webhook_applies_whom_it_names_while_others_wait(
    scaikey: Sandbox, tenant: str
) -> None:
    waiting = list_open()
    [named] = remove_people(scaikey, tenant, 1)
    sync_anyhow(announced=AnnouncedRecords.from_pairs([("participants", named)]))
    assert active([named]) == 0
    # Also one of those that wait: the webhook proves it.
    key = waiting[0].subject_scaikey_id
    sync_anyhow(announced=AnnouncedRecords.from_pairs([("participants", key)]))
    assert active([key]) == 0
    waiting[0].refresh_from_db()
    assert waiting[0].state == RemovalState.APPLIED
    assert len(list_open()) == 29


def test_success_webhooks_are_applied_in_order_until_their_limit(
    scaikey: Sandbox, tenant: str
) -> None:
    size = len(list_people_of_tenant(scaikey, tenant))
    allowed = max(20, size // 10)
    gone = remove_people(scaikey, tenant, allowed + 5)
    renamed = list_people_of_tenant(scaikey, tenant)[0]["id"]
    scaikey.directory.update_user(renamed, display_name="Renamed")
    targets = AnnouncedRecords.from_pairs(
        [*(("participants", key) for key in gone), ("participants", renamed)]
    )
    report = sync_partly(announced=targets)
    assert report.pending_count == 5
    assert (active(gone[:allowed]), active(gone[allowed:])) == (0, 5)
    assert Participant.objects.get(scaikey_id=renamed).display_name == "Renamed"
    assert {row.limit_code for row in list_open()} == {Limit.WEBHOOKS}
    [another] = remove_people(scaikey, tenant, 1)
    sync_partly(announced=AnnouncedRecords.from_pairs([("participants", another)]))
    assert active([another]) == 1


def test_success_one_tenant_alone(scaikey: Sandbox, tenant: str) -> None:
    remove_people(scaikey, tenant, 30)
    other = remove_people(scaikey, pick_tenant(scaikey, 1), 25)
    slug = scaikey.directory.tenants[tenant]["slug"]
    assert sync_partly(tenant=slug).pending_count == 30
    assert active(other) == 25
    # A run for another tenant ends no rows of this one.
    sync_anyhow(tenant=scaikey.directory.tenants[pick_tenant(scaikey, 3)]["slug"])
    assert len(list_open()) == 30
    approve([row.pk for row in list_open()])
    sync(tenant=slug)
    assert list_open() == []


def test_success_an_allowance_takes_all_or_none(scaikey: Sandbox, tenant: str) -> None:
    """Dry runs and the drift name what waits, and write no rows."""
    gone = remove_people(scaikey, tenant, 30)
    assert sync_partly(dry_run=True).pending_count == 30
    assert list_open() == []
    sync_partly()
    scaikey.requests.reset()
    report = compute_drift(operator=HOST, progress_factory=null_progress_factory)
    assert get_changed_counts(report) == {"participants": {"skipped": 30}}
    assert not any(scaikey.requests.count(f"{USERS}{key}") for key in gone)
    assert sync_partly(allow_removals=29).pending_count == 30
    assert sync(allow_removals=30).pending_count == 0
    assert set(PendingRemoval.objects.values_list("state", flat=True)) == {RemovalState.APPLIED}
    assert get_last_run().counted_losses == []


@pytest.mark.usefixtures("tenant")
def test_success_people_of_the_whole_server(scaikey: Sandbox) -> None:
    """Spread over all tenants, so that none of them is over its own limit."""
    people = [row["id"] for row in list_people(scaikey) if row["status"] == "ACTIVE"]
    gone = people[:: len(people) // 64][:64]
    for key in gone:
        scaikey.directory.remove_user(key)
    sync_partly()
    assert active(gone) >= 40
    assert Limit.SERVER in {row.limit_code for row in list_open()}
