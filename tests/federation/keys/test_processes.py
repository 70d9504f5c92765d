"""Commands as processes: concurrent ones, killed ones, and what they print."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from cryptography.fernet import Fernet

from tests.identity_sync.sync.processes import Server, wait_for
from tests.scaiwave.cli_helpers import (
    CHECKOUT,
    ProcessResult,
    run_at_terminal,
    run_scaiwave,
    start_example,
)

pytestmark = pytest.mark.once

KEY = ("admin", "federation", "key")
REAL = {"DJANGO_SETTINGS_MODULE": "scaiwave.settings"}
"""`start_example` and `run_at_terminal` use the settings of the example app unless given others."""


def run_key_command(*words: str, **environment: str) -> ProcessResult:
    return run_scaiwave(*KEY, *words, **environment)


def load_current_ids(server: Server) -> list[str]:
    """Return the IDs of the keys that are neither retired nor revoked."""
    rows = server.rows(
        "SELECT key_id FROM sw_server_keys WHERE retires_at IS NULL AND revoked_at IS NULL"
    )
    return [row[0] for row in rows]


def count_rows(server: Server, table: str = "server_keys") -> int:
    return int(server.rows(f"SELECT COUNT(*) FROM sw_{table}")[0][0])


@contextmanager
def locked_keys(server: Server) -> Iterator[None]:
    """Block changes of keys, but not reads."""
    with server.connected() as connection:
        if server.is_postgres:
            with connection.transaction():
                connection.execute("LOCK TABLE sw_server_keys IN SHARE ROW EXCLUSIVE MODE")
                yield
            return
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def wait_for_line(process: subprocess.Popen[str], words: str) -> None:
    """Wait until the process prints the words to stderr."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        if words in line:
            return
        lines.append(line)
    pytest.fail(f"it ended without printing {words!r}, but {lines} and {process.communicate()}")


def test_success_two_rotations_at_once_make_one_key(server: Server) -> None:
    """Both runs have read the same signing key before either continues."""
    assert run_key_command("generate").code == 0
    (old,) = load_current_ids(server)
    with ExitStack() as stack:
        with locked_keys(server):
            rotations = [
                stack.enter_context(start_example(*KEY, "rotate", "-v", "2", **REAL))
                for _ in range(2)
            ]
            for process in rotations:
                wait_for_line(process, f"Replacing key {old}.")
        outs = sorted(process.communicate(timeout=60)[0] for process in rotations)
    assert [process.returncode for process in rotations] == [0, 0]
    assert count_rows(server) == 2
    (new,) = load_current_ids(server)
    assert outs[0] == (
        f"Another run has already replaced key {old} with {new}; nothing was changed.\n"
    )
    assert outs[1].startswith(f"Key {new} created; it signs from now on. Key {old} verifies until ")
    assert count_rows(server, "audit_entries") == 2


