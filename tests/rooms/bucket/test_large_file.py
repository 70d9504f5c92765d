"""A large file goes through a bucket in flat memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.rooms.bucket.environment import BucketEnvironment
from tests.rooms.imports.import_environment import IMPORT
from tests.rooms.imports.test_memory import get_peak, run_measured
from tests.tools import NIGHTLY

pytestmark = [
    pytest.mark.once,
    pytest.mark.ci,
    pytest.mark.fresh_interpreter,
    pytest.mark.only_on("sqlite"),
    pytest.mark.skipif(
        not Path("/proc/self/status").exists(), reason="only Linux reports the peak"
    ),
]

LARGE_BYTES = 1_000_000_000 if NIGHTLY else 64 * 1024**2
SMALL_BYTES = 1000
# Parts of 8 MiB wait, are sent, and are copied for a moment: 85 MB for 1 GB, and the same for 2 GB.
MAX_EXTRA_KILOBYTES = 12 * 8 * 1024
MAX_EXTRA_KILOBYTES_OF_EXPORT = 12 * 1024


def test_success_memory_does_not_grow_with_the_file(
    site: BucketEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export needs no temporary file either: a disk of its own would be needed for it."""
    temporary = tmp_path / "temporary"
    monkeypatch.setenv("TMPDIR", str(temporary / "does-not-exist"))
    small, large = (
        _get_peaks(tmp_path / f"{size}.zip", size) for size in (SMALL_BYTES, LARGE_BYTES)
    )
    limits = (MAX_EXTRA_KILOBYTES, MAX_EXTRA_KILOBYTES_OF_EXPORT, MAX_EXTRA_KILOBYTES)
    for less, more, limit in zip(small, large, limits, strict=True):
        assert more - less < limit, (small, large)
    site.assert_clean()


def _get_peaks(bundle: Path, size: int) -> tuple[int, int, int]:
    """Return the peaks of seeding, export and import, in kilobytes."""
    seed = ("manage", "seed_rooms", "--tenant", "lab", "--events", "1", "--media", "1", "--json")
    seeded = run_measured(*seed, "--media-bytes", str(size))
    (room,) = json.loads(seeded.stdout)["rooms"]
    export = run_measured("room", "export", room["id"], "--tenant", "lab", "--output", str(bundle))
    imported = run_measured(*IMPORT, "--input", str(bundle))
    return get_peak(seeded), get_peak(export), get_peak(imported)
