"""Each command with a wrong address of each server: a path too many, or one that redirects.

Both are configuration (exit code 2). The error names the setting or option to change, and nothing
is sent to the target of a redirect.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from scaiwave.sandbox import Sandbox
from tests.databases import copy_database
from tests.rooms.search.fake_weaviate import FakeWeaviate
from tests.scaiwave.cli_helpers import CHECKOUT, ProcessResult, run_scaiwave
from tests.scaiwave.clients.raw_socket_server import (
    RawRequest,
    RawResponse,
    RawServer,
    make_response,
)

pytestmark = pytest.mark.sandbox(partners=2, tenants=3, people=10, groups=2)

REGISTER = "sync register --scope GLOBAL --name chat --contact-email ops@example.com"
SMOKE = "scripts/scaigrid_service_token_smoke.py"
BACKFILL = "scripts/backfill_search_index.py --execute --inline"
COMMANDS = {
    "SCAIWAVE_SCAIKEY_URL": (
        "sync",
        "sync --dry-run",
        "sync --tenant {slug}",
        "sync status",
        "sync status --no-drift",
        "sync register",
        f"{REGISTER} --replace",
        "admin create-tenant --slug new --name New --scaikey-tenant-id tnt_1",
        "admin link-tenant lab --scaikey-tenant-id tnt_1",
        "admin refresh-usage",
        "doctor",
        SMOKE,
    ),
    "SCAIWAVE_SCAIGRID_URL": ("admin refresh-usage", SMOKE),
    "SCAIWAVE_SCAICMS_URL": ("scripts/publish_docs.py", "scripts/publish_docs.py --execute"),
    "SCAIWAVE_WEAVIATE_URL": ("room search hello --tenant {slug}", BACKFILL),
}
CASES = [(setting, command) for setting, commands in COMMANDS.items() for command in commands]


@dataclass
class Redirecting:
    """A server that sends every request to another one, which records what it receives."""

    target: str
    received: list[RawRequest] = field(default_factory=list)

    def respond(self, request: RawRequest) -> RawResponse:
        return make_response({}, status=308, headers={"Location": f"{self.target}{request.path}"})

    def record(self, request: RawRequest) -> RawResponse:
        self.received.append(request)
        return make_response({})


@dataclass
class Host:
    """A host with a synced server, whose settings are right unless a test changes one."""

    settings: dict[str, str]
    slug: str

    def run(self, command: str, **changes: str) -> ProcessResult:
        words = command.format(slug=self.slug).split()
        if not words[0].startswith("scripts/"):
            return run_scaiwave(*words, **{**self.settings, **changes})
        completed = subprocess.run(
            [sys.executable, *words],
            env={**os.environ, **self.settings, **changes},
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return ProcessResult(completed.returncode, completed.stdout, completed.stderr)


@pytest.fixture
def host(sandbox: Sandbox, home: Path, database_url: str, migrated: str) -> Host:
    copy_database(migrated, database_url)
    settings = {
        "SCAIWAVE_SCAIKEY_URL": sandbox.url,
        "SCAIWAVE_SCAIKEY_CLIENT_ID": sandbox.client_id,
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET": sandbox.client_secret,
        "SCAIWAVE_SCAIGRID_URL": sandbox.url,
        "SCAIWAVE_SCAICMS_URL": sandbox.url,
        "SCAIWAVE_SCAICMS_API_KEY": sandbox.scaicms.api_key,
    }
    slug = str(next(iter(sandbox.directory.tenants.values()))["slug"])
    host = Host(settings, slug)
    assert host.run("sync --quiet").code == 0
    assert host.run("admin create-tenant --local --slug lab --name Lab").code == 0
    return host


def test_fail_path_too_many(host: Host, sandbox: Sandbox) -> None:
    """All commands in one test, since preparing a host takes longer than most of them."""
    for setting, command in CASES:
        result = host.run(command, **{setting: f"{sandbox.url}/api/v1"})
        output = result.out + result.err
        assert result.code == 2, (command, output)
        assert f"Set {setting} to the address of" in output, (command, output)
        assert "Check the ID or the name" not in output, (command, output)


@pytest.fixture
def redirecting() -> Iterator[tuple[str, Redirecting]]:
    """Yield the address of a server that redirects, and the server."""
    servers = Redirecting("")
    with RawServer(servers.record) as target, RawServer(servers.respond) as source:
        servers.target = target.origin.replace("127.0.0.1", "localhost")
        yield source.origin, servers


def test_fail_redirect(host: Host, redirecting: tuple[str, Redirecting], sandbox: Sandbox) -> None:
    url, servers = redirecting
    for setting, command in CASES:
        result = host.run(command, **{setting: url})
        output = result.out + result.err
        assert result.code == 2, (command, output)
        assert f"to {servers.target}/" in output, (command, output)
        assert f"If {servers.target} is " in output, (command, output)
        assert f"set {setting} to it." in output, (command, output)
    assert_option_is_named(host, url, servers, sandbox)
    assert servers.received == []


def assert_option_is_named(host: Host, url: str, servers: Redirecting, sandbox: Sandbox) -> None:
    result = host.run(f"{REGISTER} --replace --url {url}")
    assert result.code == 2
    assert f"If {servers.target} is ScaiKey, set --url to it." in result.err
    result = host.run(f"{REGISTER} --replace --url {sandbox.url}/api/v1")
    assert result.code == 2
    assert "Set --url to the address of ScaiKey" in result.err


def test_fail_redirect_from_http_to_https(database_url: str, home: Path, migrated: str) -> None:
    copy_database(migrated, database_url)
    credentials = {
        "SCAIWAVE_SCAIKEY_CLIENT_ID": "id",
        "SCAIWAVE_SCAIKEY_CLIENT_SECRET": "correct horse battery",
    }
    with RawServer(redirect_to_https) as server:
        host = Host({**credentials, "SCAIWAVE_SCAIKEY_URL": server.origin}, "")
        result = host.run("sync")
    assert result.code == 2
    assert (
        "If https://scaikey.example.org is ScaiKey, set SCAIWAVE_SCAIKEY_URL to it." in result.err
    )
    assert server.requests
    assert all("authorization" not in request.headers for request in server.requests)


def redirect_to_https(request: RawRequest) -> RawResponse:
    location = f"https://scaikey.example.org{request.path}"
    return make_response({}, status=301, headers={"Location": location})


def test_fail_path_too_many_with_a_token(host: Host, sandbox: Sandbox) -> None:
    token = sandbox.issue_token(role="super_admin")
    url = f"{sandbox.url}/api/v1"
    changes = {"SCAIWAVE_ADMIN_TOKEN": token, "SCAIWAVE_SCAIKEY_URL": url}
    result = host.run("admin list-tenants", **changes)
    assert result.code == 2
    assert f"Set SCAIWAVE_SCAIKEY_URL to {sandbox.url}, if that is the address" in result.err
    result = host.run("admin list-tenants", **changes, SCAIWAVE_SCAIKEY_ISSUER=sandbox.url)
    assert result.code == 2
    assert "Set SCAIWAVE_SCAIKEY_URL to the address of ScaiKey" in result.err

    with FakeWeaviate().serve() as server:
        result = host.run("room search hello --tenant {slug}", SCAIWAVE_WEAVIATE_URL=server.origin)
    assert result.code == 0, result.err
