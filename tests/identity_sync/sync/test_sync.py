"""What a run changes for each kind of change in the directory."""

from __future__ import annotations

import pytest
from django.db import OperationalError
from django.utils import timezone

from identity_sync.models import SyncChange, SyncRun, Trigger
from identity_sync.report import SyncReport
from identity_sync.sync.record.history import fail_run
from scaiwave.core.errors import UsageError
from scaiwave.sandbox import Sandbox
from tenants.models import Group, GroupMembership, Participant, Partner, Tenant
from tenants.models.directory import format_removal
from tests.identity_sync.sync.helpers import (
    age_rows,
    assert_synced,
    count_duplicate_names,
    count_rewritten_rows,
    dump_rows,
    get_changed_counts,
    get_changes,
    get_last_run,
    list_groups,
    list_people_of_tenant,
    list_temporary_tables,
    pick_two_people,
    read_database,
    read_directory,
    record_writes,
    restore_user,
    sync,
)
from tests.tenants.factories import (
    add_members,
    make_group,
    make_partner,
    make_person,
    make_tenant,
    run_command,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=60, groups=12),
]


def move_group(sandbox: Sandbox, group: str, placement: tuple[str, str]) -> None:
    """Move a group to a tenant and type, also a removed one, which no request to ScaiKey can."""
    index = sandbox.directory.groups.ids.decode(group)
    assert index is not None
    sandbox.directory.groups.roster.move(index, placement)
    sandbox.directory.clear_cache()


def test_success_first_run(scaikey: Sandbox) -> None:
    report = sync()

    assert read_database() == read_directory(scaikey)
    assert report.outcome == "applied"
    target = read_directory(scaikey)
    assert {kind: row["added"] for kind, row in report.counts().items()} == {
        "partners": len(target["partners"]),
        "tenants": len(target["tenants"]),
        "participants": len(target["people"]),
        "groups": len(target["groups"]),
        "memberships": len(target["edges"]),
    }
    assert count_duplicate_names() == 0
    assert list_temporary_tables() == []
    run = get_last_run()
    assert (run.pk, run.outcome, run.counts) == (report.run_id, "applied", report.counts())
    assert run.requests == report.requests > 0
    assert (run.error_code, run.error_message, run.warnings) == ("", "", [])
    assert (run.operator, run.trigger, run.tenant) == ("root", "manual", None)
    assert run.ended_at is not None
    assert SyncChange.objects.filter(run=run).exists()


def test_success_first_run_of_a_tenant_is_reported_as_counts(synced: Sandbox) -> None:
    assert {kind for kind, *_ in get_changes()} == {"partners", "tenants"}

    synced.directory.add_tenant(name="New", slug="new", people=3)
    report = sync()
    assert get_changed_counts(report)["participants"] == {"added": 3}
    assert get_changes() == [("tenants", "add", "New", "", "new in ScaiKey")]


def test_success_second_run_writes_nothing(scaikey: Sandbox) -> None:
    anna, bert = pick_two_people(scaikey)
    scaikey.directory.set_roles(anna, ["editors"])
    scaikey.directory.set_roles(bert, [])
    sync()
    age_rows()

    with record_writes() as written:
        report = sync(trigger=Trigger.CRON)

    assert get_changed_counts(report) == {}
    assert count_rewritten_rows() == {}
    assert set(written) == {"sw_sync_runs"}
    assert all(row["seen"] == row["unchanged"] > 0 for row in report.counts().values())
    assert get_changes() == []


def test_success_fields_of_people(synced: Sandbox) -> None:
    tenant = next(iter(synced.directory.tenants))
    first, second, third = (row["id"] for row in list_people_of_tenant(synced, tenant)[:3])
    synced.directory.update_user(first, display_name="Anna", email="anna@new.example")
    synced.directory.update_user(second, avatar_url="https://pictures.example/2.png")
    # A status that is not documented lets no one in.
    synced.directory.update_user(third, status="WEIRD", display_name="Bo")
    age_rows()

    report = sync()

    assert get_changed_counts(report) == {"participants": {"updated": 3}}
    assert count_rewritten_rows() == {"sw_participants": 3}
    assert read_database() == read_directory(synced)
    assert {(fields, reason) for _, _, _, fields, reason in get_changes()} == {
        ("display_name,email", "changed in ScaiKey"),
        ("avatar_url", "changed in ScaiKey"),
        ("display_name,scaikey_status", "changed in ScaiKey"),
    }
    assert not Participant.objects.get(scaikey_id=third).is_active


