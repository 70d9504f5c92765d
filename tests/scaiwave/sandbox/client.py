"""How the tests talk to the sandbox: plain httpx, and a walk over all pages."""

from __future__ import annotations

from typing import Any

import httpx

from scaiwave.sandbox import Sandbox

ADMIN = "/api/v1/admin"
SMALL: dict[str, Any] = {"people": 130, "tenants": 4, "groups": 30, "seed": 7}
Row = dict[str, Any]


def client_of(sandbox: Sandbox, token: str | None = None) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=sandbox.url, headers=headers, trust_env=False, timeout=10)


def rows_of(body: Any) -> list[Row]:
    """The rows of a page in any envelope."""
    if isinstance(body, list):
        return body
    rows: list[Row] = body["data"] if "data" in body else body["items"]
    return rows


def walk(client: httpx.Client, path: str, per_page: int = 17, **query: str) -> list[Row]:
    """All rows of a list, page by page until an empty one."""
    rows: list[Row] = []
    for page in range(1, 10_000):
        params = {**query, "page": str(page), "per_page": str(per_page)}
        found = rows_of(client.get(path, params=params).raise_for_status().json())
        if not found:
            return rows
        rows += found
    raise AssertionError(f"{path} does not end.")


def ids(rows: list[Row]) -> list[str]:
    return [row["id"] for row in rows]
