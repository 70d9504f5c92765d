"""The command: in a script, and at a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from identity_sync.models import Registration
from scaiwave.config.configuration import read_env_file
from scaiwave.core.errors import UsageError
from scaiwave.sandbox import Sandbox
from tests.databases import copy_database
from tests.identity_sync.registration.helpers import ServerHome
from tests.tenants.factories import read_outputs, run_command

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=3, people=10, groups=2),
]


@pytest.fixture
def command_server(server: ServerHome, settings: Any) -> ServerHome:
    settings.CONFIG = server.config
    return server


def flags(server: ServerHome) -> list[str]:
    flag_values = server.make_flags()
    return [
        f"--url={flag_values.url}",
        f"--name={flag_values.name}",
        f"--scope={flag_values.scope}",
        f"--contact-email={flag_values.contact_email}",
    ]


def test_success_command_prints_the_next_step(command_server: ServerHome) -> None:
    out, err = read_outputs("sync_register", *flags(command_server))
    row = Registration.objects.get()
    lines = dict(line.split(maxsplit=1) for line in out.splitlines()[:4])
    assert lines == {
        "Outcome": "pending",
        "State": "PENDING",
        "ScaiKey": command_server.url,
        "Request": row.request_id,
    }
    assert err.splitlines()[-1] == (
        f"Next: approve request {row.request_id} in ScaiKey, then run "
        "`scaiwave sync register` again."
    )


def test_success_command_json(command_server: ServerHome, sandbox: Sandbox) -> None:
    sandbox.registrations.auto_approve = True
    out, err = read_outputs("sync_register", *flags(command_server), "--json")
    document = json.loads(out)
    assert document["outcome"] == "registered"
    assert "****" in document["registration"]["client_secret"]
    assert err == ""


def test_success_command_cancel(command_server: ServerHome) -> None:
    request_id = command_server.register().request_id
    out = run_command("sync_register", "--cancel")
    assert out.splitlines() == [
        "Outcome  cancelled",
        f"Request  {request_id}",
        f"ScaiKey  {command_server.url}",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--timeout=5",), "--timeout needs --wait."),
        (("--cancel", "--replace"), "Can't combine --cancel and --replace."),
    ],
)
def test_fail_options_without_effect(
    command_server: ServerHome, sandbox: Sandbox, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        run_command("sync_register", *flags(command_server), *words)
    assert caught.value.message == message
    assert sandbox.requests.total == 0


CONSOLE = [sys.executable, "-m", "scaiwave.cli"]


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    master, slave = os.openpty()
    yield master, slave
    os.close(master)


def test_success_interactive(
    server: ServerHome,
    sandbox: Sandbox,
    database_url: str,
    migrated: str,
    terminal: tuple[int, int],
) -> None:
    """The command prompts at a terminal, and again after an invalid answer."""
    sandbox.registrations.auto_approve = True
    master, slave = terminal
    copy_database(migrated, database_url)
    answers = [
        ("URL of ScaiKey: ", f"{server.url}/"),
        ("Name of this server in ScaiKey [localhost]: ", ""),
        ("Scope (GLOBAL, PARTNER or TENANT) [GLOBAL]: ", "earth"),
        ("Scope (GLOBAL, PARTNER or TENANT) [GLOBAL]: ", "tenant"),
        ("Slug of the tenant in ScaiKey: ", tenant_slug(sandbox)),
        ("Contact e-mail: ", "ops@example.com"),
    ]
    output = ""
    with subprocess.Popen(
        [*CONSOLE, "sync", "register", "--wait"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(slave)
        for question, answer in answers:
            output += read_until(master, question)
            os.write(master, f"{answer}\n".encode())
        output += read_until(master, None)
    assert process.returncode == 0, output
    assert "Invalid scope: 'earth'. Pass --scope GLOBAL, PARTNER or TENANT." in output
    assert "Next: run `scaiwave sync`." in output
    written = read_env_file(server.env_file)
    assert written["SCAIWAVE_SCAIKEY_URL"] == server.url
    assert written["SCAIWAVE_SCAIKEY_CLIENT_SECRET"] not in output


def test_fail_nothing_but_empty_lines(
    server: ServerHome, database_url: str, migrated: str, terminal: tuple[int, int]
) -> None:
    """As of a program that presses Enter: it must not be asked without end."""
    master, slave = terminal
    copy_database(migrated, database_url)
    os.write(master, b"\n" * 20)
    with subprocess.Popen(
        [*CONSOLE, "sync", "register"], stdin=slave, stdout=slave, stderr=slave
    ) as process:
        os.close(slave)
        output = read_until(master, None)
    assert process.returncode == 2
    assert output.count("URL of ScaiKey: ") == 3
    assert "URL of ScaiKey is required. [SW_CONFIRMATION_NEEDED]" in output
    assert "Fix: Pass --url." in output


def read_until(master: int, question: str | None) -> str:
    """Return the output up to the question, or up to the end of the terminal."""
    output = ""
    while question is None or not output.endswith(question):
        try:
            part = os.read(master, 4096).decode()
        except OSError:  # Linux reports it; others end the input.
            part = ""
        if not part:
            assert question is None, output
            break
        output += part
    return output


def tenant_slug(sandbox: Sandbox) -> str:
    return str(next(iter(sandbox.directory.tenants.values()))["slug"])
