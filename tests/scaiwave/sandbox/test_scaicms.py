from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.docs_pages import ScaiCmsKey
from tests.scaiwave.sandbox.helpers import make_client

DOCS = "/api/v1/docs"
ROLES = f"{DOCS}/scaiwave/v1/suite/roles"
PAGE: dict[str, Any] = {
    "title": "Roles",
    "body_md": "# Roles\n\nGrößer.\n",
    "frontmatter": {"audience": "operators", "tags": ["a"]},
}


@pytest.fixture
def cms(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with make_client(sandbox, sandbox.scaicms.api_key) as client:
        yield client


def get_error(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["detail"]["code"]


def test_success_pages(cms: httpx.Client) -> None:
    assert cms.get(ROLES).status_code == 404
    created = cms.put(ROLES, json=PAGE)
    assert (created.status_code, created.json()) == (201, {"path": "suite/roles", "rev": 1})
    again = cms.put(ROLES, json=PAGE)
    assert (again.status_code, again.json()["rev"]) == (200, 2)
    assert cms.get(ROLES).json() == {**PAGE, "path": "suite/roles", "rev": 2}
    assert cms.delete(ROLES).status_code == 204
    assert cms.delete(ROLES).status_code == 404
    assert cms.put(ROLES, json=PAGE).json()["rev"] == 1


def test_success_markdown_without_a_key(sandbox: Sandbox, cms: httpx.Client) -> None:
    cms.put(ROLES, json=PAGE)
    with make_client(sandbox) as anonymous:
        response = anonymous.get("/docs/scaiwave/suite/roles.md")
        assert anonymous.get("/docs/scaiwave/suite/other.md").status_code == 404
    assert response.text == PAGE["body_md"]
    assert response.headers["content-type"] == "text/markdown; charset=utf-8"


def test_success_namespaces_and_search(cms: httpx.Client) -> None:
    assert cms.get(f"{DOCS}/_namespaces").json() == {"namespaces": []}
    cms.put(ROLES, json=PAGE)
    assert cms.get(f"{DOCS}/_namespaces").json() == {"namespaces": ["scaiwave"]}
    row = {"namespace": "scaiwave", "version": "v1", "path": "suite/roles", "title": "Roles"}
    for query, results in (("größer roles", [row]), ("roles sync", []), ("", [row])):
        assert cms.post(f"{DOCS}/_search", json={"query": query}).json() == {"results": results}
    other = {"query": "roles", "namespace": "other"}
    assert cms.post(f"{DOCS}/_search", json=other).json() == {"results": []}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_fail_admission(method: str, sandbox: Sandbox, cms: httpx.Client) -> None:
    with make_client(sandbox) as anonymous:
        assert get_error(anonymous.request(method, ROLES)) == (401, "AUTHENTICATION_REQUIRED")
    with make_client(sandbox, "scai_live_wrong") as wrong:
        assert get_error(wrong.request(method, ROLES)) == (401, "INVALID_API_KEY")
    other = f"{DOCS}/other/v1/a"
    assert get_error(cms.request(method, other)) == (403, "SCOPE_DENIED")
    sandbox.scaicms.keys[sandbox.scaicms.api_key].permissions.clear()
    if method != "GET":
        assert get_error(cms.request(method, ROLES)) == (403, "PERMISSION_DENIED")


def test_success_keys_may_be_added(sandbox: Sandbox) -> None:
    sandbox.scaicms.keys["scai_live_more"] = ScaiCmsKey(scopes={"docs:write:other"})
    with make_client(sandbox, "scai_live_more") as more:
        assert more.put(f"{DOCS}/other/v1/a", json=PAGE).status_code == 201
        assert get_error(more.put(ROLES, json=PAGE)) == (403, "SCOPE_DENIED")


@pytest.mark.parametrize(
    "body", [{}, {"title": "A"}, {**PAGE, "title": None}, {**PAGE, "frontmatter": "x"}, [PAGE]]
)
def test_fail_body(body: Any, cms: httpx.Client) -> None:
    assert cms.put(ROLES, json=body).status_code == 422
    assert cms.get(ROLES).status_code == 404


@pytest.mark.parametrize("path", ["suite/roles.md", "%2Fsuite"])
def test_fail_path(path: str, cms: httpx.Client) -> None:
    assert cms.put(f"{DOCS}/scaiwave/v1/{path}", json=PAGE).status_code == 422


def test_fail_method(cms: httpx.Client) -> None:
    refused = cms.post(ROLES, json=PAGE)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, PUT, DELETE")


def test_success_faults_apply(sandbox: Sandbox, cms: httpx.Client) -> None:
    sandbox.faults.add("status", method="PUT", path=f"{DOCS}/*", status=503, times=1)
    assert cms.put(ROLES, json=PAGE).status_code == 503
    assert cms.put(ROLES, json=PAGE).status_code == 201
    assert sandbox.requests.count(DOCS + "/{namespace}*") == 2


def test_success_introduction(sandbox: Sandbox, cms: httpx.Client) -> None:
    cms.put(ROLES, json=PAGE)
    with make_client(sandbox) as anonymous:
        assert anonymous.get("/sandbox/scaicms").json() == {
            "url": sandbox.url,
            "api_key": sandbox.scaicms.api_key,
            "pages": [{"path": "suite/roles", "rev": 1}],
        }
    assert sandbox.scaicms.api_key.startswith("scai_live_")


def test_success_the_key_follows_from_the_seed() -> None:
    keys = [Sandbox(people=1, tenants=1, groups=1, seed=seed).scaicms.api_key for seed in (1, 1, 2)]
    assert keys[0] == keys[1] != keys[2]
