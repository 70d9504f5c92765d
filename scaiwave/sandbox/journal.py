"""The journal of mutations: one JSON line each, replayed at the next start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from scaiwave.sandbox.errors import ForeignState

FILE_NAME = "mutations.jsonl"


class Journal:
    """The first line holds the seed and sizes of the directory that the mutations belong to."""

    def __init__(self, state_dir: Path, *, directory: dict[str, int]) -> None:
        self.path = state_dir / FILE_NAME
        self._directory = directory
        state_dir.mkdir(parents=True, exist_ok=True)

    def replay(self) -> list[dict[str, Any]]:
        """Return all recorded mutations. An incomplete last line is removed from the file.

        Raises ForeignState if the file belongs to a directory with another seed or other sizes.
        """
        lines = self._read_complete_lines().splitlines()
        if not lines:
            self._append(self._directory)
            return []
        entries = [msgspec.json.decode(line) for line in lines]
        if entries[0] != self._directory:
            options = _format_options(entries[0])
            raise ForeignState(
                f"State directory belongs to another sandbox: {self.path}, {options}.",
                fix="Use these options or another --state-dir, or delete the file.",
            )
        return entries[1:]

    def _read_complete_lines(self) -> bytes:
        if not self.path.exists():
            return b""
        content = self.path.read_bytes()
        complete = content[: content.rfind(b"\n") + 1]
        if complete != content:
            os.truncate(self.path, len(complete))
        return complete

    def record(self, operation: str, arguments: dict[str, Any]) -> None:
        self._append({"op": operation, **arguments})

    def _append(self, entry: dict[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")


def _format_options(directory: dict[str, int]) -> str:
    return ", ".join(f"--{name} {value}" for name, value in directory.items())
