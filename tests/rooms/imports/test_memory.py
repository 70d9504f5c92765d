"""A room of many events takes no more memory than one of few, on its way out and in again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rooms.imports.import_environment import IMPORT, ImportEnvironment
from tests.scaiwave.cli_helpers import CHECKOUT
from tests.tools import NIGHTLY

pytestmark = [pytest.mark.once, pytest.mark.fresh_interpreter]

EVENTS = int(os.environ.get("SCAIWAVE_TEST_EVENTS", "60000" if NIGHTLY else "6000"))
MOST = 100 * 1024
"""Kilobytes."""

# A process inherits the peak of its parent, except in the kernel's own figure.
_TELL_PEAK = """
import sys
from scaiwave.cli import main
code = main()
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")), file=sys.stderr)
sys.exit(code)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux reports the peak")
def test_success_memory_does_not_grow_with_the_room(
    site: ImportEnvironment, tmp_path: Path
) -> None:
    few, many = (_peaks(tmp_path / f"{events}.zip", events) for events in (EVENTS // 10, EVENTS))
    assert site.rows("SELECT count(*) FROM sw_room_imports") == [(2,)]
    assert max(few + many) < MOST, (few, many)
    for small, large in zip(few, many, strict=True):
        assert abs(large - small) < small / 10, (few, many)


def _peaks(bundle: Path, events: int) -> tuple[int, int]:
    """Of the export of such a room, and of its import."""
    seeded = run_measured(
        "manage", "seed_rooms", "--tenant", "acme", "--events", str(events), "--json"
    )
    (room,) = json.loads(seeded.stdout)["rooms"]
    out = run_measured("room", "export", room["id"], "--tenant", "acme", "--output", str(bundle))
    into = run_measured(*IMPORT, "--input", str(bundle))
    return get_peak(out), get_peak(into)


def run_measured(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _TELL_PEAK, *words],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
        text=True,
    )


def get_peak(ended: subprocess.CompletedProcess[str]) -> int:
    """Kilobytes that it took at most."""
    return int(ended.stderr.split()[-1])
