"""Group members by SCIM: one document per group instead of a list."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from identity_sync.models import SyncSkip
from scaiwave.sandbox import Sandbox
from tenants.models import GroupMembership
from tests.identity_sync.sync.helpers import (
    MEMBERS,
    age_rows,
    assert_nothing_changes,
    assert_synced,
    count_rewritten_rows,
    get_changed_counts,
    list_groups,
    read_database,
    read_directory,
    sync,
)

SCIM = "/api/v1/tenants/*/scim/v2/Groups"

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=250, groups=12),
]


def list_members(scaikey: Sandbox, group_id: str) -> list[dict[str, Any]]:
    rows = scaikey.directory.list_members(group_id, 0, 10**6)[0]
    return [msgspec.json.decode(row) for row in rows]


def omit_from_scim_lists(scaikey: Sandbox, person: str) -> None:
    """Make every SCIM list omit a person who is still a member."""
    for tenant_id in scaikey.directory.tenants:
        resources = [
            {
                "id": group["id"],
                "members": [
                    {
                        "value": row.get("user_id") or row["group_id"],
                        "type": "User" if row.get("user_id") else "Group",
                    }
                    for row in list_members(scaikey, group["id"])
                    if row.get("user_id") != person
                ],
            }
            for group in list_groups(scaikey)
            if group["tenant_id"] == tenant_id
        ]
        scaikey.faults.add(
            "wrong_shape",
            path=f"/api/v1/tenants/{tenant_id}/scim/v2/Groups",
            body={"totalResults": len(resources), "Resources": resources},
        )


def find_largest_group(scaikey: Sandbox) -> tuple[str, str]:
    """Return the group with the most members, and one of them."""
    groups = [row["id"] for row in list_groups(scaikey)]
    group = max(groups, key=lambda group_id: len(list_members(scaikey, group_id)))
    return group, next(row["user_id"] for row in list_members(scaikey, group) if row.get("user_id"))


def test_success_one_request_per_tenant_instead_of_one_per_group(synced: Sandbox) -> None:
    assert read_database() == read_directory(synced)
    assert synced.requests.count(f"GET {MEMBERS}") == 0
    group, person = find_largest_group(synced)
    synced.directory.remove_member(group, user_id=person)
    report = sync()
    assert get_changed_counts(report) == {"memberships": {"deactivated": 1}}
    assert read_database() == read_directory(synced)


@pytest.mark.parametrize(
    "response",
    [
        {"action": "status", "status": 403},
        {"action": "status", "status": 404},
        {"action": "status", "status": 501},
        {"action": "not_json"},
        {"action": "wrong_shape", "body": {"totalResults": 3, "Resources": []}},
        {"action": "wrong_shape", "body": {"totalResults": "many"}},
        {"action": "redirect"},
    ],
)
def test_success_without_scim_the_lists_are_read(
    scaikey: Sandbox, response: dict[str, Any]
) -> None:
    scaikey.faults.add(path=SCIM, **response)
    assert_synced(scaikey)
    assert get_changed_counts(sync()) == {}


def test_success_members_that_are_left_out_are_read_from_the_lists(scaikey: Sandbox) -> None:
    for tenant_id in scaikey.directory.tenants:
        groups = [group["id"] for group in list_groups(scaikey) if group["tenant_id"] == tenant_id]
        scaikey.faults.add(
            "wrong_shape",
            path=f"/api/v1/tenants/{tenant_id}/scim/v2/Groups",
            body={"totalResults": len(groups), "Resources": [{"id": group} for group in groups]},
        )
    assert_synced(scaikey)


def test_success_scim_ids_unknown_to_the_admin_api_are_ignored(scaikey: Sandbox) -> None:
    for tenant_id in scaikey.directory.tenants:
        groups = [group["id"] for group in list_groups(scaikey) if group["tenant_id"] == tenant_id]
        foreign = [{"id": group, "members": [{"value": f"scim-{group}"}]} for group in groups]
        scaikey.faults.add(
            "wrong_shape",
            path=f"/api/v1/tenants/{tenant_id}/scim/v2/Groups",
            body={"totalResults": len(groups), "Resources": foreign},
        )
    assert_synced(scaikey)


def test_success_a_list_without_a_member_removes_nothing(synced: Sandbox) -> None:
    _, person = find_largest_group(synced)
    omit_from_scim_lists(synced, person)

    report = assert_nothing_changes()

    assert "that still exist" in report.warnings[0]


def test_success_a_document_without_a_member_removes_nothing(synced: Sandbox) -> None:
    """The list of members decides, if it can be read."""
    group, person = find_largest_group(synced)
    omit_from_scim_lists(synced, person)
    synced.faults.add("wrong_shape", path=f"{SCIM}/{group}", body={"id": group, "members": []})
    age_rows()

    assert get_changed_counts(sync()) == {}
    assert count_rewritten_rows() == {}


def test_success_an_incomplete_list_postpones_removals(synced: Sandbox) -> None:
    group, person = find_largest_group(synced)
    synced.directory.remove_member(group, user_id=person)
    synced.faults.add("total", path=MEMBERS, rows=1)

    report = sync()

    assert get_changed_counts(report) == {"memberships": {"skipped": 1}}
    assert SyncSkip.objects.get().is_postponed
    edge = GroupMembership.objects.get(
        group__scaikey_id=group, member_participant__scaikey_id=person
    )
    assert edge.absent_since is None
    synced.faults.clear()
    assert get_changed_counts(sync()) == {"memberships": {"deactivated": 1}}


def test_success_the_document_alone_proves_nothing(synced: Sandbox) -> None:
    """Documents may be cut off, so that a list must agree."""
    group, person = find_largest_group(synced)
    synced.directory.remove_member(group, user_id=person)
    synced.faults.add("status", path=MEMBERS, status=404)
    assert get_changed_counts(sync()) == {"memberships": {"skipped": 1}}
    synced.faults.clear()
    assert get_changed_counts(sync()) == {"memberships": {"deactivated": 1}}
