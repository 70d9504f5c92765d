"""Interactive shells at a pseudo-terminal, to test what the Tab key completes."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PROMPT = "your turn: "
TIMEOUT_SECONDS = 20
"""A shell that does not respond in that time fails its test."""


class Shell:
    """A shell with a function `scaiwave` that prints its arguments, as «arguments»."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._shown = ""

    def run(self, keys: str) -> str:
        """Press these keys and Return at the next prompt; return the arguments of `scaiwave`."""
        self._read_until(re.escape(PROMPT))
        os.write(self._terminal, f"{keys}\n".encode())
        return self._read_until("«(.*?)»").group(1)

    def completions(self, line: str) -> list[str]:
        """Return what one press of the Tab key replaces the last word with.

        The key must be bound to the function that inserts all completions.
        """
        before, _, last = line.rpartition(" ")
        words = self.run(f"{line}\t").split(" ")[len(before.split(" ")) - 1 :]
        return [word for word in words if word and word != last]

    def _read_until(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not (match := re.search(pattern, self._shown)):
            if not select.select([self._terminal], [], [], deadline - time.monotonic())[0]:
                raise AssertionError(f"The shell printed {self._shown!r}, without {pattern!r}.")
            self._shown += os.read(self._terminal, 65536).decode(errors="replace")
        self._shown = self._shown[match.end() :]
        return match


@contextmanager
def open_shell(command: Sequence[str], home: Path) -> Iterator[Shell]:
    ours, theirs = pty.openpty()
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "ZDOTDIR": str(home)}
    process = subprocess.Popen(
        command,
        env={**environment, "TERM": "dumb", "LC_ALL": "C.UTF-8"},
        cwd=home,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    with process:
        try:
            yield Shell(ours)
        finally:
            process.kill()
            os.close(ours)
