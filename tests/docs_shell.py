"""Run the fenced commands of a page of the docs as a reader does, one block after the other."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.scaiwave.cli_helpers import CHECKOUT

PROGRAMS = Path(sys.executable).parent
SECONDS = 600
"""A block that takes longer fails its test. Installing packages takes a minute or two."""
PASSWORD = "a long enough passphrase"
SHELLS = ("sh", "console", "crontab")
_FENCE = re.compile(
    r"^( *)(?:<!-- test: ([^>]+) -->\n *)?```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL
)
# The next block has the directory and the variables of this one, as in one terminal.
_SCRIPT = """
set -e
. "$STATE"; cd "$DIRECTORY"
trap 'export -p >"$STATE"; echo "DIRECTORY=$(printf %q "$PWD")" >>"$STATE"' EXIT
"""


@dataclass(frozen=True)
class Block:
    """A fenced block. `marker` is what a comment before it says about how to test it:

    `skip, <reason>`, or `background` for a process that runs until the reader stops it.
    """

    language: str
    text: str
    marker: str

    def find_sessions(self) -> list[tuple[str, list[str]]]:
        """Return every command of the block, with the output that a console block shows."""
        if self.language == "crontab":
            lines = [line.split(None, 5)[5] for line in self.text.splitlines()]
            return [(line, []) for line in lines]
        if self.language == "sh":
            return [(self.text, [])]
        sessions: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                sessions.append((line[2:], []))
            else:
                sessions[-1][1].append(line)
        return sessions


def find_blocks(page: str) -> list[Block]:
    """Return the blocks of commands, without the indentation of lists."""
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    blocks = [
        Block(language, re.sub(rf"^{indent}", "", body, flags=re.MULTILINE), marker)
        for indent, marker, language, body in _FENCE.findall(text)
    ]
    return [block for block in blocks if block.language in SHELLS]


def find_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Reader:
    """Someone at a terminal in a directory, who has ports and directories of their own.

    `replaced` has texts of the page and what this reader types in their place.
    """

    def __init__(
        self, directory: Path, environment: Mapping[str, str], replaced: Mapping[str, str]
    ) -> None:
        self.directory = directory
        ports = {"8790": str(find_free_port()), "8000": str(find_free_port())}
        self.replaced = {**ports, ". .venv/bin/activate": ":", **replaced}
        self.ports = {"sandbox": int(ports["8790"]), "": int(ports["8000"])}
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SCAIWAVE_", "DJANGO_", "PYTHON"))
        }
        self._environment = {
            **inherited,
            "HOME": str(directory),
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{ports['8000']} --workers=1",
            "STATE": str(directory / ".state"),
            **environment,
        }
        (directory / ".curlrc").write_text("fail-with-body\n")  # a refused request ends the block
        (directory / ".state").write_text(f"DIRECTORY='{directory}'\n")
        self._processes: list[subprocess.Popen[bytes]] = []

    def type(self, text: str) -> str:
        """Return a text of the page as this reader types it."""
        parts = "|".join(map(re.escape, self.replaced))
        return re.sub(parts, lambda match: self.replaced[match[0]], text)

    def read(self, text: str) -> str:
        """Return a printed text as the page has it."""
        for theirs in ("8790", "8000"):
            text = text.replace(self.replaced[theirs], theirs)
        return text

    def run(self, command: str, code: int = 0) -> str:
        """Run a command at a terminal, and answer its questions for a password; return its stdout.

        stdout is a pipe, since a table at a terminal has the width of the terminal.
        """
        text = self.type(command)
        ours, theirs = pty.openpty()
        process = self._start(text, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        assert process.stdout is not None
        out = process.stdout.fileno()
        printed = {out: b"", ours: b""}
        reading, deadline = {out, ours}, time.monotonic() + SECONDS
        with process:
            while reading and time.monotonic() < deadline:
                for file in select.select(reading, [], [], 1)[0]:
                    if chunk := _read(file):
                        printed[file] += chunk
                    else:
                        reading.remove(file)
                    if file == ours and re.search(rb"assword[^\n]*: ?$", chunk):
                        os.write(ours, f"{PASSWORD}\n".encode())
            if reading:
                os.killpg(process.pid, signal.SIGKILL)
        os.close(ours)
        texts = [each.decode(errors="replace") for each in printed.values()]
        assert process.returncode == code, "\n".join([text, *texts])
        return self.read(texts[0])

    def start(self, command: str) -> None:
        """Start a server, and wait until it accepts connections."""
        process = self._start(self.type(command), stdin=subprocess.DEVNULL)
        self._processes.append(process)
        port = next(port for word, port in self.ports.items() if word in command)
        deadline = time.monotonic() + SECONDS
        while True:
            assert process.poll() is None, command
            assert time.monotonic() < deadline, command
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.1)

    def stop(self) -> None:
        while self._processes:
            process = self._processes.pop()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                process.wait(SECONDS)

    def _start(
        self, text: str, stdin: int, stdout: int | None = None, stderr: int | None = None
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["bash", "-c", f"{_SCRIPT}{text}"],
            env=self._environment,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=self.directory,
            start_new_session=True,
        )


def _read(file: int) -> bytes:
    try:
        return os.read(file, 65536)
    except OSError:  # Linux reports EIO if the other end of a terminal is closed
        return b""


@contextmanager
def open_terminal(
    directory: Path,
    environment: Mapping[str, str] | None = None,
    replaced: Mapping[str, str] | None = None,
) -> Iterator[Reader]:
    reader = Reader(directory, environment or {}, replaced or {})
    try:
        yield reader
    finally:
        reader.stop()
