"""What doctor says of ScaiGrid."""

from __future__ import annotations

import pytest

from scaiwave.doctor.findings import State
from scaiwave.sandbox import Sandbox
from tenants.queries.scaigrid_health import scaigrid
from tests.tenants.scaikey import registered

pytestmark = pytest.mark.sandbox(people=3, tenants=1, partners=1, groups=1)


def test_success_doctor(sandbox: Sandbox) -> None:
    (found,) = scaigrid(registered(sandbox, SCAIWAVE_SCAIGRID_URL=sandbox.url))
    assert (found.state, found.message) == (
        State.PASS,
        f"ScaiGrid is ready and accepts a service token of client {sandbox.client_id}.",
    )
    assert list(scaigrid(registered(sandbox))) == []


def test_fail_doctor(sandbox: Sandbox) -> None:
    (found,) = scaigrid(
        registered(
            sandbox,
            SCAIWAVE_SCAIGRID_URL=sandbox.url,
            SCAIWAVE_SCAIGRID_API_KEY="sgk_of-somewhere-else",
        )
    )
    assert (found.state, found.exit_code) == (State.FAIL, 3)
    assert "AUTH_TOKEN_INVALID" in found.message
