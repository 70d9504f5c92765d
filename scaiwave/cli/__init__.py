"""The console script `scaiwave`: it finds the command that was typed, and returns its exit code.

In the order of a command's way through them: `entry` finds the command in the table of
`verbs` without importing Django, `overview` lists the commands and `hints` suggests them,
`dispatch` sets Django up and runs it, `command` is the base class of every command, `parsers` turns
usage errors into the suite's own, and `completion` generates the shells' completion scripts.
"""

from __future__ import annotations

from scaiwave.cli.entry import main, main_manage, run_guarded, wants_json

__all__ = ["main", "main_manage", "run_guarded", "wants_json"]
