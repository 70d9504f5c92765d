"""`scaiwave room convert` and `room match-people` as processes, without a database or network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rooms.conversion.factories import make_slack_message, make_slack_tree, write_tree
from tests.scaiwave.cli_helpers import CHECKOUT

NOWHERE = "postgres://x@127.0.0.1:1/none"


def run(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "SCAIWAVE_HOME": str(tmp_path / "home"), "SCAIWAVE_DB_URL": NOWHERE, "PATH": "/usr/bin",
        "SCAIWAVE_SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJ",
        "LANG": "C.UTF-8",
    }  # fmt: skip
    (tmp_path / "home").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "scaiwave.cli", *words],
        cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> str:
    files = [{"id": "F1", "name": "lost.txt"}]
    message = make_slack_message(0, "Hello", files=files, pinned_to=["C1"])
    return str(write_tree(tmp_path / "slack", make_slack_tree(message)))


def test_success_text(tmp_path: Path, source: str) -> None:
    ended = run(tmp_path, "room", "convert", "slack", source, "--output-dir", f"{tmp_path}/out")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines() == [
        "Not in the bundles:",
        "Count  What                            For example",
        "    1  file that is not in the export  general/2024-01-01.json#1",
        "Changed on the way:",
        "Count  What                    For example",
        "    1  pin, carried as a text  general/2024-01-01.json#1",
        "Converted 1 room with 2 events.",
        f"The full account is in {tmp_path}/out/conversion.json.",
    ]


def test_success_json_dry_run(tmp_path: Path, source: str) -> None:
    words = ("room", "convert", "slack", source, "--output-dir", f"{tmp_path}/out")
    ended = run(tmp_path, *words, "--dry-run", "--json")
    assert (ended.returncode, ended.stderr) == (0, "")
    document = json.loads(ended.stdout)
    assert (document["changed"], document["dry_run"]) == (True, True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("slack", "nothing.zip", "--output-dir", "out"), 1, "SW_ROOM_SOURCE_UNREADABLE"),
        (("slack", "{source}", "--output-dir", "{tmp}/out", "--only", "x"), 2, "SW_USAGE"),
    ],
)
def test_fail(tmp_path: Path, source: str, words: list[str], code: int, text: str) -> None:
    filled = [word.format(source=source, tmp=tmp_path) for word in words]
    ended = run(tmp_path, "room", "convert", *filled)
    assert ended.returncode == code
    assert text in ended.stderr
    assert "Traceback" not in ended.stderr