def test_success_missing_status_keeps_the_stored_one(synced: Sandbox) -> None:
    tenant = next(iter(synced.directory.tenants))
    person = list_people_of_tenant(synced, tenant)[0]["id"]
    synced.directory.suspend_user(person)
    sync()
    synced.directory.update_tenant(tenant, status="SUSPENDED")
    sync(allow_removals=100)
    synced.directory.update_tenant(tenant, status="")

    assert get_changed_counts(sync()) == {}
    assert Tenant.objects.get(scaikey_tenant_id=tenant).scaikey_status == "SUSPENDED"
    assert Participant.objects.get(scaikey_id=person).inactive_reason == "suspended in ScaiKey"


def test_success_returning_person_is_the_same_participant(synced: Sandbox) -> None:
    tenant = next(iter(synced.directory.tenants))
    person = list_people_of_tenant(synced, tenant)[0]["id"]
    before = Participant.objects.get(scaikey_id=person)
    synced.directory.remove_user(person)

    report = sync()

    removed = Participant.objects.get(scaikey_id=person)
    assert removed.absent_since is not None
    assert get_changed_counts(report)["participants"] == {"deactivated": 1}
    assert (removed.pk, removed.local_id, removed.inactive_reason) == (
        before.pk,
        before.local_id,
        format_removal(removed.absent_since),
    )
    assert ("participants", "deactivate", str(removed), "", "removed from ScaiKey") in get_changes()

    restore_user(synced, person, tenant)
    report = sync()

    returned = Participant.objects.get(scaikey_id=person)
    assert get_changed_counts(report)["participants"] == {"restored": 1}
    assert (returned.pk, returned.local_id, returned.is_active) == (
        before.pk,
        before.local_id,
        True,
    )
    assert ("participants", "restore", str(returned), "", "back in ScaiKey") in get_changes()
    assert read_database() == read_directory(synced)


def test_success_person_moves_to_another_tenant_and_back(synced: Sandbox) -> None:
    source, target, *_ = synced.directory.tenants
    person = list_people_of_tenant(synced, source)[0]["id"]
    old = Participant.objects.get(scaikey_id=person)
    synced.directory.move_user(person, target)

    report = sync()

    assert get_changed_counts(report)["participants"] == {"added": 1, "deactivated": 1}
    new = Participant.objects.get(scaikey_id=person, absent_since=None)
    assert new.tenant.scaikey_tenant_id == target
    assert new.pk != old.pk
    assert new.local_id != old.local_id
    assert ("participants", "move", str(old), "", "moved to another tenant") in get_changes()
    assert read_database() == read_directory(synced)
    assert get_changed_counts(sync()) == {}

    synced.directory.move_user(person, source)
    report = sync()
    assert get_changed_counts(report)["participants"] == {"restored": 1, "deactivated": 1}
    returned = Participant.objects.get(scaikey_id=person, absent_since=None)
    assert (returned.pk, returned.local_id) == (old.pk, old.local_id)
    assert get_changed_counts(sync()) == {}


def test_success_slug_of_a_removed_tenant_is_reused(synced: Sandbox) -> None:
    removed = next(iter(synced.directory.tenants.values()))
    synced.directory.remove_tenant(removed["id"])
    synced.directory.add_tenant(name="Heir", slug=removed["slug"], people=2)

    report = sync(allow_removals=1000)

    assert get_changed_counts(report)["tenants"] == {
        "added": 1,
        "deactivated": 1,
        "updated": 1,
    }
    assert report.counts()["tenants"]["unchanged"] == len(synced.directory.tenants) - 1
    assert read_database() == read_directory(synced)
    old = Tenant.objects.get(scaikey_tenant_id=removed["id"])
    assert old.slug.startswith(f"{removed['slug']}-gone-")
    assert not Participant.objects.filter(tenant=old, absent_since=None).exists()
    assert get_changed_counts(sync()) == {}


def test_success_partner_removed_and_tenant_moved(synced: Sandbox) -> None:
    first, second = synced.directory.partners
    for tenant in list(synced.directory.tenants.values()):
        if tenant["partner_id"] == first:
            synced.directory.update_tenant(tenant["id"], partner_id=second)
    synced.directory.remove_partner(first)

    report = sync()

    assert get_changed_counts(report)["partners"] == {"deactivated": 1}
    assert read_database() == read_directory(synced)
    assert {row[3] for row in get_changes() if row[0] == "tenants"} == {"partner"}
    assert Partner.objects.get(scaikey_id=first).status == "deactivated"


