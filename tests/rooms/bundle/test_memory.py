"""What a check takes does not grow with the number of events, and nothing of it stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from rooms.errors import BundleError
from tests.rooms.bundle.corpus_archives import ARCHIVES
from tests.rooms.bundle.corpus_events import EVENTS
from tests.rooms.bundle.factories import (
    encode_manifest,
    make_event,
    make_manifest,
    make_manifest_bundle,
    make_reaction,
    validate,
)

pytestmark = [pytest.mark.once, pytest.mark.fresh_interpreter]

CHECKOUT = Path(__file__).parents[3]
MEASURE = """
import pathlib, resource, sys
from rooms.bundle.reader import read_bundle
with open(sys.argv[1], "rb") as file, read_bundle(file, max_bytes=2**30) as bundle:
    print(sum(map(len, bundle.iter_batches())))
# On Linux the other account begins with what the parent had.
status = pathlib.Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
peaks = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
print(peaks[0] if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(path: Path, events: int) -> int:
    """Return the peak memory of a process that reads so many events, in the unit of the system."""
    many = (
        make_reaction(number, to=number - 1) if number % 5 == 0 else make_event(number)
        for number in range(1, events + 1)
    )
    path.write_bytes(make_manifest_bundle(encode_manifest(make_manifest(*many))))
    count, size = map(int, run(MEASURE, path).split())
    assert count == events
    return size


def run(program: str, path: Path) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, path],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_success_memory_does_not_grow_with_the_bundle(tmp_path: Path) -> None:
    few, many = peak(tmp_path / "few.zip", 5_000), peak(tmp_path / "many.zip", 20_000)
    assert many < few * 1.1


def test_success_no_temporary_file_remains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite reads its directory from another variable."""
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    many = make_manifest_bundle(
        encode_manifest(make_manifest(*[make_event(n) for n in range(1, 3000)]))
    )
    with validate(many) as found:
        assert sum(map(len, found.iter_batches())) == 2999
    for raw in (
        many[:5000],
        ARCHIVES["wrong checksum"](),
        make_manifest_bundle(encode_manifest(EVENTS["event ids twice"])),
    ):
        with pytest.raises(BundleError):
            validate(raw)
    assert list(tmp_path.glob("*etilqs*")) == []


FULL = """
import resource, sys
from rooms.bundle.reader import read_bundle
from scaiwave.core.errors import DiskFull
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    with open(sys.argv[1], "rb") as file:
        read_bundle(file, max_bytes=2**30)
except DiskFull as error:
    print(error.code)
"""


def test_fail_disk_full(tmp_path: Path) -> None:
    many = make_manifest(*[make_event(number) for number in range(1, 50_000)])
    (tmp_path / "many.zip").write_bytes(make_manifest_bundle(encode_manifest(many)))
    assert run(FULL, tmp_path / "many.zip").split() == ["SW_DISK_FULL"]
