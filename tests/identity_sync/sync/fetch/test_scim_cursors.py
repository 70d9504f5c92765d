"""Group members by SCIM with cursors (RFC 9865), from servers that handle them well or badly.

No answer may end a membership that exists. A list that a cursor does not read completely is read by
index, and groups that are missing there from their lists of members.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from scaiwave.sandbox import Sandbox
from tests.identity_sync.sync.helpers import (
    MEMBERS,
    age_rows,
    assert_synced,
    count_rewritten_rows,
    get_changed_counts,
    list_groups,
    read_database,
    read_directory,
    sync,
)

GROUPS = "/api/v1/tenants/*/scim/v2/Groups"
CONFIG = "/api/v1/tenants/*/scim/v2/ServiceProviderConfig"
EXPIRED = {"schemas": [], "status": "400", "scimType": "expiredCursor"}

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(
        partners=1, tenants=2, people=60, groups=40, scim_cursors=True, max_per_page=7
    ),
]


def list_scim_requests(scaikey: Sandbox, *, after: int = 0) -> list[str]:
    """Return the queries of the requests for lists by SCIM."""
    return [
        target.partition("?")[2]
        for target, _ in list(scaikey.requests.recent)[after:]
        if "/scim/v2/Groups?" in target
    ]


def list_groups_with_lists(scaikey: Sandbox) -> set[str]:
    """Return the groups whose list of members was requested."""
    targets = [target for target, _ in scaikey.requests.recent]
    return {target.split("/")[-2] for target in targets if "/members?" in target}


@pytest.fixture
def synced(scaikey: Sandbox) -> Iterator[Sandbox]:
    """The sandbox after a first sync; a second one must change nothing, whatever it returns."""
    sync()
    age_rows()
    scaikey.requests.reset()
    yield scaikey
    assert read_database() == read_directory(scaikey)
    assert count_rewritten_rows() == {}
    scaikey.faults.clear()
    assert get_changed_counts(sync()) == {}


def test_success_members_are_read_by_cursor(scaikey: Sandbox) -> None:
    assert_synced(scaikey)
    assert scaikey.requests.count(MEMBERS) == 0
    assert scaikey.requests.count("/api/v1/tenants/*/scim/v2/ServiceProviderConfig") == 1
    queries = list_scim_requests(scaikey)
    assert {query.partition("=")[0] for query in queries} == {"cursor"}
    # All pages of a list have the largest size that the server has announced.
    assert {query.rpartition("=")[2] for query in queries} == {"7"}
    sizes = [0, 0]
    for group in list_groups(scaikey):
        sizes[list(scaikey.directory.tenants).index(group["tenant_id"])] += 1
    assert len(queries) == sum(-(-size // 7) for size in sizes)


PAGINATIONS: list[Any] = [None, {}, {"cursor": False}, {"cursor": "yes"}, {"cursor": 1}, []]


@pytest.mark.usefixtures("no_retries")
@pytest.mark.parametrize(
    ("fault", "options"),
    [
        *(("status", {"status": status}) for status in (403, 404, 500)),
        *(("wrong_shape", {"body": {"pagination": each}}) for each in PAGINATIONS),
    ],
)
def test_success_without_cursors_lists_are_read_by_index(
    synced: Sandbox, fault: Any, options: dict[str, Any]
) -> None:
    synced.faults.add(fault, path=CONFIG, **options)
    assert get_changed_counts(sync()) == {}
    assert synced.requests.count(MEMBERS) == 0
    assert all(query.startswith("startIndex=") for query in list_scim_requests(synced))


@pytest.mark.parametrize("size", [0, -3, 2])
def test_success_page_sizes_of_the_configuration(synced: Sandbox, size: int) -> None:
    body = {"pagination": {"cursor": True, "index": True, "maxPageSize": size}}
    synced.faults.add("wrong_shape", path=CONFIG, body=body)
    assert get_changed_counts(sync()) == {}
    assert synced.requests.count(MEMBERS) == 0
    counts = {query.rpartition("=")[2] for query in list_scim_requests(synced)}
    assert counts == ({"2"} if size == 2 else {"100"})


def test_success_a_server_that_ignores_cursors_is_read_by_index(synced: Sandbox) -> None:
    synced.scim_cursors = False
    synced.faults.add("wrong_shape", path=CONFIG, body={"pagination": {"cursor": True}})
    assert get_changed_counts(sync()) == {}
    assert synced.requests.count(MEMBERS) == 0


def test_success_an_expired_cursor_is_followed_by_a_new_start(synced: Sandbox) -> None:
    synced.faults.add("status", path=GROUPS, nth=3, status=400, body=EXPIRED)
    assert get_changed_counts(sync()) == {}
    assert synced.requests.count(MEMBERS) == 0
    queries = list_scim_requests(synced)
    assert all(query.startswith("cursor=") for query in queries)
    assert sum(query.startswith("cursor=&") for query in queries) == 3


def test_success_cursors_that_always_expire(synced: Sandbox) -> None:
    first = {"query": {"cursor": ""}, "path": GROUPS, "status": 400, "body": EXPIRED}
    synced.faults.add("status", **first)
    assert get_changed_counts(sync()) == {}
    assert synced.requests.count(MEMBERS) == 0
    queries = list_scim_requests(synced)
    assert sum(query.startswith("cursor=&") for query in queries) == 4


def test_success_cursors_that_fail_where_there_is_no_index(synced: Sandbox) -> None:
    body = {"pagination": {"cursor": True, "index": False}}
    synced.faults.add("wrong_shape", path=CONFIG, body=body)
    synced.faults.add("status", path=GROUPS, status=400, body=EXPIRED)
    assert get_changed_counts(sync()) == {}
    assert len(list_groups_with_lists(synced)) == 40


@pytest.mark.parametrize(
    "page",
    [
        pytest.param({"Resources": []}, id="ends early"),
        pytest.param({"Resources": [], "totalResults": 0}, id="ends early with a total"),
        pytest.param({"Resources": [], "totalResults": 500}, id="ends before its total"),
        pytest.param({"Resources": [], "nextCursor": "more"}, id="never ends"),
        pytest.param(
            {"Resources": [{"id": "grp_x", "members": []}], "nextCursor": "same"},
            id="repeats a cursor and a group",
        ),
        pytest.param({"Resources": [{"id": "grp_x"}] * 2}, id="repeats a group"),
        pytest.param({"Resources": [], "nextCursor": 17}, id="invalid cursor"),
    ],
)
def test_success_pages_that_lie(synced: Sandbox, page: dict[str, Any]) -> None:
    """Every list by SCIM lies, by cursor and by index."""
    synced.faults.add("wrong_shape", path=GROUPS, body=page)
    assert get_changed_counts(sync()) == {}
    assert len(list_groups_with_lists(synced)) == 40
    assert len(list_scim_requests(synced)) <= 8


def test_success_a_cursor_that_is_not_asked_for_is_followed(synced: Sandbox) -> None:
    """A server may page by cursor only, without a configuration that states it."""
    synced.faults.add("status", path=CONFIG, status=404)
    tenant_id = next(iter(synced.directory.tenants))
    groups = [row["id"] for row in list_groups(synced) if row["tenant_id"] == tenant_id]
    path = f"/api/v1/tenants/{tenant_id}/scim/v2/Groups"
    first = {"Resources": [{"id": group} for group in groups[:2]], "nextCursor": "b"}
    rest = {"Resources": [{"id": group} for group in groups[2:]]}
    synced.faults.add("wrong_shape", path=path, query={"startIndex": "1"}, body=first)
    synced.faults.add("wrong_shape", path=path, query={"cursor": "b"}, body=rest)
    # The documents have no members, so these are read from their lists.
    assert get_changed_counts(sync()) == {}
    assert list_groups_with_lists(synced) == set(groups)
    assert sum("cursor=b&" in query for query in list_scim_requests(synced)) == 1


def test_success_pages_grow_while_they_are_small(scaikey: Sandbox) -> None:
    scaikey.scim_cursors = False
    scaikey.max_per_page = 100
    tenant_id = next(iter(scaikey.directory.tenants))
    for number in range(100):
        scaikey.directory.add_group(tenant_id, name=f"Group {number}")
    assert_synced(scaikey)
    counts = [
        int(query.rpartition("=")[2])
        for target, _ in scaikey.requests.recent
        if f"{tenant_id}/scim/v2/Groups?" in target and (query := target.partition("?")[2])
    ]
    assert counts == [20, 40, 80]
