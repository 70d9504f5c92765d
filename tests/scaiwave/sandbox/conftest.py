"""A client of the sandbox with a super admin's token."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from scaiwave.sandbox import Sandbox
from tests.scaiwave.sandbox.helpers import make_client


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[httpx.Client]:
    with make_client(sandbox, sandbox.issue_token(role="super_admin")) as client:
        yield client


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Use a small directory unless the test has a marker with other options."""
    for item in items:
        if item.path.parent.name == "sandbox" and item.get_closest_marker("sandbox") is None:
            item.add_marker(pytest.mark.sandbox(people=130, tenants=4, groups=30, seed=7))
