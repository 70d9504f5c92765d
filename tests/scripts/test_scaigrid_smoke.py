"""`scaiwave scaigrid check` and `scripts/scaigrid_service_token_smoke.py` as processes."""

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


SCRIPT = ("scripts/scaigrid_service_token_smoke.py",)
COMMAND = ("-m", "scaiwave.cli", "scaigrid", "check")


def run_script(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_program(SCRIPT, *words, **environment)


def run_program(
    program: tuple[str, ...], *words: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *program, *words],
        cwd=TOP,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def build_environment(sandbox: Sandbox) -> dict[str, str]:
    return {
        "SCAIWAVE_SCAIGRID_URL": sandbox.url,
        "SCAIWAVE_SCAIGRID_API_KEY": sandbox.scaigrid.api_key,
    }


@pytest.mark.parametrize("program", [SCRIPT, COMMAND])
def test_success_json(program: tuple[str, ...], sandbox: Sandbox) -> None:
    process = run_program(program, "--embed", "--json", **build_environment(sandbox))
    document = json.loads(process.stdout)
    assert (process.returncode, process.stderr, document["ok"]) == (0, "", True)
    assert document["steps"][-1]["message"] == "Model embed-small returned a vector of 384 numbers."


@pytest.mark.parametrize("program", [SCRIPT, COMMAND])
def test_fail_the_fix_is_printed(program: tuple[str, ...], sandbox: Sandbox) -> None:
    sandbox.scaigrid.permissions.remove("models:list")
    process = run_program(program, **build_environment(sandbox))
    assert process.returncode == 3
    assert [line[:16].rstrip() for line in process.stdout.splitlines()] == [
        "pass  configured",
        "pass  reachable",
        "pass  token",
        "skip  claims",
        "pass  accepted",
        "fail  models",
        "      Fix: Ask t",
        "1 of 6 steps fai",
    ]


def test_fail_the_script_without_the_required_token(sandbox: Sandbox) -> None:
    process = run_script(
        "--tenant", "acme", SCAIWAVE_REQUIRE_ADMIN_TOKEN="true", **build_environment(sandbox)
    )
    assert (process.returncode, process.stdout) == (3, "")
    assert "[SW_AUTH_TOKEN_REQUIRED]" in process.stderr


def test_fail_usage() -> None:
    process = run_script("--nonsense", "--json")
    assert (process.returncode, process.stdout) == (2, "")
    assert json.loads(process.stderr)["error"]["code"] == "SW_USAGE"
