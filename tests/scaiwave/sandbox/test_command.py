"""`scaiwave manage sandbox` as a process."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

pytestmark = pytest.mark.once

COMMAND = [sys.executable, "-m", "scaiwave.cli", "manage", "sandbox"]


@contextmanager
def run_sandbox(*flags: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Start the sandbox, and yield the process and the lines it printed once it serves."""
    process = subprocess.Popen(
        [*COMMAND, "--port", "0", "--people", "20", "--tenants", "2", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            yield process, [process.stdout.readline().rstrip("\n") for _ in range(5)]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_success_serves_until_it_is_stopped(number: signal.Signals) -> None:
    with run_sandbox("--auto-approve") as (process, lines):
        match = re.match(r"ScaiKey sandbox on (http://127\.0\.0\.1:\d+): ", lines[0])
        assert match
        url = match[1]
        assert lines == [
            f"ScaiKey sandbox on {url}: 3 partners, 2 tenants, 20 people, 150 groups (seed 1).",
            f"Register: scaiwave sync register --url {url}",
            "Approve:  automatic",
            f"Status:   GET {url}/sandbox/",
            "Stop:     Ctrl-C",
        ]
        assert httpx.get(f"{url}/sandbox/", trust_env=False).json()["people"] == 20
        process.send_signal(number)
        assert process.wait(timeout=10) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""


def test_success_prints_how_to_approve() -> None:
    with run_sandbox() as (_, lines):
        assert re.fullmatch(
            r"Approve:  POST http://127\.0\.0\.1:\d+/sandbox/registrations/<request id>/approve",
            lines[2],
        )


def run_command(*flags: str) -> tuple[int, str]:
    process = subprocess.run(
        [*COMMAND, *flags], check=False, capture_output=True, text=True, timeout=30
    )
    return process.returncode, process.stderr


def test_fail_busy_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, message = run_command("--port", str(port))

    assert code == 2
    assert f"Port not available: {port} on 127.0.0.1: Address already in use." in message
    assert "Choose another port with --port, or stop the process that uses it." in message
    assert "Traceback" not in message


def test_fail_option_is_not_a_number() -> None:
    code, message = run_command("--people", "many")

    assert code == 2
    assert "argument --people: 'many' is not a whole number of 0 or more" in message
