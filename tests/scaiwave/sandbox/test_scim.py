"""Groups by SCIM 2.0 (RFC 7644)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from scaiwave.sandbox import Sandbox
from tests.scaiwave.sandbox.helpers import ADMIN, get_ids, make_client, walk

Row = dict[str, Any]


def build_groups_path(tenant_id: str) -> str:
    return f"/api/v1/tenants/{tenant_id}/scim/v2/Groups"


def find_largest_tenant(api: httpx.Client) -> str:
    """Return the tenant with the most groups: a walk needs several pages."""
    groups = [str(row["tenant_id"]) for row in walk(api, f"{ADMIN}/groups/")]
    return max(set(groups), key=groups.count)


def walk_resources(api: httpx.Client, path: str, count: int) -> list[Row]:
    """Return all resources of a list, page by page until the total is reached."""
    resources: list[Row] = []
    while True:
        params = {"startIndex": len(resources) + 1, "count": count}
        page = api.get(path, params=params).raise_for_status().json()
        assert page["startIndex"] == len(resources) + 1
        assert page["itemsPerPage"] == len(page["Resources"]) <= count
        resources += page["Resources"]
        if len(resources) >= page["totalResults"]:
            return resources


@pytest.mark.parametrize("count", [1, 3, 100])
def test_success_groups_equal_those_of_the_admin_api(api: httpx.Client, count: int) -> None:
    tenant_id = find_largest_tenant(api)
    rows = {row["id"]: row for row in walk(api, f"{ADMIN}/groups/", tenant_id=tenant_id)}

    resources = walk_resources(api, build_groups_path(tenant_id), count)

    assert {row["id"]: row["displayName"] for row in resources} == {
        key: row["name"] for key, row in rows.items()
    }
    assert len(resources) == len(rows) > 3
    for resource in resources:
        members = walk(api, f"{ADMIN}/groups/{resource['id']}/members")
        expected = [("Group", row["group_id"]) for row in members if "group_id" in row]
        expected += [("User", row["user_id"]) for row in members if "user_id" in row]
        assert [(row["type"], row["value"]) for row in resource["members"]] == expected


def test_success_form(sandbox: Sandbox, api: httpx.Client) -> None:
    directory = sandbox.directory
    tenant_id = find_largest_tenant(api)
    outer = directory.add_group(tenant_id, name="Outer")
    inner = directory.add_group(tenant_id, name="Inner")
    person = directory.add_user(tenant_id, display_name="Ødipa")
    nameless = directory.add_user(tenant_id, display_name=None)
    directory.add_member(outer, member_group_id=inner)
    for user_id in (person, nameless):
        directory.add_member(outer, user_id=user_id)
    base = f"{sandbox.url}/api/v1/tenants/{tenant_id}/scim/v2"

    response = api.get(f"{build_groups_path(tenant_id)}/{outer}")

    assert response.headers["content-type"] == "application/scim+json"
    assert response.json() == {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
        "id": outer,
        "displayName": "Outer",
        "members": [
            {
                "value": inner,
                "type": "Group",
                "$ref": f"{base}/Groups/{inner}",
                "display": "Inner",
            },
            {
                "value": person,
                "type": "User",
                "$ref": f"{base}/Users/{person}",
                "display": "Ødipa",
            },
            {"value": nameless, "type": "User", "$ref": f"{base}/Users/{nameless}"},
        ],
        "meta": {"resourceType": "Group", "location": f"{base}/Groups/{outer}"},
    }
    list_response = api.get(build_groups_path(tenant_id))
    assert list_response.headers["content-type"] == "application/scim+json"
    assert list_response.json()["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]
    assert response.json() in list_response.json()["Resources"]


@pytest.mark.sandbox(people=20, tenants=1, groups=130)
def test_success_count_is_capped_silently(api: httpx.Client) -> None:
    path = build_groups_path(find_largest_tenant(api))

    def get_page(**query: int) -> tuple[int, int, int]:
        body = api.get(path, params=query).json()
        assert len(body["Resources"]) == body["itemsPerPage"]
        return body["totalResults"], body["startIndex"], body["itemsPerPage"]

    assert get_page() == get_page(count=100) == get_page(count=500) == (130, 1, 100)
    assert get_page(startIndex=121, count=500) == (130, 121, 10)
    assert get_page(startIndex=131) == (130, 131, 0)
    assert get_page(startIndex=-4, count=2) == get_page(startIndex=0, count=2) == (130, 1, 2)
    assert get_page(count=0) == get_page(count=-1) == (130, 1, 0)


def test_fail_errors_in_the_form_of_scim(sandbox: Sandbox, api: httpx.Client) -> None:
    tenant_id = find_largest_tenant(api)
    other = next(i for i in get_ids(walk(api, f"{ADMIN}/tenants/")) if i != tenant_id)
    group = walk(api, f"{ADMIN}/groups/", tenant_id=tenant_id)[0]["id"]
    removed = sandbox.directory.add_group(tenant_id)
    sandbox.directory.remove_group(removed, soft=True)
    cases = [
        (f"{build_groups_path(tenant_id)}/grp_x", "Resource grp_x not found"),
        (f"{build_groups_path(tenant_id)}/{removed}", f"Resource {removed} not found"),
        (f"{build_groups_path(other)}/{group}", f"Resource {group} not found"),
        (build_groups_path("tnt_x"), "Tenant tnt_x not found"),
    ]
    for path, detail in cases:
        response = api.get(path)
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/scim+json"
        assert response.json() == {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": "404",
            "detail": detail,
        }
    response = api.get(build_groups_path(tenant_id), params={"startIndex": "first"})
    assert response.status_code == 400
    assert response.json() == {
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
        "status": "400",
        "detail": "startIndex is not an integer",
        "scimType": "invalidValue",
    }


def test_success_scope(sandbox: Sandbox, api: httpx.Client) -> None:
    """A caller who may list the tenant's groups in the admin API may list them by SCIM."""
    tenant_id = find_largest_tenant(api)
    other = next(i for i in get_ids(walk(api, f"{ADMIN}/tenants/")) if i != tenant_id)
    with make_client(
        sandbox, sandbox.issue_token(role="tenant_admin", tenant_id=tenant_id)
    ) as client:
        assert client.get(build_groups_path(tenant_id)).status_code == 200
        assert client.get(build_groups_path(other)).status_code == 404
    with make_client(sandbox, sandbox.issue_platform_token(scope="openid")) as client:
        assert client.get(build_groups_path(tenant_id)).status_code == 403
    with make_client(sandbox) as client:
        assert client.get(build_groups_path(tenant_id)).status_code == 401


