"""The admin API's lists and items, in every envelope."""

from __future__ import annotations

from collections import Counter

import httpx
import pytest

from scaiwave.sandbox import Sandbox
from tests.scaiwave.sandbox.helpers import ADMIN, get_ids, get_rows, walk

COLLECTIONS = ("partners", "tenants", "users", "groups", "applications")
TOTALS = {"partners": 3, "tenants": 4, "users": 130, "groups": 30, "applications": 1}


@pytest.mark.parametrize("name", COLLECTIONS)
def test_success_list(api: httpx.Client, name: str) -> None:
    rows = walk(api, f"{ADMIN}/{name}/")

    assert len(rows) == len(set(get_ids(rows))) == TOTALS[name]


@pytest.mark.parametrize("name", COLLECTIONS)
def test_success_item_equals_its_row(api: httpx.Client, name: str) -> None:
    for row in walk(api, f"{ADMIN}/{name}/")[:40]:
        assert api.get(f"{ADMIN}/{name}/{row['id']}").json() == row


def test_success_fields(api: httpx.Client) -> None:
    expected = {
        "partners": {
            "id", "name", "slug", "status", "contact_email", "max_tenants",
            "max_users_per_tenant", "max_applications_per_tenant",
        },
        "tenants": {
            "id", "name", "slug", "status", "contact_email", "partner_id", "settings", "branding",
        },
        "groups": {"id", "name", "description", "tenant_id", "group_type"},
    }  # fmt: skip
    for name, fields in expected.items():
        assert all(row.keys() == fields for row in walk(api, f"{ADMIN}/{name}/"))


@pytest.mark.sandbox(people=3000, seed=3)
def test_success_people_are_of_all_sorts(api: httpx.Client) -> None:
    people = walk(api, f"{ADMIN}/users/", per_page=100)
    statuses = Counter(row["status"] for row in people)
    text = "".join(row["display_name"] or "" for row in people if "display_name" in row)

    assert len(people) == len({row["id"] for row in people}) == 3000
    assert 60 <= statuses["SUSPENDED"] <= 80
    assert sum("display_name" not in row for row in people) > 50
    assert sum(row["first_name"] is None for row in people) > 0
    assert all(
        any(lo <= c <= hi for c in text) for lo, hi in ("αω", "ая", "اي", "一龥", "अह", "가힣")
    )
    domains = Counter(row["email"].partition("@")[2] for row in people)
    assert len(domains) == 12
    assert max(domains.values()) > 5 * min(domains.values())
    locals_ = [row["email"].partition("@")[0] for row in people]
    assert len(set(locals_)) < len(locals_)


@pytest.mark.sandbox(people=130, tenants=4, seed=7, nested_tenant=True)
def test_success_nested_tenant(api: httpx.Client) -> None:
    tenants = {t["id"]: t for t in walk(api, f"{ADMIN}/tenants/")}

    for row in walk(api, f"{ADMIN}/users/"):
        assert "tenant_id" not in row
        tenant = tenants[row["tenant"]["id"]]
        assert row["tenant"] == {name: tenant[name] for name in ("id", "name", "slug")}


def test_success_envelopes(sandbox: Sandbox, api: httpx.Client) -> None:
    path, query = f"{ADMIN}/users/", {"page": "2", "per_page": "60"}
    rows = get_rows(api.get(path, params=query).json())
    counts = {"page": 2, "per_page": 60, "total": 130}
    pages = {**counts, "total_pages": 3}
    expected = {
        "data+pagination": {"data": rows, "pagination": pages, "meta": {}},
        "data+total": {"data": rows, **counts},
        "items+total": {"items": rows, "total": 130},
        "data+meta": {"data": rows, "meta": pages},
        "bare": rows,
    }
    for envelope, body in expected.items():
        sandbox.envelope = envelope
        assert api.get(path, params=query).json() == body


def test_fail_unknown_envelope() -> None:
    with pytest.raises(ValueError, match=r"^Unknown envelope 'xml'\. Known: data\+pagination, "):
        Sandbox(envelope="xml")


def test_success_page_sizes(sandbox: Sandbox, api: httpx.Client) -> None:
    def get_size(**query: int) -> int:
        return len(get_rows(api.get(f"{ADMIN}/users/", params=query).json()))

    assert (get_size(), get_size(per_page=100), get_size(per_page=999)) == (25, 100, 100)
    sandbox.max_per_page, sandbox.per_page = 10, 5
    assert (get_size(), get_size(per_page=100), get_size(page=99)) == (5, 10, 0)
    sandbox.max_per_page = 500
    assert get_size(per_page=500) == get_size(per_page=999) == 130


def test_fail_page_is_larger_than_accepted(sandbox: Sandbox, api: httpx.Client) -> None:
    """Up to the limit the page is complete, also above `max_per_page`."""
    sandbox.refuse_per_page = 120

    assert len(get_rows(api.get(f"{ADMIN}/users/", params={"per_page": 120}).json())) == 120
    response = api.get(f"{ADMIN}/users/", params={"per_page": 121})

    assert response.status_code == 422
    assert response.json()["detail"] == [
        {
            "type": "less_than_equal",
            "loc": ["query", "per_page"],
            "msg": "Input should be less than or equal to 120",
            "input": "121",
        }
    ]


@pytest.mark.parametrize(
    ("value", "kind"),
    [("0", "greater_than_equal"), ("-1", "greater_than_equal"), ("x", "int_parsing")],
)
def test_fail_page_number(api: httpx.Client, value: str, kind: str) -> None:
    response = api.get(f"{ADMIN}/users/", params={"page": value})

    assert response.status_code == 422
    (problem,) = response.json()["detail"]
    assert (problem["loc"], problem["type"]) == (["query", "page"], kind)


