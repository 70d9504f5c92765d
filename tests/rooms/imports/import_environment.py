"""A separate server whose imports are processes, with ways to stop them and to check the result."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.databases import RawDatabase
from tests.scaiwave.cli_helpers import CHECKOUT, NO_BYTECODE, SCRIPT, ProcessResult

IMPORT = ("room", "import", "main", "--tenant", "acme", "--as", "anna@example.com")
PATIENCE = 60.0
"""Seconds."""


@dataclass(frozen=True)
class ImportEnvironment(RawDatabase):
    """`home` has the media store; the database has the tenant of `places.make_home`."""

    home: Path

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM sw_{table}")[0][0])

    @contextmanager
    def start_import(
        self, bundle: Path, *words: str, largest_file: int | None = None, **changes: str
    ) -> Iterator[subprocess.Popen[str]]:
        """Start an import; kill it at the end if it is still running.

        `largest_file` limits the size of each file that it writes, in bytes.
        """
        process = subprocess.Popen(
            [*SCRIPT, *IMPORT, "--input", str(bundle), *words],
            env={**os.environ, **changes, **(NO_BYTECODE if largest_file is not None else {})},
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if largest_file is not None:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest_file, largest_file))
        with process:
            try:
                yield process
            finally:
                process.kill()

    def run_import(
        self, bundle: Path, *words: str, largest_file: int | None = None, **changes: str
    ) -> ProcessResult:
        with self.start_import(bundle, *words, largest_file=largest_file, **changes) as process:
            out, err = process.communicate(timeout=PATIENCE)
        return ProcessResult(process.returncode, out, err)

    def wait_until_released(self) -> None:
        """Wait until PostgreSQL has noticed that a client was killed, and releases its locks."""
        if self.is_postgres:
            wait_for(lambda: not self.locks("locktype = 'advisory'"))

    def wait_for_intent(self, process: subprocess.Popen[str], *, files: int = 0) -> None:
        """Wait until the import has announced its files and stored this many, or has ended."""
        directory = self.home / "media" / "tenant"
        wait_for(
            lambda: (
                process.poll() is not None
                or (self.count("import_intents") and sum(1 for _ in directory.glob("*/*")) >= files)
            )
        )

    def files(self) -> dict[str, int]:
        """Return the size of every file in the media store, drafts included."""
        root = self.home / "media"
        found = (path for path in root.rglob("*") if path.is_file())
        return {str(path.relative_to(root)): path.stat().st_size for path in found}

    def assert_complete(self, events: int) -> None:
        """Check that every room has this many events, one member and a source, and nothing else."""
        rooms = self.count("rooms")
        counts = self.rows("SELECT room_id, count(*) FROM sw_events GROUP BY room_id")
        assert [count for _, count in counts] == [events] * rooms
        assert self.count("room_members") == self.count("room_imports") == rooms

    def assert_clean(self) -> None:
        """Check that exactly the files with rows are stored, and that no import is announced."""
        assert self.count("import_intents") == 0
        rows = self.rows("SELECT tenant_id, sha256, size FROM sw_media")
        wanted = {f"tenant/{_hyphens(str(key))}/{sha256}": size for key, sha256, size in rows}
        assert self.files() == wanted


def _hyphens(key: str) -> str:
    """SQLite keeps ids as 32 digits."""
    digits = key.replace("-", "")
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "-".join(parts)


def wait_for(sign: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not sign():
        assert time.monotonic() < deadline
        time.sleep(0.01)
