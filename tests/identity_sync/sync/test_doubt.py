"""Lists that do not show everything: nobody is gone because a page said so."""

from __future__ import annotations

from typing import Any

import pytest

from identity_sync.errors import IncompleteListing
from scaiwave.sandbox import Sandbox
from tenants.models import Participant
from tests.identity_sync.sync.directory import (
    ADMIN,
    MEMBERS,
    USERS,
    age,
    counts,
    dump,
    every_group,
    everybody,
    in_database,
    in_directory,
    last_run,
    people_of,
    rewritten,
    sync,
)

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=250, groups=9),
]

CHANGED = (
    "ScaiKey's list of users changed while it was read; what seems gone was asked for again "
    "before it counted as gone."
)


def test_success_list_misses_somebody(scaikey: Sandbox) -> None:
    sync()
    age()
    scaikey.faults.add("shift", path=USERS, query={"page": "2"}, rows=1)
    scaikey.faults.add("total", path=USERS, rows=1)

    report = sync()

    assert counts(report) == {}
    assert rewritten() == {}
    assert len(report.warnings) >= 1
    assert last_run().warnings == report.warnings


def test_success_list_hides_somebody_whom_the_item_still_has(scaikey: Sandbox) -> None:
    sync()
    person = everybody(scaikey)[-1]["id"]
    age()
    _hide(scaikey, person)

    report = sync()

    assert report.warnings == [
        "1 participants are missing from ScaiKey's list, yet ScaiKey still has them; they are "
        "left as they are."
    ]
    assert counts(report) == {}
    assert rewritten() == {}


def test_success_deleted_by_id_counts_as_gone(scaikey: Sandbox) -> None:
    sync()
    person = everybody(scaikey)[-1]["id"]
    _hide(scaikey, person)
    scaikey.faults.add(
        "wrong_shape", path=f"{USERS}{person}", body={"id": person, "status": "DELETED"}
    )

    assert counts(sync())["participants"] == {"deactivated": 1}


def _hide(sandbox: Sandbox, person: str) -> None:
    """Let the list be as without this person, while the item is answered."""
    listed = [row for row in everybody(sandbox) if row["id"] != person]
    for page, start in enumerate(range(0, len(listed), 100), 1):
        rows: dict[str, Any] = {"data": listed[start : start + 100], "total": len(listed)}
        sandbox.faults.add("wrong_shape", path=USERS, query={"page": str(page)}, body=rows)


def test_success_rows_seen_twice(scaikey: Sandbox) -> None:
    """A list that moves while it is walked adds and updates; who slipped through it stays."""
    sync()
    tenant = next(iter(scaikey.directory.tenants))
    new = scaikey.directory.add_user(tenant, display_name="New")
    gone, renamed = (row["id"] for row in people_of(scaikey, tenant)[:2])
    for group in every_group(scaikey):
        scaikey.directory.remove_member(group["id"], user_id=gone)
    scaikey.directory.update_user(renamed, display_name="Renamed")
    scaikey.directory.remove_user(gone)
    scaikey.faults.add("shift", path=USERS, query={"page": "2"}, rows=-5)

    report = sync()

    assert CHANGED in report.warnings
    assert counts(report)["participants"]["deactivated"] == 1
    assert Participant.objects.get(scaikey_id=renamed).display_name == "Renamed"
    scaikey.faults.clear()
    sync()
    assert in_database() == in_directory(scaikey)
    assert Participant.objects.filter(scaikey_id=new, absent_since=None).exists()


@pytest.mark.sandbox(partners=1, tenants=2, people=600, groups=2)
def test_success_many_candidates_are_walked_again(scaikey: Sandbox) -> None:
    sync()
    scaikey.faults.add("wrong_shape", path=USERS, times=1, body={"data": [], "total": 0})
    before = scaikey.requests.total

    report = sync()

    assert counts(report) == {}
    assert report.warnings == [
        "600 participants are missing from ScaiKey's list, yet ScaiKey still has them; they are "
        "left as they are."
    ]
    assert scaikey.requests.total - before < 40


def test_fail_second_walk_is_truncated(scaikey: Sandbox) -> None:
    sync()
    before = dump()
    scaikey.faults.add("wrong_shape", path=USERS, times=1, body={"data": [], "total": 0})
    scaikey.faults.add("empty_page", path=USERS, query={"page": "2"})

    with pytest.raises(IncompleteListing) as caught:
        sync()

    assert caught.value.message == (
        "ScaiKey says there are 250 users and handed out 100. Nothing was changed."
    )
    assert dump() == before


def test_fail_truncated_twice(scaikey: Sandbox) -> None:
    sync()
    before = dump()
    scaikey.faults.add("empty_page", path=USERS, query={"page": "3"})

    with pytest.raises(IncompleteListing) as caught:
        sync()

    assert caught.value.message == (
        "ScaiKey says there are 250 users and handed out 200. Nothing was changed."
    )
    assert (caught.value.code, caught.value.exit_code) == ("SW_SYNC_TRUNCATED", 2)
    assert dump() == before
    assert (last_run().outcome, last_run().error_code) == ("failed", "SW_SYNC_TRUNCATED")


def test_success_truncated_once(scaikey: Sandbox) -> None:
    scaikey.faults.add("empty_page", path=USERS, query={"page": "3"}, times=1)
    sync()
    assert in_database() == in_directory(scaikey)


def test_success_group_vanishes_while_members_are_read(scaikey: Sandbox) -> None:
    sync()
    group = every_group(scaikey)[0]["id"]
    age()
    scaikey.faults.add("status", path=f"{ADMIN}/groups/{group}/members", status=404, times=1)

    report = sync()

    assert counts(report) == {}
    assert rewritten() == {}
    assert report.warnings == [
        "1 groups vanished while their members were read; the next run will see to them."
    ]
    assert sync().warnings == []


def test_success_group_vanishes_when_asked_again(scaikey: Sandbox) -> None:
    sync()
    group = every_group(scaikey)[0]["id"]
    path = f"{ADMIN}/groups/{group}/members"
    age()
    scaikey.faults.add("wrong_shape", path=path, times=1, body={"data": [], "total": 0})
    scaikey.faults.add("status", path=path, status=404, times=1)

    report = sync()

    assert counts(report) == {}
    assert rewritten() == {}
    assert "memberships are missing from ScaiKey's list" in report.warnings[0]


def test_success_members_seen_again(scaikey: Sandbox) -> None:
    sync()
    age()
    scaikey.faults.add("wrong_shape", path=MEMBERS, times=1, body={"data": [], "total": 0})

    report = sync()

    assert counts(report) == {}
    assert rewritten() == {}
