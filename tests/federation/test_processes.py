"""The verbs as processes: several at once, killed ones, and what they print."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from cryptography.fernet import Fernet

from tests.identity_sync.sync.server import Server, wait_for
from tests.scaiwave.console import Ended, at_terminal, scaiwave, started

pytestmark = pytest.mark.once

KEY = ("admin", "federation", "key")
REAL = {"DJANGO_SETTINGS_MODULE": "scaiwave.settings"}
"""`started` and `at_terminal` run a console of their own unless told otherwise."""


def key(*words: str, **environment: str) -> Ended:
    return scaiwave(*KEY, *words, **environment)


def standing(server: Server) -> list[str]:
    """Ids of the keys that no rotation has retired."""
    found = server.rows(
        "SELECT key_id FROM sw_server_keys WHERE retires_at IS NULL AND revoked_at IS NULL"
    )
    return [row[0] for row in found]


def count(server: Server, table: str = "server_keys") -> int:
    return int(server.rows(f"SELECT COUNT(*) FROM sw_{table}")[0][0])


@contextmanager
def held(server: Server) -> Iterator[None]:
    """Nobody can change keys meanwhile; they can be read."""
    with server.connected() as connection:
        if server.is_postgres:
            with connection.transaction():
                connection.execute("LOCK TABLE sw_server_keys IN SHARE ROW EXCLUSIVE MODE")
                yield
            return
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def line_of(process: subprocess.Popen[str], words: str) -> None:
    """Wait until it has said so on stderr."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"it ended without saying {words!r}")


def test_success_two_rotations_at_once_make_one_key(server: Server) -> None:
    """Both have seen the same key as signing before either goes on."""
    assert key("generate").code == 0
    (old,) = standing(server)
    with ExitStack() as stack:
        with held(server):
            rotations = [
                stack.enter_context(started(*KEY, "rotate", "-v", "2", **REAL)) for _ in range(2)
            ]
            for process in rotations:
                line_of(process, f"Replacing key {old}.")
        outs = sorted(process.communicate(timeout=60)[0] for process in rotations)
    assert [process.returncode for process in rotations] == [0, 0]
    assert count(server) == 2
    (new,) = standing(server)
    assert outs[0] == (
        f"Another run has just replaced key {old} by {new}; nothing was changed here.\n"
    )
    assert outs[1].startswith(f"Made key {new}, which signs from now on; {old} verifies until ")
    assert count(server, "audit_entries") == 2


def test_success_rotations_started_together_make_one_key(server: Server) -> None:
    """Also where one of them is done before the other has looked."""
    assert key("generate").code == 0
    with ExitStack() as stack:
        runs = [stack.enter_context(started(*KEY, "rotate", **REAL)) for _ in range(2)]
        outs = [process.communicate(timeout=60)[0] for process in runs]
    assert sorted(out.split(" ")[0] for out in outs) == ["Another", "Made"]
    assert count(server) == 2


def test_success_two_generations_at_once_make_one_key(server: Server) -> None:
    with ExitStack() as stack:
        with held(server):
            runs = [stack.enter_context(started(*KEY, "generate", **REAL)) for _ in range(3)]
            if server.is_postgres:  # On SQLite writers wait for each other as it is.
                wait_for(lambda: server.locks("NOT granted") == len(runs))
        ended = [process.communicate(timeout=60) for process in runs]
    assert sorted(process.returncode for process in runs) == [0, 1, 1]
    (made,) = standing(server)
    assert count(server) == 1
    for process, (out, err) in zip(runs, ended, strict=True):
        if process.returncode:
            assert f"already: {made}. [SW_FEDERATION_KEY_EXISTS]" in err
        else:
            assert out == f"Made key {made}; it signs from now on.\n"


def test_success_killed_rotations_leave_usable_keys(server: Server) -> None:
    luck = random.Random(4)
    assert key("generate").code == 0
    for _ in range(6):
        before = count(server)
        with started(*KEY, "rotate", "-v", "2", **REAL) as process:
            line_of(process, "Replacing key")
            time.sleep(luck.uniform(0, 0.02))
            process.kill()
            process.communicate()
        if server.is_postgres:
            wait_for(lambda: not server.locks("mode LIKE '%RowExcl%'"))
        assert len(standing(server)) == 1
        assert count(server) in (before, before + 1)
        assert count(server, "audit_entries") == count(server)
    assert key("check").code == 0
    assert key("rotate").code == 0


