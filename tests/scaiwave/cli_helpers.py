"""Run the console script in a separate process, in a pipe or at a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# What the installed script contains, wherever it is installed.
SCRIPT = (sys.executable, "-c", "import sys; from scaiwave.cli import main; sys.exit(main())")
EXAMPLE_APP = {"DJANGO_SETTINGS_MODULE": "tests.scaiwave.example_app.settings"}
# For helpers that use the example app otherwise, which has no tenants or rooms.
SUITE = {"DJANGO_SETTINGS_MODULE": "scaiwave.settings"}
# For a process whose files may not grow: it would leave a part of a module that it compiles.
NO_BYTECODE = {"PYTHONDONTWRITEBYTECODE": "1"}
TIMEOUT_SECONDS = 300
"""A process that runs longer fails its test. Beside other work one of 15 seconds takes a minute."""


@dataclass(frozen=True)
class ProcessResult:
    code: int
    out: str
    err: str


def run_process(command: Sequence[str], **environment: str) -> ProcessResult:
    """Run a command in the checkout, with stdin, stdout and stderr that are not a terminal."""
    completed = subprocess.run(
        command,
        env={**os.environ, **environment},
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    return ProcessResult(completed.returncode, completed.stdout, completed.stderr)


@contextmanager
def start_process(command: Sequence[str], **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command like `run_process`, and kill it at the end if it is still running."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def run_scaiwave(*words: str, **environment: str) -> ProcessResult:
    return run_process([*SCRIPT, *words], **environment)


def run_example(*words: str, **environment: str) -> ProcessResult:
    """Run a command of `tests.scaiwave.example_app`."""
    return run_scaiwave(*words, **EXAMPLE_APP, **environment)


def start_example(*words: str, **environment: str) -> AbstractContextManager[subprocess.Popen[str]]:
    """Start a command of the example app."""
    return start_process([*SCRIPT, *words], **{**EXAMPLE_APP, **environment})


def run_shell(line: str, **environment: str) -> ProcessResult:
    """Run a line of POSIX shell in which `scaiwave` is the console script, of the example app."""
    script = f'scaiwave() {{ "{SCRIPT[0]}" -c "{SCRIPT[2]}" "$@"; }}\n{line}'
    return run_process(["sh", "-c", script], **{**EXAMPLE_APP, **environment})


def run_at_terminal(*words: str, keys: str = "", **environment: str) -> ProcessResult:
    """Run a command of the example app at a terminal of 80 columns; `out` is what it shows."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*SCRIPT, *words],
        env={**os.environ, **EXAMPLE_APP, "TERM": "xterm", "COLUMNS": "80", **environment},
        cwd=CHECKOUT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.write(ours, keys.encode())
    shown = b""
    with process:
        while chunk := _read(ours):
            shown += chunk
    os.close(ours)
    return ProcessResult(process.returncode, shown.decode().replace("\r\n", "\n"), "")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux reports EIO if the other end is closed
        return b""
