"""Group members by SCIM: one document a group instead of a list, and what follows from that."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from identity_sync.models import SyncSkip
from scaiwave.sandbox import Sandbox
from tenants.models import GroupMembership
from tests.identity_sync.sync.directory import (
    MEMBERS,
    age,
    counts,
    every_group,
    in_database,
    in_directory,
    rewritten,
    sync,
)

SCIM = "/api/v1/tenants/*/scim/v2/Groups"
ITEMS = f"{SCIM}/*"

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=250, groups=12),
]


def members_of(scaikey: Sandbox, group_id: str) -> list[dict[str, Any]]:
    rows = scaikey.directory.list_members(group_id, 0, 10**6)[0]
    return [msgspec.json.decode(row) for row in rows]


def add_groups_without(scaikey: Sandbox, person: str) -> None:
    """Have every list by SCIM leave one person out, though no group has lost them."""
    for tenant_id in scaikey.directory.tenants:
        resources = [
            {
                "id": group["id"],
                "members": [
                    {
                        "value": row.get("user_id") or row["group_id"],
                        "type": "User" if row.get("user_id") else "Group",
                    }
                    for row in members_of(scaikey, group["id"])
                    if row.get("user_id") != person
                ],
            }
            for group in every_group(scaikey)
            if group["tenant_id"] == tenant_id
        ]
        scaikey.faults.add(
            "wrong_shape",
            path=f"/api/v1/tenants/{tenant_id}/scim/v2/Groups",
            body={"totalResults": len(resources), "Resources": resources},
        )


def biggest_group(scaikey: Sandbox) -> tuple[str, str]:
    """The group with most members, and one of them."""
    groups = [row["id"] for row in every_group(scaikey)]
    group = max(groups, key=lambda group_id: len(members_of(scaikey, group_id)))
    return group, next(r["user_id"] for r in members_of(scaikey, group) if r.get("user_id"))


def test_success_a_request_a_tenant_instead_of_one_a_group(scaikey: Sandbox) -> None:
    sync()
    assert in_database() == in_directory(scaikey)
    assert scaikey.requests.count(f"GET {MEMBERS}") == 0
    group, person = biggest_group(scaikey)
    scaikey.directory.remove_member(group, user_id=person)
    report = sync()
    assert counts(report) == {"memberships": {"deactivated": 1}}
    assert in_database() == in_directory(scaikey)


@pytest.mark.parametrize(
    "answer",
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
def test_success_without_scim_the_lists_are_read(scaikey: Sandbox, answer: dict[str, Any]) -> None:
    scaikey.faults.add(path=SCIM, **answer)
    sync()
    assert in_database() == in_directory(scaikey)
    assert counts(sync()) == {}


def test_success_members_that_are_left_out_are_read_from_the_lists(scaikey: Sandbox) -> None:
    for tenant_id in scaikey.directory.tenants:
        groups = [g["id"] for g in every_group(scaikey) if g["tenant_id"] == tenant_id]
        scaikey.faults.add(
            "wrong_shape",
            path=f"/api/v1/tenants/{tenant_id}/scim/v2/Groups",
            body={"totalResults": len(groups), "Resources": [{"id": group} for group in groups]},
        )
    sync()
    assert in_database() == in_directory(scaikey)


def test_success_ids_of_another_world_are_not_taken(scaikey: Sandbox) -> None:
    for tenant_id in scaikey.directory.tenants:
        groups = [g["id"] for g in every_group(scaikey) if g["tenant_id"] == tenant_id]
        foreign = [{"id": group, "members": [{"value": f"scim-{group}"}]} for group in groups]
        scaikey.faults.add(
            "wrong_shape",
            path=f"/api/v1/tenants/{tenant_id}/scim/v2/Groups",
            body={"totalResults": len(groups), "Resources": foreign},
        )
    sync()
    assert in_database() == in_directory(scaikey)


def test_success_a_list_that_leaves_somebody_out_ends_nothing(scaikey: Sandbox) -> None:
    sync()
    _, person = biggest_group(scaikey)
    add_groups_without(scaikey, person)
    age()

    report = sync()

    assert counts(report) == {}
    assert rewritten() == {}
    assert "that still exist" in report.warnings[0]


def test_success_a_document_that_leaves_somebody_out_ends_nothing(scaikey: Sandbox) -> None:
    """The list of members has the last word, where it can be read."""
    sync()
    group, person = biggest_group(scaikey)
    add_groups_without(scaikey, person)
    scaikey.faults.add("wrong_shape", path=f"{SCIM}/{group}", body={"id": group, "members": []})
    age()

    assert counts(sync()) == {}
    assert rewritten() == {}


def test_success_a_list_that_is_not_whole_postpones(scaikey: Sandbox) -> None:
    sync()
    group, person = biggest_group(scaikey)
    scaikey.directory.remove_member(group, user_id=person)
    scaikey.faults.add("total", path=MEMBERS, rows=1)

    report = sync()

    assert counts(report) == {"memberships": {"skipped": 1}}
    assert SyncSkip.objects.get().is_postponed
    edge = GroupMembership.objects.get(
        group__scaikey_id=group, member_participant__scaikey_id=person
    )
    assert edge.absent_since is None
    scaikey.faults.clear()
    assert counts(sync()) == {"memberships": {"deactivated": 1}}


def test_success_the_document_alone_decides_where_there_is_no_list(scaikey: Sandbox) -> None:
    sync()
    group, person = biggest_group(scaikey)
    scaikey.directory.remove_member(group, user_id=person)
    scaikey.faults.add("status", path=MEMBERS, status=404)
    assert counts(sync()) == {"memberships": {"deactivated": 1}}