def test_fail_encryption_key_is_another(server: Server) -> None:
    key("generate")
    (made,) = standing(server)
    ended = key("check", SCAIWAVE_ENCRYPTION_KEYS=Fernet.generate_key().decode())
    assert ended.code == 2
    assert ended.out.splitlines()[1:] == [
        f"{made}  signing  fail",
        f"The private half of key {made} can't be decrypted with SCAIWAVE_ENCRYPTION_KEYS.",
    ]
    assert ended.err == (
        f"Error: The private half of key {made} can't be decrypted with SCAIWAVE_ENCRYPTION_KEYS. "
        "[SW_FEDERATION_KEY_UNREADABLE]\n"
        "  Fix: Put the encryption key it was stored under back into SCAIWAVE_ENCRYPTION_KEYS, "
        "after the newest one. If that one is lost, revoke the key and generate another.\n"
    )
    as_json = key("check", "--json", SCAIWAVE_ENCRYPTION_KEYS="nonsense")
    assert as_json.code == 2
    assert json.loads(as_json.out)["keys"][0]["ok"] is False
    assert made in json.loads(as_json.err)["error"]["message"]


def test_success_revoked_and_generated_anew(server: Server) -> None:
    key("generate")
    (made,) = standing(server)
    refused = key("revoke", made)
    assert (refused.code, refused.out) == (2, "")
    assert "[SW_CONFIRMATION_NEEDED]" in refused.err
    declined = at_terminal(*KEY, "revoke", made, keys="no\n", **REAL)
    assert (declined.code, standing(server)) == (1, [made])
    assert "nothing will be signed until another is generated. (yes/no): " in declined.out.replace(
        "\n", " "
    )
    agreed = key("revoke", made, "--yes", "--json")
    assert (agreed.code, standing(server)) == (0, [])
    assert json.loads(agreed.out)["nothing_signs"] is True
    listed = key("list")
    assert listed.code == 0
    assert listed.err.startswith("Warning: This server has no signing key")
    assert key("generate").code == 0
    assert len(standing(server)) == 1


def test_success_a_terminal_of_80_columns_folds_nothing_of_a_key(server: Server) -> None:
    key("generate")
    key("rotate")
    lines = at_terminal(*KEY, "list", **REAL).out.splitlines()
    rows = [line for line in lines if "signing" in line or "verifying" in line]
    assert [row.split()[1:] for row in rows] == [["signing", "365"], ["verifying", "30"]]
    assert "A wider terminal also shows: Made, Signs from, Verifies until." in lines[-1]


def test_success_policy_and_descriptor(server: Server) -> None:
    policy = ("admin", "federation", "policy")
    ended = scaiwave(*policy, "set", "--default-mode", "invite_only", "--allow-peer", "a.example",
                     "--allow-peer", "b.example", "--max-foreign-participants", "50")  # fmt: skip
    assert (ended.code, len(ended.out.splitlines())) == (0, 3)
    ended = scaiwave(*policy, "set", "--max-foreign-participants", "none", "--remove-peer",
                     "b.example", "--json")  # fmt: skip
    shown = json.loads(scaiwave(*policy, "show", "--json").out)
    assert shown["policy"] == json.loads(ended.out)["policy"]
    assert shown["policy"]["allowed_peers"] == ["a.example"]
    assert shown["policy"]["max_foreign_participants_per_room"] is None
    assert "invite_only" in scaiwave(*policy, "show").out
    for limit in ("-1", "many"):
        refused = scaiwave(*policy, "set", f"--max-foreign-participants={limit}")
        assert (refused.code, "[SW_USAGE]" in refused.err) == (2, True)
    plain, as_json = (
        scaiwave("admin", "federation", "descriptor", *words, SCAIWAVE_SERVER_NAME="a.example")
        for words in ((), ("--json",))
    )
    assert plain.out == as_json.out
    assert json.loads(plain.out)["server_name"] == "a.example"
    assert plain.err.startswith(
        "Peers fetch it from https://a.example/.well-known/scaiwave/server.\n"
    )
    misnamed = scaiwave("admin", "federation", "descriptor", SCAIWAVE_SERVER_NAME="https://a/")
    assert (misnamed.code, "Peers fetch it" in misnamed.err) == (0, False)
