"""The removal limit: when a run is refused, and how it is allowed."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from identity_sync.errors import RemovalLimitExceeded, SyncCollectionEmpty, SyncPartial
from identity_sync.management.output import format_summary
from identity_sync.models import PendingRemoval
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.rules import RemovalLimit
from identity_sync.sync.variants import apply_sync_plan, write_sync_plan
from scaiwave.sandbox import Sandbox
from tenants.models import Partner, Tenant
from tests.identity_sync.sync.helpers import (
    ADMIN,
    HOST,
    MEMBERS,
    USERS,
    assert_partial,
    dump_rows,
    get_changed_counts,
    get_last_run,
    list_groups,
    list_people,
    list_people_of_tenant,
    read_database,
    read_directory,
    sync,
)
from tests.refusals import refuses
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=120, groups=9, scim=False),
]


@given(
    removals=st.integers(0, 10**7),
    present=st.integers(0, 10**7),
    limit=st.integers(0, 10**6),
    share=st.floats(0, 1),
)
def test_success_stops_by_count_and_share(
    removals: int, present: int, limit: int, share: float
) -> None:
    removal_limit = RemovalLimit(limit=limit, share=share)
    is_over = removal_limit.is_exceeded(removals, present)
    assert is_over is (removals > limit and removals > present * share)
    if not is_over and removals:
        assert not removal_limit.is_exceeded(removals - 1, present)


@pytest.mark.parametrize(
    ("removals", "present", "is_over"),
    [(20, 0, False), (21, 210, False), (21, 209, True), (20, 20, False), (101, 1000, True)],
)
def test_success_boundary(removals: int, present: int, is_over: bool) -> None:
    assert RemovalLimit(limit=20, share=0.1).is_exceeded(removals, present) is is_over


def remove_people(sandbox: Sandbox, number: int) -> None:
    """Remove people across all tenants, so that no single tenant exceeds the limit."""
    for group in list_groups(sandbox):
        sandbox.directory.remove_group(group["id"])
    sync(allow_removals=10_000)
    for row in list_people(sandbox)[:: max(1, len(list_people(sandbox)) // number)][:number]:
        sandbox.directory.remove_user(row["id"])


def test_fail_too_many(synced: Sandbox) -> None:
    remove_people(synced, 21)
    before = dump_rows()

    caught = assert_partial()

    assert caught.message == (
        "21 removals in acme, blaue-linie, nordlys wait for a decision. Everything else was "
        "applied."
    )
    assert caught.fix == ("Review them: `scaiwave sync removals`. Then approve or keep them.")
    assert (caught.code, caught.exit_code) == ("SW_SYNC_PARTIAL", 1)
    assert dump_rows() == before
    run = get_last_run()
    assert (run.outcome, run.error_code) == ("partial", "SW_SYNC_PARTIAL")
    assert run.counts["participants"]["skipped"] == 21

    assert_partial(allow_removals=20)
    assert dump_rows() == before
    assert get_changed_counts(sync(allow_removals=21)) == {"participants": {"deactivated": 21}}
    assert read_database() == read_directory(synced)


@pytest.mark.parametrize(
    ("path", "kind", "name"),
    [
        (f"{ADMIN}/partners/", "partners", "partners"),
        (f"{ADMIN}/tenants/", "tenants", "tenants"),
        (USERS, "participants", "users"),
        (f"{ADMIN}/groups/", "groups", "groups"),
        (MEMBERS, "memberships", "group members"),
    ],
)
def test_fail_empty_collection(scaikey: Sandbox, path: str, kind: str, name: str) -> None:
    report = sync()
    before = dump_rows()
    scaikey.faults.add("wrong_shape", path=path, body={"data": [], "total": 0})
    if kind != "memberships":
        # Look-ups fail as well, as with a missing scope.
        scaikey.faults.add("status", path=f"{path}*", status=404)

    with pytest.raises((SyncCollectionEmpty, RemovalLimitExceeded)) as caught:
        sync()

    number = report.kinds[kind].seen
    assert caught.value.message == (
        f"ScaiKey returned no {name}, but this server has {number}. No changes were made."
    )
    assert (caught.value.code, caught.value.exit_code) == ("SW_SYNC_COLLECTION_EMPTY", 1)
    assert format_summary(caught.value.report).startswith(f"Refused {number} change")
    assert dump_rows() == before
    assert (get_last_run().outcome, get_last_run().error_code) == (
        "refused",
        "SW_SYNC_COLLECTION_EMPTY",
    )


@pytest.mark.parametrize(
    ("path", "parameter"),
    [("groups", "tenant_id"), ("users", "tenant_id"), ("tenants", "partner_id")],
)
def test_fail_only_the_unreadable_part_has_records(
    scaikey: Sandbox, path: str, parameter: str
) -> None:
    """All other parts are empty, in ScaiKey and here: nothing is lost, so the rest is applied."""
    directory = scaikey.directory
    full = next(iter(directory.tenants))
    for tenant in list(directory.tenants)[1:]:
        directory.remove_tenant(tenant)
    empty = directory.add_tenant(name="Empty", slug="empty")
    sync()
    before = dump_rows()
    directory.update_partner(directory.tenants[empty]["partner_id"], name="Renamed")
    part = full if parameter == "tenant_id" else directory.tenants[full]["partner_id"]
    scaikey.faults.add("not_json", path=f"{ADMIN}/{path}/", times=1)
    scaikey.faults.add("not_json", path=f"{ADMIN}/{path}/", query={parameter: part})

    with pytest.raises(SyncPartial, match="Skipped 1 list that ScaiKey does not return"):
        sync()

    after = dump_rows()
    assert {name for name in after if after[name] != before[name]} == {
        "sw_partners",
        "sw_sync_changes",
    }


def test_fail_cause_of_an_unreadable_part_denies_no_changes(scaikey: Sandbox) -> None:
    part = next(iter(scaikey.directory.tenants))
    scaikey.faults.add("not_json", path=USERS, times=1)
    scaikey.faults.add("empty_page", path=USERS, query={"tenant_id": part})

    with pytest.raises(SyncPartial, match="returned 0") as caught:
        sync()

    assert "No changes were made" not in caught.value.message


def test_fail_an_unreadable_part_may_have_the_control(synced: Sandbox) -> None:
    """The other parts are wrongly empty, and ScaiKey finds no one by ID: nothing is proven."""
    before = read_database()
    part, *others = synced.directory.tenants
    synced.faults.add("not_json", path=USERS, times=1)
    synced.faults.add("not_json", path=USERS, query={"tenant_id": part})
    for tenant in others:
        synced.faults.add(
            "wrong_shape", path=USERS, query={"tenant_id": tenant}, body={"data": [], "total": 0}
        )
    synced.faults.add("status", path=f"{USERS}*", status=404)

    with pytest.raises(SyncPartial, match="Skipped 1 list that ScaiKey does not return"):
        sync(allow_removals=10_000)

    assert read_database() == before


def test_fail_a_tenant_that_moves_to_an_approved_partner_is_another_loss(
    scaikey: Sandbox, settings: Settings
) -> None:
    """An approval covers the partner as it was, and not who comes before it is applied."""
    names = ("REMOVAL_LIMIT", "REMOVAL_SHARE", "SUSPENSION_LIMIT", "SUSPENSION_SHARE")
    settings.CONFIG = make_config(scaikey, **{f"SCAIWAVE_SYNC_{name}": "0" for name in names})
    directory = scaikey.directory
    partner = directory.add_partner(name="Small", slug="small")
    directory.add_tenant(name="Two", slug="two", partner_id=partner, people=2)
    sync()
    directory.update_partner(partner, status="SUSPENDED")
    with pytest.raises(SyncPartial, match="1 removal waits"):
        sync()
    PendingRemoval.objects.update(
        state="approved", decided_at=timezone.now(), expires_at=timezone.now() + timedelta(hours=1)
    )
    tenant = next(iter(directory.tenants))
    directory.update_tenant(tenant, partner_id=partner)
    before = read_database()["tenants"]

    for scope in (directory.tenants[tenant]["slug"], None):
        with pytest.raises(SyncPartial, match="1 removal in acme waits"):
            sync(tenant=scope)
        assert read_database()["tenants"] == before

    assert Partner.objects.get(scaikey_id=partner).scaikey_status == "SUSPENDED"


def test_fail_one_tenant_alone_names_it(synced: Sandbox) -> None:
    tenant = Tenant.objects.order_by("slug").first()
    assert tenant is not None
    assert tenant.scaikey_tenant_id is not None
    for row in list_people_of_tenant(synced, tenant.scaikey_tenant_id):
        synced.directory.remove_user(row["id"])
    before = dump_rows()

    with pytest.raises(SyncCollectionEmpty) as caught:
        sync(tenant=tenant.slug)

    assert caught.value.fix == (
        "Check the scopes of this server's application in ScaiKey. If ScaiKey really has none, "
        f"write a plan and review its losses of access: `scaiwave sync --tenant {tenant.slug} "
        "--plan plan.json`."
    )
    assert dump_rows() == before


@pytest.mark.sandbox(partners=1, tenants=1, people=200, groups=9)
def test_fail_an_empty_list_names_commands_that_show_and_apply_its_losses(
    synced: Sandbox, tmp_path: Path
) -> None:
    for row in list_people(synced)[:30]:
        synced.directory.remove_user(row["id"])
    with pytest.raises(SyncPartial, match="30 removals"):
        sync()
    for group in list_groups(synced):
        synced.directory.remove_group(group["id"])
    path = tmp_path / "plan.json"
    options = SyncOptions(HOST)

    with pytest.raises(SyncCollectionEmpty) as caught:
        sync()
    assert caught.value.command == "scaiwave sync --plan plan.json"
    with pytest.raises(SyncCollectionEmpty) as caught:
        write_sync_plan(options, path)

    assert caught.value.command == f"scaiwave sync --apply {path}"
    losses = Counter(row["kind"] for row in json.loads(path.read_text())["removals"])
    assert losses == {"participants": 30, "groups": 9}
    apply_sync_plan(options, path)
    assert read_database() == read_directory(synced)


def test_fail_slug_of_a_local_tenant(scaikey: Sandbox) -> None:
    from tests.tenants.factories import make_tenant

    sync()
    make_tenant("ours", scaikey_tenant_id=None)
    scaikey_tenant_id = scaikey.directory.add_tenant(name="Theirs", slug="ours", people=2)
    person = list_people_of_tenant(scaikey, next(iter(scaikey.directory.tenants)))[0]["id"]
    scaikey.directory.update_user(person, display_name="Renamed")

    with refuses(
        SyncPartial,
        "Skipped tenants whose slug is already in use: ours. Everything else was applied.",
        f"If both are the same tenant, link them: `scaiwave admin link-tenant ours "
        f"--scaikey-tenant-id {scaikey_tenant_id}`; otherwise rename the local one: "
        "`scaiwave admin update-tenant ours --slug ours-local`.",
    ) as caught:
        sync()
    assert caught.value.report.warnings == [
        f"Skipped tenant Theirs ({scaikey_tenant_id}): its slug ours is in use by a local tenant.",
        "Skipped 2 of the participants, whose tenant was skipped or not returned by ScaiKey; the "
        "local rows are unchanged.",
    ]
    assert get_changed_counts(caught.value.report) == {
        "tenants": {"skipped": 1},
        "participants": {"updated": 1, "skipped": 2},
    }
    assert get_last_run().outcome == "partial"
    assert assert_partial(dry_run=True).report.outcome == "planned"

    Tenant.objects.filter(slug="ours").update(scaikey_tenant_id=scaikey_tenant_id)
    assert get_changed_counts(sync()) == {"tenants": {"updated": 1}, "participants": {"added": 2}}


def test_fail_swapped_slugs_for_one_tenant_alone(synced: Sandbox) -> None:
    first, second, _ = synced.directory.tenants.values()
    slugs = first["slug"], second["slug"]
    synced.directory.update_tenant(first["id"], slug="in-between")
    synced.directory.update_tenant(second["id"], slug=slugs[0])
    synced.directory.update_tenant(first["id"], slug=slugs[1])

    caught = assert_partial(tenant=first["id"])

    assert caught.fix == (
        "Run `scaiwave sync` for all tenants, after making sure that only one of them has the slug "
        f"{slugs[1]} in ScaiKey."
    )
    assert Tenant.objects.get(scaikey_tenant_id=first["id"]).slug == slugs[0]
    assert get_changed_counts(sync()) == {"tenants": {"updated": 2}}
