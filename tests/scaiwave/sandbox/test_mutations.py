"""Changes to the directory, by Python and over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.data.directory import MUTATIONS, Directory
from scaiwave.sandbox.data.population import EVERYTHING, ListFilter, decoded
from scaiwave.sandbox.errors import InvalidMutation, UnknownEntity
from tests.scaiwave.sandbox.client import ADMIN, client_of, ids, walk

Row = dict[str, Any]


def everybody(directory: Directory, where: ListFilter = EVERYTHING, size: int = 7) -> list[Row]:
    total = directory.user_list(where, 0, 0)[1]
    pages = (directory.user_list(where, start, size)[0] for start in range(0, total + size, size))
    return [decoded(row) for page in pages for row in page]


def members(directory: Directory, group_id: str) -> list[Row]:
    return [decoded(row) for row in directory.member_list(group_id, 0, 10_000)[0]]


def make(seed: int = 5) -> Directory:
    return Directory(seed=seed, partners=2, tenants=3, people=100, groups=12)


ACTS = ("add", "remove", "rename", "suspend", "activate", "odd status", "move")
act = st.tuples(st.sampled_from(ACTS), st.integers(0, 10**6), st.integers(0, 2))


@given(acts=st.lists(act, max_size=60), size=st.integers(1, 40))
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_success_pages_equal_a_plain_model(acts: list[tuple[str, int, int]], size: int) -> None:
    """After any history, the pages together are the directory, each person once."""
    directory = make()
    model = {row["id"]: row for row in everybody(directory)}
    tenants = list(directory.tenants)
    for name, luck, place in acts:
        apply(directory, model, name, luck, tenants[place])

    def by_id(rows: list[Row]) -> dict[str, Row]:
        assert len(rows) == len({row["id"] for row in rows})
        return {row["id"]: row for row in rows}

    assert by_id(everybody(directory, size=size)) == model
    for tenant_id in tenants:
        for status in ("ACTIVE", "SUSPENDED", "LOCKED"):
            expected = {
                key: row
                for key, row in model.items()
                if (row["tenant_id"], row["status"]) == (tenant_id, status)
            }
            where = ListFilter(tenant_id=tenant_id, kind=status)
            assert by_id(everybody(directory, where, size)) == expected
    assert all(directory.user(key) == row for key, row in model.items())


def apply(
    directory: Directory, model: dict[str, Row], name: str, luck: int, tenant_id: str
) -> None:
    if name == "add" or not model:
        user_id = directory.add_user(tenant_id, email=f"new{luck}@example.org")
        model[user_id] = directory.user(user_id)
        assert model[user_id]["email"] == f"new{luck}@example.org"
        assert model[user_id]["status"] == "ACTIVE"
        return
    user_id = list(model)[luck % len(model)]
    if name == "remove":
        directory.remove_user(user_id)
        del model[user_id]
        with pytest.raises(UnknownEntity):
            directory.user(user_id)
        return
    if name == "move":
        directory.move_user(user_id, tenant_id)
        change = {"tenant_id": tenant_id}
    elif name == "rename":
        change = {"display_name": f"Name {luck}", "last_name": str(luck)}
        directory.update_user(user_id, **change)
    else:
        change = {
            "status": {"suspend": "SUSPENDED", "activate": "ACTIVE", "odd status": "LOCKED"}[name]
        }
        directory.update_user(user_id, **change)
    model[user_id] = {**model[user_id], **change}


def test_success_one_and_the_same_for_a_seed() -> None:
    assert everybody(make()) == everybody(make())
    assert {row["id"] for row in everybody(make(6))}.isdisjoint(
        row["id"] for row in everybody(make())
    )


def test_success_members_leave_with_their_person() -> None:
    directory = make()
    tenant, other = list(directory.tenants)[:2]
    group = decoded(directory.group_list(ListFilter(tenant_id=tenant), 0, 1)[0][0])["id"]
    people = [row["user_id"] for row in members(directory, group) if "user_id" in row]
    outsider = everybody(directory, ListFilter(tenant_id=other))[0]["id"]
    newcomer = directory.add_user(tenant)
    assert directory.add_member(group, user_id=newcomer)
    assert directory.add_member(group, user_id=outsider)
    assert not directory.add_member(group, user_id=people[0])

    directory.remove_user(people[0])
    directory.move_user(outsider, tenant)
    directory.suspend_user(newcomer)

    def left() -> set[str]:
        return {row["user_id"] for row in members(directory, group) if "user_id" in row}

    assert left() == {*people[1:], newcomer} | {outsider}
    directory.move_user(newcomer, other)
    assert left() == {*people[1:], outsider}
    directory.remove_user(outsider)
    assert left() == set(people[1:])
    if people[1:]:
        assert directory.remove_member(group, user_id=people[1])
        assert not directory.remove_member(group, user_id=people[1])
        assert directory.add_member(group, user_id=people[1])
        assert left() == set(people[1:])


def test_success_nested_groups() -> None:
    directory = make()
    tenant = next(iter(directory.tenants))
    outer, inner = directory.add_group(tenant, name="Outer"), directory.add_group(tenant)
    assert directory.group(outer)["name"] == "Outer"
    assert directory.add_member(outer, member_group_id=inner)
    assert not directory.add_member(outer, member_group_id=inner)
    assert directory.add_member(inner, member_group_id=outer)
    assert members(directory, outer) == [{"group_id": inner}]
    assert directory.remove_member(inner, member_group_id=outer)
    assert members(directory, inner) == []
    directory.update_group(inner, group_type="DISTRIBUTION_LIST", name="Inner")
    assert directory.group(inner)["group_type"] == "DISTRIBUTION_LIST"
    directory.remove_group(inner)
    assert members(directory, outer) == []
    assert inner not in {decoded(row)["id"] for row in directory.group_list(EVERYTHING, 0, 1000)[0]}


def test_success_tenants_and_partners() -> None:
    directory = make()
    partner = directory.add_partner(name="New", slug="new")
    tenant = directory.add_tenant(name="Fresh", slug="fresh", partner_id=partner, people=3)
    assert [
        row["email"].partition("@")[2] for row in everybody(directory, ListFilter(tenant_id=tenant))
    ] == ["fresh.example"] * 3
    first = next(iter(directory.partners))
    directory.update_tenant(tenant, slug="renamed", name="Renamed", partner_id=first)
    assert directory.tenant_by_slug("renamed")["partner_id"] == first
    assert len(everybody(directory, ListFilter(partner_id=partner))) == 0
    directory.update_partner(partner, status="SUSPENDED")
    assert (
        decoded(directory.partner_list(ListFilter(kind="SUSPENDED"), 0, 9)[0][0])["id"] == partner
    )
    directory.remove_tenant(tenant)
    assert len(everybody(directory)) == 100
    directory.remove_partner(first)
    assert all(row["partner_id"] != first for row in directory.tenants.values())
    assert len(everybody(directory)) < 100


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
    assert user not in ids(walk(api, f"{ADMIN}/users/"))
    assert group not in ids(walk(api, f"{ADMIN}/groups/"))
    assert walk(api, f"{ADMIN}/groups/{outer}/members") == []
    assert api.get(f"{ADMIN}/groups/{group}/members").status_code == 404
    with pytest.raises(UnknownEntity):
        directory.remove_user(user)
    with pytest.raises(UnknownEntity):
        directory.update_group(group, name="Back")


@pytest.mark.parametrize("nested", [False, True])
def test_success_soft_deletion_reaches_what_belongs_to_it(nested: bool) -> None:
    directory = Directory(
        seed=5, partners=2, tenants=3, people=100, groups=12, nested_tenant=nested
    )
    partner = next(iter(directory.partners))
    tenants = {i for i, row in directory.tenants.items() if row["partner_id"] == partner}
    user = directory.add_user(next(iter(tenants)))
    group = directory.add_group(next(iter(tenants)))
    rows = directory.user(user), directory.group(group)

    directory.remove_partner(partner, soft=True)

    assert directory.partner_by_id(partner)["status"] == "DELETED"
    assert {directory.tenant_by_id(tenant)["status"] for tenant in tenants} == {"DELETED"}
    assert directory.user_by_id(user) == {**rows[0], "status": "DELETED"}
    assert directory.group_by_id(group) == {**rows[1], "status": "DELETED"}
    assert partner not in directory.partners
    assert not tenants & directory.tenants.keys()
    for act_ in (directory.remove_partner, directory.update_partner):
        with pytest.raises(UnknownEntity):
            act_(partner)
    with pytest.raises(UnknownEntity):
        directory.add_user(next(iter(tenants)))
    with pytest.raises(UnknownEntity):
        directory.user(user)


def test_success_soft_deletion_keeps_to_the_callers_scope(
    api: httpx.Client, sandbox: Sandbox
) -> None:
    own, other = list(sandbox.directory.tenants)[:2]
    users = {tenant: sandbox.directory.add_user(tenant) for tenant in (own, other)}
    for user in users.values():
        sandbox.directory.remove_user(user, soft=True)

    with client_of(sandbox, sandbox.mint(role="tenant_admin", tenant_id=own)) as client:
        assert client.get(f"{ADMIN}/users/{users[own]}").json()["status"] == "DELETED"
        assert client.get(f"{ADMIN}/users/{users[other]}").status_code == 404


@pytest.mark.parametrize("share", [0, 0.01, 0.2, 1])
def test_success_change_share(share: float) -> None:
    directory = Directory(seed=5, partners=2, tenants=3, people=1000, groups=12)
    before = {row["id"]: row for row in everybody(directory)}

    counts = directory.change_share(share, seed=1)

    after = {row["id"]: row for row in everybody(directory, size=100)}
    assert sum(counts.values()) == round(1000 * share)
    assert counts["renamed"] == round(700 * share)
    assert len(before.keys() - after.keys()) == counts["removed"]
    assert len(after.keys() - before.keys()) == counts["added"]
    changed = [key for key in before.keys() & after.keys() if before[key] != after[key]]
    assert len(changed) == counts["renamed"]


def test_success_change_share_twice_differs_by_seed() -> None:
    outcomes = []
    for seed in (1, 1, 2):
        directory = make()
        directory.change_share(0.5, seed=seed)
        outcomes.append(everybody(directory))
    assert outcomes[0] == outcomes[1] != outcomes[2]


def test_fail_mutations_say_why() -> None:
    directory = make()
    tenant = next(iter(directory.tenants))
    slug = directory.tenants[tenant]["slug"]
    cases: list[tuple[Any, str]] = [
        (lambda: directory.change_share(2), "A share of 2 is none."),
        (lambda: directory.add_tenant(name="X", slug=slug), f"The slug '{slug}' is taken."),
        (lambda: directory.add_user(tenant, id="usr_1"), "Nothing here has the field 'id'."),
        (
            lambda: directory.add_member(directory.add_group(tenant)),
            "A member is either a person or a group.",
        ),
    ]
    for act_, message in cases:
        with pytest.raises(InvalidMutation) as caught:
            act_()
        assert caught.value.message == message
        assert caught.value.fix
    with pytest.raises(UnknownEntity, match=r"^The sandbox has no tenant 'tnt_x'\.$"):
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
    token = sandbox.mint(role="tenant_admin", tenant_id=tenant["id"], iss=issuer)
    with client_of(sandbox, token) as client:
        assert len(walk(client, f"{ADMIN}/users/")) == 4


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        (
            {"op": "drop_tables"},
            422,
            f"'drop_tables' is no mutation. Take one of {', '.join(sorted(MUTATIONS))}.",
        ),
        (
            {"op": "remove_user"},
            422,
            "remove_user: missing a required argument: 'user_id'. "
            "It takes (user_id: 'str', *, soft: 'bool' = False) -> 'None'.",
        ),
        (
            {"op": "change_share", "share": "all"},
            422,
            "change_share: Expected `float`, got `str`. "
            "It takes (share: 'float', seed: 'int' = 0) -> 'dict[str, int]'.",
        ),
        ({"op": "remove_user", "user_id": "usr_x"}, 404, "The sandbox has no user 'usr_x'."),
    ],
)
def test_fail_over_http(api: httpx.Client, body: Row, status: int, detail: str) -> None:
    response = api.post("/sandbox/mutate", json=body)

    assert (response.status_code, response.json()) == (status, {"detail": detail})


def test_success_every_mutation_exists() -> None:
    assert all(callable(getattr(Directory, name)) for name in MUTATIONS)
