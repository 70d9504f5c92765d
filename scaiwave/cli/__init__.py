"""The console script `scaiwave`: from words to a command, and from what happens to an exit code.

In the order in which a command passes through them: `entry` finds the command in the table of
`verbs` without importing Django, `run` sets Django up and runs it, `command` is the base class
of every command, `parsers` holds types of arguments, `completion` writes the shells' completions.
"""

from __future__ import annotations

from scaiwave.cli.entry import main, main_manage, run_guarded, wants_json

__all__ = ["main", "main_manage", "run_guarded", "wants_json"]