@pytest.mark.sandbox(people=130, tenants=4, groups=30, seed=7, scim=False)
def test_fail_switched_off(sandbox: Sandbox, api: httpx.Client) -> None:
    for path in (
        build_groups_path(find_largest_tenant(api)),
        f"{build_groups_path('tnt_x')}/grp_x",
    ):
        response = api.get(path)
        assert (response.status_code, response.json()) == (404, {"detail": "Not Found"})
    sandbox.scim = True
    assert api.get(build_groups_path(find_largest_tenant(api))).status_code == 200


def test_success_faults(sandbox: Sandbox, api: httpx.Client) -> None:
    path = build_groups_path(find_largest_tenant(api))
    whole = api.get(path).json()
    sandbox.faults.add("status", path="*/scim/v2/Groups", status=501, times=1)
    sandbox.faults.add("duplicate", path="*/scim/v2/Groups", times=1)
    sandbox.faults.add("total", path="*/scim/v2/Groups", total=1, times=1)
    sandbox.faults.add("shift", path="*/scim/v2/Groups", rows=2, times=1)

    assert api.get(path).status_code == 501
    assert api.get(path).json()["Resources"] == whole["Resources"][:1] + whole["Resources"]
    assert api.get(path).json()["totalResults"] == 1
    assert api.get(path).json()["Resources"] == whole["Resources"][2:]
    assert api.get(path).json() == whole


@pytest.mark.sandbox(people=130, tenants=4, groups=30, seed=7, scim_cursors=True)
def test_success_by_cursor(sandbox: Sandbox, api: httpx.Client) -> None:
    tenant_id = find_largest_tenant(api)
    path = build_groups_path(tenant_id)
    config = api.get(path.replace("Groups", "ServiceProviderConfig")).raise_for_status()
    assert config.headers["content-type"] == "application/scim+json"
    assert config.json()["pagination"] == {
        "cursor": True,
        "index": True,
        "defaultPaginationMethod": "index",
        "defaultPageSize": 100,
        "maxPageSize": 100,
    }
    resources: list[Row] = []
    cursor: str | None = ""
    while cursor is not None:
        page = api.get(path, params={"cursor": cursor, "count": 3}).raise_for_status().json()
        assert "startIndex" not in page
        assert page["itemsPerPage"] == len(page["Resources"]) in (1, 2, 3)
        resources += page["Resources"]
        cursor = page.get("nextCursor")
        assert page["totalResults"] > 3
    assert resources == walk_resources(api, path, 100)  # which ends at the total
    assert "nextCursor" not in api.get(path, params={"startIndex": 1, "count": 3}).json()


@pytest.mark.sandbox(people=130, tenants=4, groups=30, seed=7, scim_cursors=True)
def test_fail_invalid_cursor(api: httpx.Client) -> None:
    tenant_id = find_largest_tenant(api)
    other = next(i for i in get_ids(walk(api, f"{ADMIN}/tenants/")) if i != tenant_id)
    page = api.get(build_groups_path(tenant_id), params={"cursor": "", "count": 1}).json()
    for tenant, cursor in ((tenant_id, "x"), (tenant_id, "é"), (other, page["nextCursor"])):
        response = api.get(build_groups_path(tenant), params={"cursor": cursor})
        assert (response.status_code, response.json()["scimType"]) == (400, "invalidCursor")


def test_success_cursors_are_ignored_unless_switched_on(api: httpx.Client) -> None:
    path = build_groups_path(find_largest_tenant(api))
    config = api.get(path.replace("Groups", "ServiceProviderConfig")).json()
    assert config["pagination"]["cursor"] is False
    page = api.get(path, params={"cursor": "", "count": 1}).json()
    assert (page["startIndex"], "nextCursor" in page) == (1, False)
