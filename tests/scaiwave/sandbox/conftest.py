"""A client of the sandbox, with a token that may see everything."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from scaiwave.sandbox import Sandbox
from tests.scaiwave.sandbox.client import client_of


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with client_of(sandbox, sandbox.mint(role="super_admin")) as client:
        yield client


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Small directories, unless a test asks for another."""
    for item in items:
        if item.path.parent.name == "sandbox" and item.get_closest_marker("sandbox") is None:
            item.add_marker(pytest.mark.sandbox(people=130, tenants=4, groups=30, seed=7))
