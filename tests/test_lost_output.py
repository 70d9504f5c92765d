"""If the output can't be delivered after the work is done, the error lists what was done."""

from __future__ import annotations

import json
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from federation.keys.lifecycle import generate_key
from federation.models import ServerKey
from scaiwave.cli import main
from scaiwave.cli.verbs import VERBS
from tenants.models import AuditEntry
from tests.databases import copy_database
from tests.rooms.imports.factories import make_home
from tests.scaiwave.cli_helpers import run_scaiwave, run_shell
from tests.scaiwave.row_factories import make_room
from tests.tenants.factories import HOST_OPERATOR, NOW, make_partner, make_person, make_tenant

# Words of each command, and the command that its error names.
COMMANDS = {
    "admin create-tenant --local --slug new --name New": "admin show-tenant",
    "admin update-tenant acme --max-rooms 5": "admin show-tenant",
    "admin suspend-tenant acme --yes": "admin show-tenant",
    "admin unlink-tenant acme --yes": "admin show-tenant",
    "admin create-partner --slug south --name South": "admin show-partner",
    "admin suspend-partner northwind --yes": "admin show-partner",
    "admin suspend-participant {person} --yes": "admin show-participant",
    "role create --slug editors --tenant acme --name Editors": "role list --tenant acme",
    "role grant editors --tenant acme --to {person}": "admin show-participant",
    "admin create-workspace --tenant home --slug ws2 --name WS --owner {anna}": "room workspaces",
    "room archive {room} --tenant home": "room show",
    "admin federation key generate": "admin federation key list",
    "admin federation key rotate": "admin federation key list",
    "admin federation key revoke {key} --yes": "admin federation key list",
    "admin federation policy set --default-mode open": "admin federation policy show",
}


def run_with_full_stdout(words: list[str]) -> int:
    with Path("/dev/full").open("w", encoding="utf-8") as stream, redirect_stdout(stream):
        return main(words)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.only_on("sqlite")  # Where the end of a command leaves the connection open.
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("words", "option"),
    [*((words, []) for words in COMMANDS), *((words, ["--json"]) for words in [*COMMANDS][::5])],
)
def test_fail_stdout_is_full(
    words: str, option: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    person = make_person(make_tenant("acme", partner=make_partner()))
    home = make_home("home")
    room = make_room(home.workspace, home.anna)
    names = {"person": person.pk, "room": room.pk, "key": "none"}
    if "grant" in words:
        main(["role", "create", "--slug", "editors", "--tenant", "acme", "--name", "Editors"])
    if "key" in words and "generate" not in words:
        generate_key(operator=HOST_OPERATOR, now=NOW)
        names["key"] = ServerKey.objects.get().key_id
    names["anna"] = home.anna.pk
    before = AuditEntry.objects.count()
    capfd.readouterr()

    code = run_with_full_stdout([*words.format(**names).split(), *option])

    error = capfd.readouterr().err.splitlines()[-1 if option else -2 :]
    assert code == 1, error
    entry = AuditEntry.objects.order_by("-id")[0]
    assert AuditEntry.objects.count() == before + 1
    if option:
        body = json.loads(error[0])["error"]
    else:
        body = {"message": error[0], "code": error[0][-15:-1], "fix": error[1]}
    assert body["code"] == "SW_OUTPUT_LOST"
    assert "No space left on device" in body["message"]
    assert f"the work is done: {entry.action}: " in body["message"]
    assert entry.subject_id in body["message"]
    assert "Do not run it again." in body["fix"]
    assert f"`scaiwave {COMMANDS[words]}" in body["fix"]
    shown = re.findall("`scaiwave ([^`]*)`", body["fix"])[0]
    assert any(shown.startswith(" ".join(path)) for path in VERBS)


def test_fail_pipes_and_files_of_processes(database_url: str, migrated: str, home: Path) -> None:
    copy_database(migrated, database_url)
    key = "scaiwave admin federation key"
    # The reader is gone before the command writes.
    ended = run_shell(f"{{ {key} generate; echo $? >&3; }} 3>&2 | true")
    assert "[SW_OUTPUT_LOST]\n  Fix: Do not run it again." in ended.err
    assert "federation key generate: server key " in ended.err
    assert ended.err.endswith("1\n")
    # An unbuffered stdout fails at once, and has nothing left to flush.
    ended = run_shell(f"PYTHONUNBUFFERED=1 {key} rotate >/dev/full")
    assert "the work is done: federation key rotate: server key " in ended.err
    # What only reads, or only previews, has done nothing.
    ended = run_shell(f"{{ {key} list; echo $? >&3; }} 3>&2 | true")
    assert ended.err == "0\n"
    ended = run_shell(f"{key} rotate --dry-run >/dev/full")
    assert "No space left to write the output. [SW_DISK_FULL]" in ended.err
    # A second run says that nothing is left to do.
    assert run_scaiwave("admin", "federation", "key", "generate").code == 1
