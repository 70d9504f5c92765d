"""Requests to the sandbox with plain httpx, and a walk over all pages of a list."""

from __future__ import annotations

from typing import Any

import httpx

from scaiwave.sandbox import Sandbox

ADMIN = "/api/v1/admin"
SMALL: dict[str, Any] = {"people": 130, "tenants": 4, "groups": 30, "seed": 7}
Row = dict[str, Any]


def make_client(sandbox: Sandbox, token: str | None = None) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return httpx.Client(base_url=sandbox.url, headers=headers, trust_env=False, timeout=10)


def get_rows(body: Any) -> list[Row]:
    """Return the rows of a page in any envelope."""
    if isinstance(body, list):
        return body
    rows: list[Row] = body["data"] if "data" in body else body["items"]
    return rows


def walk(client: httpx.Client, path: str, per_page: int = 17, **query: str) -> list[Row]:
    """Return all rows of a list, page by page until an empty page."""
    rows: list[Row] = []
    for page in range(1, 10_000):
        params = {**query, "page": str(page), "per_page": str(per_page)}
        page_rows = get_rows(client.get(path, params=params).raise_for_status().json())
        if not page_rows:
            return rows
        rows += page_rows
    raise AssertionError(f"The list has no last page: {path}.")


def get_ids(rows: list[Row]) -> list[str]:
    return [row["id"] for row in rows]
