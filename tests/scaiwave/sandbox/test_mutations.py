"""Mutations of the directory, from Python and over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.data.directory import MUTATIONS, Directory
from scaiwave.sandbox.data.population import EVERYTHING, ListFilter, decode_row
from scaiwave.sandbox.errors import InvalidMutation, UnknownEntity
from tests.scaiwave.sandbox.helpers import ADMIN, get_ids, make_client, walk
from tests.tools import count_examples

Row = dict[str, Any]


def list_people(
    directory: Directory, list_filter: ListFilter = EVERYTHING, size: int = 7
) -> list[Row]:
    total = directory.list_users(list_filter, 0, 0)[1]
    pages = (
        directory.list_users(list_filter, start, size)[0] for start in range(0, total + size, size)
    )
    return [decode_row(row) for page in pages for row in page]


def list_members(directory: Directory, group_id: str) -> list[Row]:
    return [decode_row(row) for row in directory.list_members(group_id, 0, 10_000)[0]]


def make_directory(seed: int = 5) -> Directory:
    return Directory(seed=seed, partners=2, tenants=3, people=100, groups=12)


ACTS = ("add", "remove", "rename", "suspend", "activate", "odd status", "move")
act = st.tuples(st.sampled_from(ACTS), st.integers(0, 10**6), st.integers(0, 2))


@given(acts=st.lists(act, max_size=60), size=st.integers(1, 40))
@settings(max_examples=count_examples(60), suppress_health_check=[HealthCheck.too_slow])
def test_success_pages_equal_a_plain_model(acts: list[tuple[str, int, int]], size: int) -> None:
    """After any history, the pages together are the directory, each person once."""
    directory = make_directory()
    model = {row["id"]: row for row in list_people(directory)}
    tenants = list(directory.tenants)
    for name, number, tenant_index in acts:
        apply_act(directory, model, name, number, tenants[tenant_index])

    def index_by_id(rows: list[Row]) -> dict[str, Row]:
        assert len(rows) == len({row["id"] for row in rows})
        return {row["id"]: row for row in rows}

    assert index_by_id(list_people(directory, size=size)) == model
    for tenant_id in tenants:
        for status in ("ACTIVE", "SUSPENDED", "LOCKED"):
            expected = {
                key: row
                for key, row in model.items()
                if (row["tenant_id"], row["status"]) == (tenant_id, status)
            }
            list_filter = ListFilter(tenant_id=tenant_id, kind=status)
            assert index_by_id(list_people(directory, list_filter, size)) == expected
    assert all(directory.get("user", key) == row for key, row in model.items())


def apply_act(
    directory: Directory, model: dict[str, Row], name: str, number: int, tenant_id: str
) -> None:
    if name == "add" or not model:
        user_id = directory.add_user(tenant_id, email=f"new{number}@example.org")
        model[user_id] = directory.get("user", user_id)
        assert model[user_id]["email"] == f"new{number}@example.org"
        assert model[user_id]["status"] == "ACTIVE"
        return
    user_id = list(model)[number % len(model)]
    if name == "remove":
        directory.remove_user(user_id)
        del model[user_id]
        with pytest.raises(UnknownEntity):
            directory.get("user", user_id)
        return
    if name == "move":
        directory.move_user(user_id, tenant_id)
        change = {"tenant_id": tenant_id}
    elif name == "rename":
        change = {"display_name": f"Name {number}", "last_name": str(number)}
        directory.update_user(user_id, **change)
    else:
        change = {
            "status": {"suspend": "SUSPENDED", "activate": "ACTIVE", "odd status": "LOCKED"}[name]
        }
        directory.update_user(user_id, **change)
    model[user_id] = {**model[user_id], **change}


def test_success_same_seed_gives_the_same_directory() -> None:
    assert list_people(make_directory()) == list_people(make_directory())
    assert {row["id"] for row in list_people(make_directory(6))}.isdisjoint(
        row["id"] for row in list_people(make_directory())
    )


def test_success_members_leave_with_their_person() -> None:
    directory = make_directory()
    tenant, other = list(directory.tenants)[:2]
    group = decode_row(directory.list_groups(ListFilter(tenant_id=tenant), 0, 1)[0][0])["id"]
    people = [row["user_id"] for row in list_members(directory, group) if "user_id" in row]
    outsider = list_people(directory, ListFilter(tenant_id=other))[0]["id"]
    newcomer = directory.add_user(tenant)
    assert directory.add_member(group, user_id=newcomer)
    assert directory.add_member(group, user_id=outsider)
    assert not directory.add_member(group, user_id=people[0])

    directory.remove_user(people[0])
    directory.move_user(outsider, tenant)
    directory.suspend_user(newcomer)

    def get_member_ids() -> set[str]:
        return {row["user_id"] for row in list_members(directory, group) if "user_id" in row}

    assert get_member_ids() == {*people[1:], newcomer} | {outsider}
    directory.move_user(newcomer, other)
    assert get_member_ids() == {*people[1:], outsider}
    directory.remove_user(outsider)
    assert get_member_ids() == set(people[1:])
    if people[1:]:
        assert directory.remove_member(group, user_id=people[1])
        assert not directory.remove_member(group, user_id=people[1])
        assert directory.add_member(group, user_id=people[1])
        assert get_member_ids() == set(people[1:])


def test_success_nested_groups() -> None:
    directory = make_directory()
    tenant = next(iter(directory.tenants))
    outer, inner = directory.add_group(tenant, name="Outer"), directory.add_group(tenant)
    assert directory.get("group", outer)["name"] == "Outer"
    assert directory.add_member(outer, member_group_id=inner)
    assert not directory.add_member(outer, member_group_id=inner)
    assert directory.add_member(inner, member_group_id=outer)
    assert list_members(directory, outer) == [{"group_id": inner}]
    assert directory.remove_member(inner, member_group_id=outer)
    assert list_members(directory, inner) == []
    directory.update_group(inner, group_type="DISTRIBUTION_LIST", name="Inner")
    assert directory.get("group", inner)["group_type"] == "DISTRIBUTION_LIST"
    directory.remove_group(inner)
    assert list_members(directory, outer) == []
    assert inner not in {
        decode_row(row)["id"] for row in directory.list_groups(EVERYTHING, 0, 1000)[0]
    }


def test_success_tenants_and_partners() -> None:
    directory = make_directory()
    partner = directory.add_partner(name="New", slug="new")
    tenant = directory.add_tenant(name="Fresh", slug="fresh", partner_id=partner, people=3)
    assert [
        row["email"].partition("@")[2]
        for row in list_people(directory, ListFilter(tenant_id=tenant))
    ] == ["fresh.example"] * 3
    first = next(iter(directory.partners))
    directory.update_tenant(tenant, slug="renamed", name="Renamed", partner_id=first)
    assert directory.get_by_slug("tenant", "renamed")["partner_id"] == first
    assert len(list_people(directory, ListFilter(partner_id=partner))) == 0
    directory.update_partner(partner, status="SUSPENDED")
    assert (
        decode_row(directory.list_partners(ListFilter(kind="SUSPENDED"), 0, 9)[0][0])["id"]
        == partner
    )
    directory.remove_tenant(tenant)
    assert len(list_people(directory)) == 100
    directory.remove_partner(first)
    assert all(row["partner_id"] != first for row in directory.tenants.values())
    assert len(list_people(directory)) < 100


def test_success_soft_deletion_of_a_person_and_a_group(api: httpx.Client, sandbox: Sandbox) -> None:
    directory = sandbox.directory
    tenant = next(iter(directory.tenants))
    group, outer = directory.add_group(tenant, name="Doomed"), directory.add_group(tenant)
    user = directory.add_user(tenant, display_name="Ødipa")
    directory.add_member(outer, user_id=user)
    directory.add_member(outer, member_group_id=group)
    before = {
        path: api.get(f"{ADMIN}/{path}").json() for path in (f"users/{user}", f"groups/{group}")
    }

    directory.remove_user(user, soft=True)
    directory.remove_group(group, soft=True)

    for path, row in before.items():
        response = api.get(f"{ADMIN}/{path}")
        assert (response.status_code, response.json()) == (200, {**row, "status": "DELETED"})
    assert user not in get_ids(walk(api, f"{ADMIN}/users/"))
    assert group not in get_ids(walk(api, f"{ADMIN}/groups/"))
    assert walk(api, f"{ADMIN}/groups/{outer}/members") == []
    assert api.get(f"{ADMIN}/groups/{group}/members").status_code == 404
    with pytest.raises(UnknownEntity):
        directory.remove_user(user)
    with pytest.raises(UnknownEntity):
        directory.update_group(group, name="Back")


@pytest.mark.parametrize("nested", [False, True])
def test_success_soft_deletion_includes_contained_records(nested: bool) -> None:
    directory = Directory(
        seed=5, partners=2, tenants=3, people=100, groups=12, nested_tenant=nested
    )
    partner = next(iter(directory.partners))
    tenants = {i for i, row in directory.tenants.items() if row["partner_id"] == partner}
    user = directory.add_user(next(iter(tenants)))
    group = directory.add_group(next(iter(tenants)))
    rows = directory.get("user", user), directory.get("group", group)

    directory.remove_partner(partner, soft=True)

    assert directory.get_by_id("partner", partner)["status"] == "DELETED"
    assert {directory.get_by_id("tenant", tenant)["status"] for tenant in tenants} == {"DELETED"}
    assert directory.get_by_id("user", user) == {**rows[0], "status": "DELETED"}
    assert directory.get_by_id("group", group) == {**rows[1], "status": "DELETED"}
    assert partner not in directory.partners
    assert not tenants & directory.tenants.keys()
    for run in (directory.remove_partner, directory.update_partner):
        with pytest.raises(UnknownEntity):
            run(partner)
    with pytest.raises(UnknownEntity):
        directory.add_user(next(iter(tenants)))
    with pytest.raises(UnknownEntity):
        directory.get("user", user)


def test_success_soft_deletion_keeps_to_the_callers_scope(
    api: httpx.Client, sandbox: Sandbox
) -> None:
    own, other = list(sandbox.directory.tenants)[:2]
    users = {tenant: sandbox.directory.add_user(tenant) for tenant in (own, other)}
    for user in users.values():
        sandbox.directory.remove_user(user, soft=True)

    with make_client(sandbox, sandbox.issue_token(role="tenant_admin", tenant_id=own)) as client:
        assert client.get(f"{ADMIN}/users/{users[own]}").json()["status"] == "DELETED"
        assert client.get(f"{ADMIN}/users/{users[other]}").status_code == 404


@pytest.mark.parametrize("share", [0, 0.01, 0.2, 1])
def test_success_change_share(share: float) -> None:
    directory = Directory(seed=5, partners=2, tenants=3, people=1000, groups=12)
    before = {row["id"]: row for row in list_people(directory)}

    counts = directory.change_share(share, seed=1)

    after = {row["id"]: row for row in list_people(directory, size=100)}
    assert sum(counts.values()) == round(1000 * share)
    assert counts["renamed"] == round(700 * share)
    assert len(before.keys() - after.keys()) == counts["removed"]
    assert len(after.keys() - before.keys()) == counts["added"]
    changed = [key for key in before.keys() & after.keys() if before[key] != after[key]]
    assert len(changed) == counts["renamed"]


def test_success_change_share_twice_differs_by_seed() -> None:
    outcomes = []
    for seed in (1, 1, 2):
        directory = make_directory()
        directory.change_share(0.5, seed=seed)
        outcomes.append(list_people(directory))
    assert outcomes[0] == outcomes[1] != outcomes[2]


def test_success_move_share() -> None:
    directory = Directory(seed=5, partners=2, tenants=3, people=900, groups=12)
    before = {row["id"]: row["tenant_id"] for row in list_people(directory)}

    assert directory.move_share(1 / 3) == 300

    after = {row["id"]: row["tenant_id"] for row in list_people(directory, size=100)}
    assert before.keys() == after.keys()
    tenants = list(directory.tenants)
    moves = [(before[key], after[key]) for key in before if before[key] != after[key]]
    assert len(moves) == 300
    assert all((tenants.index(old) + 1) % 3 == tenants.index(new) for old, new in moves)


def test_fail_mutations_report_the_reason() -> None:
    directory = make_directory()
    tenant = next(iter(directory.tenants))
    slug = directory.tenants[tenant]["slug"]
    cases: list[tuple[Any, str]] = [
        (lambda: directory.change_share(2), "Invalid share: 2."),
        (lambda: directory.move_share(-1), "Invalid share: -1."),
        (lambda: directory.add_tenant(name="X", slug=slug), f"Slug already in use: {slug}."),
        (lambda: directory.add_user(tenant, id="usr_1"), "Unknown field: 'id'."),
        (
            lambda: directory.add_member(directory.add_group(tenant)),
            "A member is either a person or a group.",
        ),
    ]
    for run, message in cases:
        with pytest.raises(InvalidMutation) as caught:
            run()
        assert caught.value.message == message
        assert caught.value.fix
    with pytest.raises(UnknownEntity, match=r"^Tenant not found in the sandbox: tnt_x\.$"):
        directory.remove_tenant("tnt_x")


def test_success_over_http(sandbox: Sandbox, api: httpx.Client) -> None:
    answer = api.post(
        "/sandbox/mutate", json={"op": "add_tenant", "name": "New", "slug": "new", "people": 4}
    ).json()
    tenant = api.get(f"{ADMIN}/tenants/{answer['result']}").json()

    assert (answer["op"], tenant["slug"]) == ("add_tenant", "new")
    assert len(walk(api, f"{ADMIN}/users/", tenant_id=tenant["id"])) == 4
    assert api.get("/sandbox/").json()["people"] == 134
    issuer = f"{sandbox.url}/tenants/{tenant['id']}"
    token = sandbox.issue_token(role="tenant_admin", tenant_id=tenant["id"], iss=issuer)
    with make_client(sandbox, token) as client:
        assert len(walk(client, f"{ADMIN}/users/")) == 4


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (
            {"op": "drop_tables"},
            422,
            f"Unknown mutation: 'drop_tables'. Use one of {', '.join(sorted(MUTATIONS))}.",
        ),
        (
            {"op": "remove_user"},
            422,
            "Invalid arguments: remove_user: missing a required argument: 'user_id'. "
            "Use the signature (user_id: 'str', *, soft: 'bool' = False) -> 'None'.",
        ),
        (
            {"op": "change_share", "share": "all"},
            422,
            "Invalid arguments: change_share: Expected `float`, got `str`. "
            "Use the signature (share: 'float', seed: 'int' = 0) -> 'dict[str, int]'.",
        ),
        ({"op": "remove_user", "user_id": "usr_x"}, 404, "User not found in the sandbox: usr_x."),
    ],
)
def test_fail_over_http(api: httpx.Client, body: Row, status: int, detail: str) -> None:
    response = api.post("/sandbox/mutate", json=body)

    assert (response.status_code, response.json()) == (status, {"detail": detail})


def test_success_every_mutation_exists() -> None:
    assert all(callable(getattr(Directory, name)) for name in MUTATIONS)