def test_success_groups(synced: Sandbox) -> None:
    first = list_groups(synced)[0]
    tenant = first["tenant_id"]
    anna, bo = (row["id"] for row in list_people_of_tenant(synced, tenant)[:2])
    synced.directory.update_group(first["id"], name="Renamed", group_type="DISTRIBUTION_LIST")
    inside = synced.directory.add_group(tenant, name="Inside")
    synced.directory.add_member(inside, user_id=anna)
    synced.directory.add_member(inside, user_id=bo)
    synced.directory.add_member(first["id"], member_group_id=inside)
    synced.directory.add_member(inside, member_group_id=inside)
    assert_synced(synced)
    assert ("groups", "update", "Renamed", "name,group_type", "changed in ScaiKey") in get_changes()
    assert sum(row[:2] == ("memberships", "add") for row in get_changes()) == 4

    synced.directory.remove_member(inside, user_id=anna)
    synced.directory.remove_member(first["id"], member_group_id=inside)
    edge = GroupMembership.objects.get(
        group__scaikey_id=inside, member_participant__scaikey_id=anna
    )
    assert get_changed_counts(sync()) == {"memberships": {"deactivated": 2}}
    assert {row[4] for row in get_changes()} == {"no longer a member in ScaiKey"}

    synced.directory.add_member(inside, user_id=anna)
    assert get_changed_counts(sync()) == {"memberships": {"restored": 1}}
    edge.refresh_from_db()
    assert edge.absent_since is None

    synced.directory.remove_group(inside)
    assert get_changed_counts(sync())["groups"] == {"deactivated": 1}
    assert read_database() == read_directory(synced)
    assert get_changed_counts(sync()) == {}


def test_success_group_returns_with_other_members(synced: Sandbox) -> None:
    group = next(
        row for row in list_groups(synced) if list_people_of_tenant(synced, row["tenant_id"])
    )
    anna = list_people_of_tenant(synced, group["tenant_id"])[0]["id"]
    synced.directory.add_member(group["id"], user_id=anna)
    sync()
    index = synced.directory.locate("group", group["id"])[0]
    placement = synced.directory.groups.roster.get_placement(index)
    assert placement is not None
    synced.directory.remove_group(group["id"])
    sync()
    move_group(synced, group["id"], placement)
    synced.directory.remove_member(group["id"], user_id=anna)

    report = sync()

    assert get_changed_counts(report)["groups"] == {"restored": 1}
    assert get_changed_counts(report)["memberships"]["deactivated"] == 1
    assert read_database() == read_directory(synced)
    assert get_changed_counts(sync()) == {}


def test_success_group_moves_to_another_tenant(synced: Sandbox) -> None:
    group = list_groups(synced)[0]
    target = next(
        tenant_id for tenant_id in synced.directory.tenants if tenant_id != group["tenant_id"]
    )
    anna = list_people_of_tenant(synced, target)[0]["id"]
    move_group(synced, group["id"], (target, group["group_type"]))
    synced.directory.add_member(group["id"], user_id=anna)

    report = sync()

    assert get_changed_counts(report)["groups"] == {"added": 1, "deactivated": 1}
    moved = Group.objects.get(scaikey_id=group["id"], absent_since=None)
    assert moved.tenant.scaikey_tenant_id == target
    assert [str(edge.member_participant_id) for edge in moved.memberships.all()] == [
        str(Participant.objects.get(scaikey_id=anna).pk)
    ]
    again = sync()
    # Members of the old tenant can't be in a group of another one.
    assert get_changed_counts(again) == {
        "memberships": {"skipped": report.kinds["memberships"].skipped}
    }


def test_success_local_and_remote_participants_stay_unchanged(synced: Sandbox) -> None:
    tenant = Tenant.objects.order_by("slug").first()
    assert tenant is not None
    group = Group.objects.filter(tenant=tenant).first()
    assert group is not None
    bot = make_person(tenant, "bot", participant_type="agent", scaikey_id=None)
    make_person(tenant, "shadow", participant_type="bridge", scaikey_id=None)
    make_person(
        tenant, "far", participant_type="federated", server_name="b.example", scaikey_id=None
    )
    make_person(tenant, "model", participant_type="model", scaikey_id="usr_of_a_model")
    add_members(group, bot, make_group(tenant, "Ours", scaikey_id=None))
    local = make_tenant("local", scaikey_tenant_id=None)
    make_person(local, "anna")
    make_partner("ours", scaikey_id=None)
    age_rows()
    before = dump_rows()

    assert get_changed_counts(sync()) == {}
    assert count_rewritten_rows() == {}
    assert dump_rows() == before