def test_success_rotations_started_together_make_one_key(server: Server) -> None:
    """One is done before the other, which had started by then, has read the keys."""
    assert run_key_command("generate").code == 0
    code = (
        "import sys; from scaiwave.cli import main\n"
        "print('Started.', flush=True); sys.stdin.readline(); sys.exit(main())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, *KEY, "rotate"],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as late:
        assert late.stdout is not None
        assert late.stdout.readline() == "Started.\n"
        early = run_key_command("rotate")
        out, _ = late.communicate("\n", timeout=60)
    assert [early.out.split(" ")[0], out.split(" ")[0]] == ["Key", "Another"]
    assert count_rows(server) == 2


def test_success_two_generations_at_once_make_one_key(server: Server) -> None:
    with ExitStack() as stack:
        with locked_keys(server):
            runs = [stack.enter_context(start_example(*KEY, "generate", **REAL)) for _ in range(3)]
            if server.is_postgres:  # On SQLite writers wait for each other as it is.
                wait_for(lambda: server.locks("NOT granted") == len(runs))
        ended = [process.communicate(timeout=60) for process in runs]
    assert sorted(process.returncode for process in runs) == [0, 1, 1]
    (key_id,) = load_current_ids(server)
    assert count_rows(server) == 1
    for process, (out, err) in zip(runs, ended, strict=True):
        if process.returncode:
            assert f"already has a signing key: {key_id}. [SW_FEDERATION_KEY_EXISTS]" in err
        else:
            assert out == f"Key {key_id} created; it signs from now on.\n"


def test_success_killed_rotations_leave_usable_keys(server: Server) -> None:
    rng = random.Random(4)
    assert run_key_command("generate").code == 0
    for _ in range(6):
        before = count_rows(server)
        with start_example(*KEY, "rotate", "-v", "2", **REAL) as process:
            wait_for_line(process, "Replacing key")
            time.sleep(rng.uniform(0, 0.02))
            process.kill()
            process.communicate()
        if server.is_postgres:
            wait_for(lambda: not server.locks("mode LIKE '%RowExcl%'"))
        assert len(load_current_ids(server)) == 1
        assert count_rows(server) in (before, before + 1)
        assert count_rows(server, "audit_entries") == count_rows(server)
    assert run_key_command("check").code == 0
    assert run_key_command("rotate").code == 0


def test_fail_encryption_key_is_another(server: Server) -> None:
    run_key_command("generate")
    (key_id,) = load_current_ids(server)
    ended = run_key_command("check", SCAIWAVE_ENCRYPTION_KEYS=Fernet.generate_key().decode())
    assert ended.code == 2
    assert ended.out.splitlines()[1:] == [
        f"{key_id}  signing  fail",
        f"The private key of {key_id} can't be decrypted with SCAIWAVE_ENCRYPTION_KEYS.",
    ]
    assert ended.err == (
        f"Error: The private key of {key_id} can't be decrypted with SCAIWAVE_ENCRYPTION_KEYS. "
        "[SW_FEDERATION_KEY_UNREADABLE]\n"
        "  Fix: Add the encryption key it was stored with to SCAIWAVE_ENCRYPTION_KEYS again, after "
        "the newest one. If that encryption key is lost, revoke the key: `scaiwave admin "
        f"federation key revoke {key_id}`, which names the next command.\n"
    )
    as_json = run_key_command("check", "--json", SCAIWAVE_ENCRYPTION_KEYS="nonsense")
    assert as_json.code == 2
    assert json.loads(as_json.out)["keys"][0]["ok"] is False
    assert key_id in json.loads(as_json.err)["error"]["message"]


def test_success_revoked_and_generated_again(server: Server) -> None:
    run_key_command("generate")
    (key_id,) = load_current_ids(server)
    refused = run_key_command("revoke", key_id)
    assert (refused.code, refused.out) == (2, "")
    assert "[SW_CONFIRMATION_NEEDED]" in refused.err
    declined = run_at_terminal(*KEY, "revoke", key_id, keys="no\n", **REAL)
    assert (declined.code, load_current_ids(server)) == (1, [key_id])
    assert "nothing is signed until you generate a new one. Continue? [y/N]" in " ".join(
        declined.out.split()
    )
    agreed = run_key_command("revoke", key_id, "--yes", "--json")
    assert (agreed.code, load_current_ids(server)) == (0, [])
    assert json.loads(agreed.out)["no_signing_key"] is True
    listed = run_key_command("list")
    assert listed.code == 0
    assert listed.err.startswith("Warning: This server has no signing key")
    assert run_key_command("generate").code == 0
    assert len(load_current_ids(server)) == 1


def test_success_a_terminal_of_80_columns_folds_nothing_of_a_key(server: Server) -> None:
    run_key_command("generate")
    run_key_command("rotate")
    lines = run_at_terminal(*KEY, "list", **REAL).out.splitlines()
    rows = [line for line in lines if "signing" in line or "verifying" in line]
    assert [row.split()[1:] for row in rows] == [["signing", "365"], ["verifying", "30"]]
    assert "A wider terminal also shows: Created, Signs from, Verifies until." in lines[-1]


def test_success_policy_and_descriptor(server: Server) -> None:
    policy = ("admin", "federation", "policy")
    options = ("--default-mode", "invite_only", "--max-foreign-participants", "50")
    peers = ("--allow-peer", "a.example", "--allow-peer", "b.example")
    ended = run_scaiwave(*policy, "set", *options, *peers)
    assert (ended.code, len(ended.out.splitlines())) == (0, 3)
    options = ("--max-foreign-participants", "none", "--remove-peer", "b.example")
    ended = run_scaiwave(*policy, "set", *options, "--json")
    shown = json.loads(run_scaiwave(*policy, "show", "--json").out)
    assert shown["policy"] == json.loads(ended.out)["policy"]
    assert shown["policy"]["allowed_peers"] == ["a.example"]
    assert shown["policy"]["max_foreign_participants_per_room"] is None
    assert "invite_only" in run_scaiwave(*policy, "show").out
    for limit in ("-1", "many"):
        refused = run_scaiwave(*policy, "set", f"--max-foreign-participants={limit}")
        assert (refused.code, "[SW_USAGE]" in refused.err) == (2, True)
    plain, as_json = (
        run_scaiwave("admin", "federation", "descriptor", *words, SCAIWAVE_SERVER_NAME="a.example")
        for words in ((), ("--json",))
    )
    assert plain.out == as_json.out
    assert json.loads(plain.out)["server_name"] == "a.example"
    assert plain.err.startswith(
        "Peers fetch it from https://a.example/.well-known/scaiwave/server.\n"
    )
