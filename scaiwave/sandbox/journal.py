"""Mutations that outlive the process: one JSON line each, replayed at the next start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from scaiwave.sandbox.errors import ForeignState

FILE = "mutations.jsonl"


class Journal:
    """The first line names the directory (seed and sizes) that the mutations were made to."""

    def __init__(self, state_dir: Path, *, directory: dict[str, int]) -> None:
        self.path = state_dir / FILE
        self._directory = directory
        state_dir.mkdir(parents=True, exist_ok=True)

    def replay(self) -> list[dict[str, Any]]:
        """Everything that was recorded; a line that a killed process left unfinished is cut off.

        Raises ForeignState when the file belongs to a directory of other seed or sizes.
        """
        whole = self._whole_lines()
        if not whole:
            self._append(self._directory)
            return []
        entries = [msgspec.json.decode(line) for line in whole.splitlines()]
        if entries[0] != self._directory:
            raise ForeignState(
                f"{self.path} belongs to a sandbox with {_words(entries[0])}.",
                fix="Start it with those, or with another --state-dir, or remove the file.",
            )
        return entries[1:]

    def _whole_lines(self) -> bytes:
        if not self.path.exists():
            return b""
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if whole != content:
            os.truncate(self.path, len(whole))
        return whole

    def record(self, operation: str, arguments: dict[str, Any]) -> None:
        self._append({"op": operation, **arguments})

    def _append(self, entry: dict[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.write(msgspec.json.encode(entry) + b"\n")


def _words(directory: dict[str, int]) -> str:
    return ", ".join(f"--{name} {value}" for name, value in directory.items())
