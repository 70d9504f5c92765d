"""Imports as processes: what they print, and two at once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.rooms.imports.bundle_factories import Bundle, make_event
from tests.rooms.imports.conftest import EVENTS, FILES
from tests.rooms.imports.import_environment import IMPORT, ImportEnvironment
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT, run_at_terminal, run_scaiwave

pytestmark = pytest.mark.once

DJANGO = {"DJANGO_SETTINGS_MODULE": "scaiwave.settings"}


def test_success_text_output(site: ImportEnvironment, tmp_path: Path) -> None:
    bundle = Bundle([make_event(1), make_event(2, event_type="swp.room.read_marker", content={})])
    bundle.add("cat.png", b"cat")
    bundle.add("dog.png", b"dog", missing="left out")
    ended = site.run_import(bundle.save(tmp_path / "bundle.zip"))
    ((room,),) = site.rows("SELECT id FROM sw_rooms")
    assert ended.code == 0
    *lines, identity = sorted(ended.out.splitlines(), key=lambda line: line.startswith("ID"))
    assert identity.replace("-", "").endswith(str(room).replace("-", ""))
    assert lines == [
        "Imported room 'Launch' into workspace main.",
        "Name                 Launch",
        "Workspace            main",
        "Signature            unsigned",
        "Events               1",
        "Stripped             1 × swp.room.read_marker",
        "References cut       0",
        "Media stored         1",
        "Media already there  0",
        "Media missing        1",
        "Media infected       0",
    ]
    assert ended.err == (
        "Warning: The bundle is unsigned, so its origin can't be verified.\n"
        "Warning: 1 attachment is missing from the bundle.\n"
    )


def test_success_json_through_a_pipe(site: ImportEnvironment, small: Path) -> None:
    with small.open("rb") as file:
        cat = subprocess.Popen(["cat"], stdin=file, stdout=subprocess.PIPE)
        with cat:
            done = subprocess.run(
                [*SCRIPT, *IMPORT, "--once", "--json"],
                stdin=cat.stdout,
                cwd=CHECKOUT,
                capture_output=True,
                check=True,
            )
    first = json.loads(done.stdout)
    assert (first["changed"], first["room"]["name"], done.stderr) == (True, "Small", b"")
    again = json.loads(site.run_import(small, "--once", "--json").out)
    assert (again["changed"], again["room"]) == (False, first["room"])
    assert site.count("rooms") == 1


def test_success_dry_run(site: ImportEnvironment, large: Path) -> None:
    ended = site.run_import(large, "--dry-run")
    assert ended.code == 0
    assert ended.out.splitlines()[0] == (
        "Would import room 'Launch' into workspace main. No changes were made."
    )
    assert f"Events               {EVENTS:,}" in ended.out
    assert (site.count("rooms"), site.files()) == (0, {})


def test_fail_stdin_is_a_terminal(site: ImportEnvironment) -> None:
    ended = run_at_terminal(*IMPORT, **DJANGO)
    assert (ended.code, site.count("rooms")) == (2, 0)
    assert ended.out == (
        "Error: Can't read a bundle from a terminal. [SW_USAGE]\n"
        "  Fix: Append `< bundle.zip` to the command, or pass --input bundle.zip.\n"
    )


@pytest.mark.parametrize(
    ("name", "why"), [("absent.zip", "No such file or directory"), (".", "Is a directory")]
)
@pytest.mark.usefixtures("site")
def test_fail_file_that_cannot_be_read(name: str, why: str) -> None:
    ended = run_scaiwave(*IMPORT, "--input", name)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        f"Error: Can't read {name}: {why}. [SW_USAGE]\n"
        "  Fix: Pass a readable bundle with --input.\n"
    )


@pytest.mark.usefixtures("site")
def test_fail_empty_input() -> None:
    ended = run_scaiwave(*IMPORT)
    assert (ended.code, ended.out, "[SW_BUNDLE_NOT_ZIP]" in ended.err) == (1, "", True)


def test_fail_larger_than_the_limit(site: ImportEnvironment, large: Path) -> None:
    ended = site.run_import(large, SCAIWAVE_IMPORT_LIMIT_MB="1")
    assert (ended.code, "[SW_BUNDLE_TOO_LARGE]" in ended.err) == (1, True)
    site.assert_clean()


def test_success_two_at_once(site: ImportEnvironment, large: Path) -> None:
    """Both rooms are complete, no position occurs twice, and each file is stored once."""
    with site.start_import(large) as one, site.start_import(large) as two:
        for process in (one, two):
            _, err = process.communicate(timeout=60)
            assert (process.returncode, "Error" in err) == (0, False), err
    assert site.count("rooms") == 2
    site.assert_complete(EVENTS)
    positions = "min(stream_position), max(stream_position), count(DISTINCT stream_position)"
    found = site.rows(f"SELECT {positions} FROM sw_events GROUP BY room_id ORDER BY 1")
    assert found == [(1, EVENTS, EVENTS), (EVENTS + 1, 2 * EVENTS, EVENTS)]
    site.assert_clean()
    assert len(site.files()) == FILES
