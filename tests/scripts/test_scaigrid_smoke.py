"""The smoke test of ScaiGrid as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scaiwave.sandbox import Sandbox

pytestmark = pytest.mark.sandbox(people=3, tenants=1, partners=1, groups=1)

TOP = Path(__file__).parents[2]


def script(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/scaigrid_service_token_smoke.py", *words],
        cwd=TOP,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def environment(sandbox: Sandbox) -> dict[str, str]:
    return {
        "SCAIWAVE_SCAIGRID_URL": sandbox.url,
        "SCAIWAVE_SCAIGRID_API_KEY": sandbox.scaigrid.api_key,
    }


def test_success_the_script(sandbox: Sandbox) -> None:
    ended = script("--embed", "--json", **environment(sandbox))
    document = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr, document["ok"]) == (0, "", True)
    assert document["steps"][-1]["message"] == "embed-small made a vector of 384 numbers."


def test_fail_the_script_says_what_to_do(sandbox: Sandbox) -> None:
    sandbox.scaigrid.permissions.remove("models:list")
    ended = script(**environment(sandbox))
    assert ended.returncode == 3
    assert [line[:16].rstrip() for line in ended.stdout.splitlines()] == [
        "pass  configured",
        "pass  reachable",
        "pass  token",
        "skip  claims",
        "pass  accepted",
        "fail  models",
        "      Fix: Have",
        "1 of 6 steps fai",
    ]


def test_fail_the_script_without_the_token_that_is_asked_for(sandbox: Sandbox) -> None:
    ended = script("--tenant", "acme", SCAIWAVE_REQUIRE_ADMIN_TOKEN="true", **environment(sandbox))
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "[SW_AUTH_TOKEN_REQUIRED]" in ended.stderr


def test_fail_usage() -> None:
    ended = script("--nonsense", "--json")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert json.loads(ended.stderr)["error"]["code"] == "SW_USAGE"