def test_success_filters(api: httpx.Client) -> None:
    tenants = walk(api, f"{ADMIN}/tenants/")
    people = walk(api, f"{ADMIN}/users/")
    groups = walk(api, f"{ADMIN}/groups/")
    partner = tenants[0]["partner_id"]
    tenant_ids = {row["id"] for row in tenants if row["partner_id"] == partner}

    for tenant in tenants:
        expected = [row for row in people if row["tenant_id"] == tenant["id"]]
        assert walk(api, f"{ADMIN}/users/", tenant_id=tenant["id"]) == expected
    expected = [row for row in people if row["tenant_id"] in tenant_ids]
    assert walk(api, f"{ADMIN}/users/", partner_id=partner) == expected
    expected = [row for row in people if row["status"] == "SUSPENDED"]
    assert walk(api, f"{ADMIN}/users/", status="SUSPENDED") == expected
    expected = [row for row in groups if row["group_type"] == "DISTRIBUTION_LIST"]
    assert walk(api, f"{ADMIN}/groups/", group_type="DISTRIBUTION_LIST") == expected
    assert walk(api, f"{ADMIN}/groups/", status="SUSPENDED") == groups
    assert {row["id"] for row in walk(api, f"{ADMIN}/tenants/", partner_id=partner)} == tenant_ids
    assert walk(api, f"{ADMIN}/users/", tenant_id="tnt_none") == []


def test_success_search(api: httpx.Client) -> None:
    someone = walk(api, f"{ADMIN}/users/")[20]
    matches = walk(api, f"{ADMIN}/users/", search=someone["email"].upper(), per_page=1)
    assert someone in matches
    assert all(row["email"] == someone["email"] for row in matches)
    assert [row["slug"] for row in walk(api, f"{ADMIN}/tenants/", search="ACME")] == ["acme"]
    assert len(walk(api, f"{ADMIN}/applications/", search="unknown")) == 0


def test_success_members(api: httpx.Client) -> None:
    groups = walk(api, f"{ADMIN}/groups/")
    people = {row["id"]: row for row in walk(api, f"{ADMIN}/users/")}
    nested = 0
    for group in groups:
        members = walk(api, f"{ADMIN}/groups/{group['id']}/members", per_page=3)
        users = [row["user_id"] for row in members if "user_id" in row]
        children = [row["group_id"] for row in members if "group_id" in row]
        nested += len(children)
        assert len(set(users)) == len(users) > 0
        assert all(people[u]["tenant_id"] == group["tenant_id"] for u in users)
        assert set(children) <= set(get_ids(groups)) - {group["id"]}
        assert all(row["membership_type"] == "DIRECT" for row in members if "user_id" in row)
    assert nested >= 3


def test_success_effective_users(sandbox: Sandbox, api: httpx.Client) -> None:
    tenant = walk(api, f"{ADMIN}/tenants/")[0]["id"]
    (app,) = get_ids(walk(api, f"{ADMIN}/applications/"))
    path = f"/api/v1/tenants/{tenant}/applications/{app}/effective-users"

    assert walk(api, path) == walk(api, f"{ADMIN}/users/", tenant_id=tenant)
    assert api.get(path.replace(app, "app_x")).json() == {"detail": "Application not found"}


def test_success_slash_is_redirected(sandbox: Sandbox, api: httpx.Client) -> None:
    response = api.get(f"{ADMIN}/users?page=2&search=%C3%BC")
    assert response.status_code == 307
    assert response.headers["location"] == f"{sandbox.url}{ADMIN}/users/?page=2&search=%C3%BC"
    assert api.get(f"{ADMIN}/auth/me/").headers["location"] == f"{sandbox.url}{ADMIN}/auth/me"


@pytest.mark.parametrize("kind", ["Partner", "Tenant", "User", "Group", "Application"])
def test_fail_unknown_item(api: httpx.Client, kind: str) -> None:
    for entity_id in ("nonsense", "usr_0123456789abcdef", "usr_zzzzzzzzzzzzzzzz"):
        response = api.get(f"{ADMIN}/{kind.lower()}s/{entity_id}")
        assert response.status_code == 404
        assert response.json() == {"detail": f"{kind} not found"}


def test_fail_no_route(api: httpx.Client) -> None:
    response = api.get("/api/v1/admin/nothing")
    assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
    response = api.delete(f"{ADMIN}/users/")
    assert (response.status_code, response.headers["allow"]) == (405, "GET")


def test_success_date_header(sandbox: Sandbox, api: httpx.Client) -> None:
    from email.utils import parsedate_to_datetime
    from time import time

    for offset in (0, -7200):
        sandbox.clock_offset = offset
        date = parsedate_to_datetime(api.get(f"{ADMIN}/auth/me").headers["date"])
        assert abs(date.timestamp() - time() - offset) < 5


def test_success_requests_are_counted(sandbox: Sandbox, api: httpx.Client) -> None:
    user = get_rows(api.get(f"{ADMIN}/users/").json())[0]["id"]
    api.get(f"{ADMIN}/users/{user}")
    api.get("/nowhere")
    api.get("/sandbox/")

    assert sandbox.requests.total == 3
    assert sandbox.requests.count(f"{ADMIN}/users/*") == 2
    assert sandbox.requests.by_route["GET unmatched"] == 1
    assert list(sandbox.requests.recent)[1:] == [
        (f"GET {ADMIN}/users/{user}", 200),
        ("GET /nowhere", 404),
    ]
    assert sandbox.requests.peak == 1
    sandbox.requests.reset()
    assert sandbox.requests.total == 0
