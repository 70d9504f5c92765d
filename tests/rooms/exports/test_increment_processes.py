"""Exports of increments and merges that are killed, or whose disk is full."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.rooms.exports.processes import EVENTS, EXPORT, Server, is_zip, start_export
from tests.scaiwave.cli_helpers import run_scaiwave

pytestmark = pytest.mark.once
FULL_DISK = (
    "import resource, sys; sys.dont_write_bytecode = True; "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))"
)


@pytest.fixture
def base(server: Server, tmp_path: Path) -> Path:
    """A base, after which the room grew."""
    base = tmp_path / "0000.zip"
    assert run_scaiwave(*EXPORT, "--output", str(base)).code == 0
    server.add_events(EVENTS + 1, EVENTS + 3000)
    return base


def increment_words(base: Path) -> tuple[str, ...]:
    target = base.with_name("0001.zip")
    return (*EXPORT, "--since-bundle", str(base), "--output", str(target))


def merge_words(base: Path) -> tuple[str, ...]:
    return ("room", "merge", str(base.parent), "--output", str(base.with_name("whole.zip")))


def require_complete(base: Path) -> None:
    """Run both commands to their end, and check that nothing else is there."""
    link, whole = base.with_name("0001.zip"), base.with_name("whole.zip")
    if not link.exists():
        assert run_scaiwave(*increment_words(base)).code == 0
    assert run_scaiwave(*merge_words(base), "--force").code == 0
    ended = run_scaiwave("room", "verify", "--chain", str(base.parent), "--json")
    (chain,) = json.loads(ended.out)["chains"]
    assert [row["events"] for row in chain["links"]] == [EVENTS, EVENTS + 3000]
    assert run_scaiwave("room", "diff", str(whole), str(link)).out.splitlines()[-1] == (
        "The bundles do not differ."
    )
    # A killed process may have left no cache.
    names = {path.name for path in base.parent.iterdir() if path.is_file()}
    assert names - {".scaiwave-chain-index"} == {"0000.zip", "0001.zip", "whole.zip"}


@pytest.mark.parametrize("delay", [0.3, 0.8, 1.2, 1.6, 2.2])
def test_fail_killed(base: Path, delay: float) -> None:
    """Whatever it was doing, its file is complete or absent."""
    for words in (increment_words(base), merge_words(base)):
        with start_export(*words) as process:
            time.sleep(delay)
            process.kill()
        target = Path(words[-1])
        assert not target.exists() or is_zip(target.read_bytes())
        if words[1] == "export" and not target.exists():
            assert run_scaiwave(*words).code == 0
    require_complete(base)


def test_fail_full_disk(base: Path) -> None:
    for words in (increment_words(base), merge_words(base)):
        with start_export(*words, prepare=FULL_DISK) as process:
            _, err = process.communicate(timeout=60)
        assert (process.returncode, b"[SW_DISK_FULL]" in err) == (1, True), err
        assert not Path(words[-1]).exists()
        assert run_scaiwave(*words).code == 0
    require_complete(base)