def test_success_local_ids_differ_between_tenants(scaikey: Sandbox) -> None:
    """Also if the same people come to another local tenant."""
    first, second, *_ = scaikey.directory.tenants
    for tenant in (first, second):
        scaikey.directory.add_user(tenant, email="same@example.org")
    sync()
    people = Participant.objects.filter(email="same@example.org")
    names = set(people.values_list("local_id", flat=True))
    assert len(names) == 2
    assert "same" in names
    for tenant in Tenant.objects.filter(scaikey_tenant_id__in=(first, second)):
        # The object keeps what the row loses.
        Tenant.objects.filter(pk=tenant.pk).update(
            slug=f"old-{tenant.slug}", scaikey_tenant_id=None
        )
        make_tenant(tenant.slug, scaikey_tenant_id=tenant.scaikey_tenant_id)

    report = sync(allow_removals=1000)

    assert report.outcome == "applied"
    assert count_duplicate_names() == 0
    assert read_database() == read_directory(scaikey)


def test_success_unusual_values(scaikey: Sandbox) -> None:
    """Values that no column can store: long texts, and limits that mean unlimited."""
    tenant = next(iter(scaikey.directory.tenants))
    partner = next(iter(scaikey.directory.partners))
    scaikey.directory.update_partner(partner, max_tenants=-1, max_users_per_tenant=2**40)
    scaikey.directory.update_tenant(tenant, status="X" * 300, slug="s" * 60)
    person = scaikey.directory.add_user(tenant, display_name="\u1000" * 900, email="e" * 900)
    scaikey.directory.add_group(tenant, name="\u1000" * 900, group_type="Y" * 300)
    sync()
    assert len(Participant.objects.get(scaikey_id=person).display_name) == 300
    assert Partner.objects.get(scaikey_id=partner).max_tenants is None
    long_tenant = Tenant.objects.get(scaikey_tenant_id=tenant)
    assert (long_tenant.slug, long_tenant.is_active) == ("s" * 60, False)
    assert get_changed_counts(sync()) == {}


def test_fail_after_the_changes_were_saved(scaikey: Sandbox) -> None:
    """What follows the commit can't undo it, so neither a failure there nor a kill hides it."""
    recorded: list[tuple[str, bool]] = []

    def fail() -> None:
        run = get_last_run()
        recorded.append((run.outcome, run.get_counts()["participants"]["added"] > 0))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        sync(on_planned=fail)
    assert recorded == [("applied", True)]
    run = get_last_run()
    assert (run.outcome, run.error_code) == ("applied", "SW_INTERNAL")
    assert run.get_counts()["participants"]["added"] == Participant.objects.count()


def test_success_a_run_that_was_saved_is_not_recorded_as_failed(synced: Sandbox) -> None:
    """The database could not tell in time whether it saved the plan, and can be reached again."""
    run = get_last_run()
    report = SyncReport(run_id=None)
    report.fail()
    fail_run(run, report, now=timezone.now(), error=OperationalError("the connection is lost"))
    assert get_last_run().outcome == "applied"
    assert get_last_run().get_counts()["participants"]["added"] == Participant.objects.count()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--plan", "a", "--apply", "b"), "--apply"),
        (("--apply", "a", "--tenant", "acme"), "--tenant"),
        (("--apply", "a", "--tenant", ""), "--tenant"),
        (("--apply", "a", "--allow-removals", "0"), "--allow-removals"),
        (("--apply", "a", "--no-removals"), "--no-removals"),
        (("--apply", "a", "--scheduled"), "--scheduled"),
        (("--no-removals", "--quiet", "--allow-removals", "3"), "--allow-removals"),
        (("--purge-after", "90", "--plan", "a"), "Can't combine"),
        (("--purge-after", "90", "--apply", "a"), "Can't combine"),
        (("--allow-removals=-1",), "'-1' is not a whole number of 0 or more."),
        (("--allow-removals=many",), "'many' is not a whole number of 0 or more."),
        (("--timeout", "0"), "--timeout"),
        (("--timeout", "soon"), "--timeout"),
        (("--wait", "-1"), "--wait"),
    ],
)
def test_fail_usage(words: tuple[str, ...], named: str) -> None:
    with pytest.raises(UsageError) as caught:
        run_command("sync", *words)
    assert (caught.value.exit_code, caught.value.code) == (2, "SW_USAGE")
    assert named in caught.value.message
    assert not SyncRun.objects.exists()
