"""ScaiKey hands credentials out once; a process may be killed at any moment after that."""

from __future__ import annotations

import json
import operator
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scaiwave.config.configuration import read_env_file
from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.http.messages import Response
from scaiwave.sandbox.http.server import Connection
from tests.databases import copy_database
from tests.identity_sync.registration.helpers import ServerHome, get_mode
from tests.tools import NIGHTLY

pytestmark = [
    pytest.mark.sandbox(partners=1, tenants=2, people=4, groups=1),
    pytest.mark.once,
]

RANDOM_KILLS = 120 if NIGHTLY else 5
REGISTER = [
    *(sys.executable, "-m", "scaiwave.cli", "sync", "register", "--name=chat", "--scope=GLOBAL"),
    *("--contact-email=ops@example.com", "--wait", "--timeout=60"),
]


@pytest.fixture
def database(database_url: str, migrated: str) -> str:
    """The URL of a migrated database for the processes of a test."""
    copy_database(migrated, database_url)
    return database_url


def assert_registered(home: Path, sandbox: Sandbox) -> None:
    """The credentials that ScaiKey returned are configured, and are in no other file."""
    written = read_env_file(home / ".env")
    secret = written["SCAIWAVE_SCAIKEY_CLIENT_SECRET"]
    assert sandbox.clients.authenticate(written["SCAIWAVE_SCAIKEY_CLIENT_ID"], secret)
    holders = [
        path for path in home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()
    ]
    assert holders == [home / ".env"]
    assert get_mode(home / ".env") == 0o600
    left = {path.name for path in home.iterdir() if path.name.startswith((".scaikey", "scaikey"))}
    assert left == set()


def clients_handed_out(sandbox: Sandbox) -> set[str]:
    """Clients whose credentials have left ScaiKey."""
    pending = sandbox.registrations._requests.values()
    return {request.client.client_id for request in pending if request.is_retrieved}


def kill_at_each_step(
    sandbox: Sandbox, tmp_path: Path, *options: str
) -> tuple[Path, list[dict[str, Any]]]:
    """Return the directory of the servers, and what `kill_steps` printed, without failures."""
    sandbox.registrations.auto_approve = True
    servers = tmp_path / "servers"
    servers.mkdir()
    command = [
        sys.executable,
        "-m",
        "tests.identity_sync.registration.kill_steps",
        str(servers),
        sandbox.url,
        *options,
        *(["each"] if NIGHTLY else []),
    ]
    completed = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "scaiwave.settings"},
    )
    assert completed.returncode == 0, completed.stderr
    kills = [json.loads(line) for line in completed.stdout.splitlines()]
    assert len(kills) > 10
    assert [kill["step"] for kill in kills if not kill["killed"]] == [], completed.stderr
    assert [kill["step"] for kill in kills if not kill["resumed"]] == [], completed.stderr
    return servers, kills


def test_success_killed_at_each_step(
    sandbox: Sandbox, tmp_path: Path, database: str, home: Path
) -> None:
    servers, kills = kill_at_each_step(sandbox, tmp_path)
    homes = [servers / "warm", servers / "counted", *(Path(kill["home"]) for kill in kills)]
    for server_home in homes:
        assert_registered(server_home, sandbox)
    configured = {read_env_file(path / ".env")["SCAIWAVE_SCAIKEY_CLIENT_ID"] for path in homes}
    # ScaiKey returned no credentials except those that are in use.
    assert clients_handed_out(sandbox) == configured


def test_success_replacement_killed_at_each_step(
    sandbox: Sandbox, tmp_path: Path, database: str, home: Path
) -> None:
    """Whenever it is killed, one set of credentials is configured completely, and works."""
    _, kills = kill_at_each_step(sandbox, tmp_path, "replace")
    for kill in kills:
        settings = kill["configured"]
        client = sandbox.clients.authenticate(
            settings["SCAIWAVE_SCAIKEY_CLIENT_ID"], settings["SCAIWAVE_SCAIKEY_CLIENT_SECRET"]
        )
        assert client is not None, kill["step"]
        assert settings["SCAIWAVE_SCAIKEY_APP_ID"] == client.application_id, kill["step"]
        assert_registered(Path(kill["home"]), sandbox)
    configured_after = [
        read_env_file(Path(kill["home"]) / ".env")["SCAIWAVE_SCAIKEY_CLIENT_ID"] for kill in kills
    ]
    configured_between = [kill["configured"]["SCAIWAVE_SCAIKEY_CLIENT_ID"] for kill in kills]
    # Some were killed before the replacement, and then continued with it.
    assert any(map(operator.ne, configured_between, configured_after))


@pytest.fixture
def sent_sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the answers with credentials that were handed to the operating system."""
    sizes: list[int] = []
    write = Connection._write_response

    def count_and_write(connection: Connection, response: Response, *, keep: bool) -> bool:
        result = write(connection, response, keep=keep)
        if b'"client_secret"' in response.body:
            sizes.append(len(response.body))
        return result

    monkeypatch.setattr(Connection, "_write_response", count_and_write)
    return sizes


def has_unread_bytes(port: int) -> bool:
    """Whether something that was sent from this port waits in the kernel for its receiver."""
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, _, remote, _, queues, *_ = line.split()
        if int(remote.partition(":")[2], 16) == port and int(queues.partition(":")[2], 16):
            return True
    return False


def kill_once_received(process: subprocess.Popen[bytes], port: int, delay: float) -> None:
    """Kill it after a while, but not before it has received what was sent to it."""
    time.sleep(delay)
    process.send_signal(signal.SIGSTOP)
    while process.poll() is None and has_unread_bytes(port):
        process.send_signal(signal.SIGCONT)
        time.sleep(0.001)
        process.send_signal(signal.SIGSTOP)
    process.kill()


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="only Linux reports what is unread")
def test_success_killed_at_any_moment(
    server: ServerHome, sandbox: Sandbox, database: str, home: Path, sent_sizes: list[int]
) -> None:
    """Moments are spread from the arrival of the credentials to the end of the command."""
    sandbox.registrations.auto_approve = True
    chance = random.Random()
    command = [*REGISTER, f"--url={server.url}"]
    port = int(server.url.rpartition(":")[2])
    for _ in range(RANDOM_KILLS):
        before = clients_handed_out(sandbox)
        with subprocess.Popen(
            [*command, "--replace"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            wait_until(lambda: bool(sent_sizes))
            sent_sizes.clear()
            kill_once_received(process, port, chance.uniform(0, 0.03))
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        assert_registered(home, sandbox)
        (fetched,) = clients_handed_out(sandbox) - before
        assert read_env_file(server.env_file)["SCAIWAVE_SCAIKEY_CLIENT_ID"] == fetched


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0002)
