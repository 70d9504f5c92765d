"""A shell at a terminal, in which keys are pressed."""

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
SECONDS = 20
"""After which a shell that has not answered is a failure."""


class Shell:
    """`scaiwave` is a function in it that shows the words it is called with, as «words»."""

    def __init__(self, terminal: int) -> None:
        self._terminal = terminal
        self._shown = ""

    def run(self, keys: str) -> str:
        """Press these keys at the next prompt, and return; what `scaiwave` was called with."""
        self._until(re.escape(PROMPT))
        os.write(self._terminal, f"{keys}\n".encode())
        return self._until("«(.*?)»").group(1)

    def completions(self, line: str) -> list[str]:
        """What the last word is replaced with by one press of the Tab key, which is to be bound
        to whatever inserts everything there is."""
        before, _, last = line.rpartition(" ")
        words = self.run(f"{line}\t").split(" ")[len(before.split(" ")) - 1 :]
        return [word for word in words if word and word != last]

    def _until(self, pattern: str) -> re.Match[str]:
        deadline = time.monotonic() + SECONDS
        while not (match := re.search(pattern, self._shown)):
            if not select.select([self._terminal], [], [], deadline - time.monotonic())[0]:
                raise AssertionError(f"the shell has not shown {pattern!r} but {self._shown!r}")
            self._shown += os.read(self._terminal, 65536).decode(errors="replace")
        self._shown = self._shown[match.end() :]
        return match


@contextmanager
def shell(command: Sequence[str], home: Path) -> Iterator[Shell]:
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
