"""What doctor reports about ScaiGrid."""

from __future__ import annotations

import pytest

from scaiwave.operations.doctor.findings import State
from scaiwave.operations.doctor.tenants import check_scaigrid
from scaiwave.sandbox import Sandbox
from tests.tenants.factories import NOW
from tests.tenants.fake_scaikey import make_config

pytestmark = [pytest.mark.sandbox(people=3, tenants=1, partners=1, groups=1), pytest.mark.dated]


def test_success_doctor(sandbox: Sandbox) -> None:
    (found,) = check_scaigrid(make_config(sandbox, SCAIWAVE_SCAIGRID_URL=sandbox.url), NOW)
    assert (found.state, found.message) == (
        State.PASS,
        f"ScaiGrid is ready and accepts a service token of client {sandbox.client_id}.",
    )
    assert list(check_scaigrid(make_config(sandbox), NOW)) == []


def test_fail_doctor(sandbox: Sandbox) -> None:
    (found,) = check_scaigrid(
        make_config(
            sandbox,
            SCAIWAVE_SCAIGRID_URL=sandbox.url,
            SCAIWAVE_SCAIGRID_API_KEY="sgk_of-somewhere-else",
        ),
        NOW,
    )
    assert (found.state, found.exit_code) == (State.FAIL, 3)
    assert "AUTH_TOKEN_INVALID" in found.message
