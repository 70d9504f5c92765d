"""SCIM judged by others: our client reads scim2-server, and scim2-models read the sandbox.

Both implement RFC 7643 and 7644, and paging by cursor (RFC 9865).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
from scim2_models import (
    Context,
    Error,
    Group,
    ListResponse,
    ScimProvider,
    ServiceProviderConfig,
)
from scim2_models.resources.service_provider_config import Pagination
from scim2_server.applications.wsgi import WSGIApplication
from scim2_server.memory import InMemoryStorage
from scim2_server.service import ScimService
from scim2_server.utils import (
    load_default_resource_types,
    load_default_schemas,
    load_default_service_provider_config,
)

from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.scaikey.scim import ScimGroup, groups_path, read_groups, read_paging
from scaiwave.sandbox import Sandbox

TENANT = "tnt_1"
PREFIX = f"/api/v1/tenants/{TENANT}/scim"
GROUPS = 250


class SilentHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Print nothing."""


def build_application(paging: Pagination) -> WSGIApplication:
    config = load_default_service_provider_config()
    config.pagination = paging
    provider = ScimProvider.from_discovery(
        load_default_schemas().values(), load_default_resource_types().values(), config=config
    )
    service = ScimService(provider, secret="of a test")
    return WSGIApplication(InMemoryStorage(), provider, service)


@contextmanager
def serve(paging: Pagination) -> Iterator[httpx.Client]:
    """Serve SCIM under the path of a tenant, and yield a client for it."""
    application = build_application(paging)

    def mounted(environ: dict[str, Any], start_response: Any) -> Any:
        assert environ["PATH_INFO"].startswith(PREFIX)
        environ["SCRIPT_NAME"] = PREFIX
        environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix(PREFIX)
        return application(environ, start_response)

    with make_server("127.0.0.1", 0, mounted, handler_class=SilentHandler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
                yield client
        finally:
            server.shutdown()
            thread.join()


def fill(client: httpx.Client) -> dict[str, tuple[set[str], set[str]]]:
    """Create people and groups, and return the people and groups in each group."""

    def create(path: str, kind: str, **attributes: Any) -> str:
        schema = f"urn:ietf:params:scim:schemas:core:2.0:{kind}"
        response = client.post(f"{PREFIX}/v2/{path}", json={"schemas": [schema], **attributes})
        assert response.status_code == 201, response.text
        return str(response.json()["id"])

    people = [create("Users", "User", userName=f"person-{number}") for number in range(8)]
    expected: dict[str, tuple[set[str], set[str]]] = {}
    for number in range(GROUPS):
        inside = set(people[: number % 5])
        nested = set(list(expected)[-1:]) if number % 3 == 2 else set()
        members = [{"value": person, "type": "User"} for person in sorted(inside)]
        members += [{"value": group, "type": "Group"} for group in sorted(nested)]
        group_id = create("Groups", "Group", displayName=f"group-{number}", members=members)
        expected[group_id] = inside, nested
    return expected


def describe(groups: list[ScimGroup] | None) -> dict[str, tuple[set[str], set[str]]]:
    assert groups is not None
    found = {group.id: (set(group.people or ()), set(group.groups)) for group in groups}
    assert len(found) == len(groups)
    return found


@pytest.mark.parametrize(
    "paging",
    [
        Pagination(index=True, cursor=False, default_page_size=30, max_page_size=30),
        Pagination(index=True, cursor=False),
        Pagination(index=True, cursor=True, default_page_size=40, max_page_size=40),
        Pagination(index=False, cursor=True),
    ],
    ids=["index, small pages", "index", "cursor, small pages", "only cursor"],
)
def test_success_groups_of_scim2_server(paging: Pagination) -> None:
    targets = []
    with serve(paging) as client:
        expected = fill(client)

        def get(path: str, query: dict[str, Any]) -> httpx.Response:
            response = client.get(path, params=query)
            targets.append(response.request.url.query.decode())
            if response.is_client_error:
                raise UpstreamRejected(response.text)
            assert response.is_success
            return response

        announced = read_paging(get, TENANT)
        assert announced.cursor is paging.cursor
        assert announced.index is paging.index
        assert describe(read_groups(get, TENANT, announced)) == expected
    lists = targets[1:]
    assert all(("cursor=" in query) is paging.cursor for query in lists)
    assert len(lists) >= GROUPS // (paging.max_page_size or GROUPS)


@pytest.fixture
def scim(sandbox: Sandbox) -> Iterator[httpx.Client]:
    token = sandbox.issue_platform_token()
    with httpx.Client(base_url=sandbox.url, headers={"Authorization": f"Bearer {token}"}) as client:
        yield client


@pytest.mark.sandbox(partners=1, tenants=1, people=30, groups=12, scim_cursors=True)
def test_success_scim2_models_accept_the_sandbox(scim: httpx.Client, sandbox: Sandbox) -> None:
    (tenant_id,) = sandbox.directory.tenants
    path = groups_path(tenant_id)
    judged: dict[str, Any] = {"scim_ctx": Context.RESOURCE_QUERY_RESPONSE}
    config_path = f"{path.removesuffix('/Groups')}/ServiceProviderConfig"
    config = ServiceProviderConfig.model_validate(scim.get(config_path).json(), **judged)
    assert config.pagination is not None
    assert config.pagination.cursor is True
    seen: list[str] = []
    query: dict[str, Any] = {"cursor": "", "count": 5}
    while query:
        response = scim.get(path, params=query)
        assert response.headers["content-type"].startswith("application/scim+json")
        page = ListResponse[Group].model_validate(response.json(), **judged)
        seen += [str(group.id) for group in page.resources or ()]
        cursor = page.next_cursor
        query = {"cursor": cursor, "count": 5} if cursor else {}
    by_index = ListResponse[Group].model_validate(
        scim.get(path, params={"startIndex": 1, "count": 100}).json(), **judged
    )
    assert by_index.total_results == len(seen) == len(set(seen))
    assert [group.id for group in by_index.resources or ()] == seen
    one = Group.model_validate(scim.get(f"{path}/{seen[0]}").json(), **judged)
    assert one.meta is not None
    assert one.meta.location is not None
    for bad in (f"{path}/unknown", f"{path}?cursor=unknown", f"{path}?count=many"):
        response = scim.get(bad)
        error = Error.model_validate(response.json(), **judged)
        assert error.status == response.status_code >= 400
