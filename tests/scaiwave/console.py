"""Runs the console script as a process of its own, in a pipe or at a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
# What the installed script says, without depending on where it is installed.
SCRIPT = (sys.executable, "-c", "import sys; from scaiwave.cli import main; sys.exit(main())")
PROBE = {"DJANGO_SETTINGS_MODULE": "tests.scaiwave.probe.settings"}
SECONDS = 60
"""After which a process that should have ended is a failure."""


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


def scaiwave(*words: str, **environment: str) -> Ended:
    """Run it with stdin, stdout and stderr that are no terminal."""
    ended = subprocess.run(
        [*SCRIPT, *words],
        env={**os.environ, **environment},
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def probe(*words: str, **environment: str) -> Ended:
    """Like `scaiwave`, with the commands of `tests.scaiwave.probe`."""
    return scaiwave(*words, **PROBE, **environment)


def shell(line: str, **environment: str) -> Ended:
    """Run a line of POSIX shell in which $SCAIWAVE is the console script."""
    script = f'scaiwave() {{ "{SCRIPT[0]}" -c "{SCRIPT[2]}" "$@"; }}\n{line}'
    ended = subprocess.run(
        ["sh", "-c", script],
        env={**os.environ, **PROBE, **environment},
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@contextmanager
def started(*words: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A running process with the commands of the probe; killed if it is still there at the end."""
    process = subprocess.Popen(
        [*SCRIPT, *words],
        env={**os.environ, **PROBE, **environment},
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


def at_terminal(*words: str, keys: str = "", **environment: str) -> Ended:
    """Run a command of the probe at a terminal of 80 columns; what it shows is in `out`."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*SCRIPT, *words],
        env={**os.environ, **PROBE, "TERM": "xterm", "COLUMNS": "80", **environment},
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
    return Ended(process.returncode, shown.decode().replace("\r\n", "\n"), "")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux says EIO where the other end is closed
        return b""
