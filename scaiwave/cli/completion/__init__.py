"""Completion of the command line: a script for each shell that needs nothing but itself.

Writing a script reads every verb's options once, which takes a second. What is written is a table
and a few lines that look things up in it, so that a key press starts no process.
"""

from __future__ import annotations

from scaiwave.cli.completion import bash, fish, zsh
from scaiwave.cli.completion.tree import build_tree

SCRIPTS = {"bash": bash.script, "zsh": zsh.script, "fish": fish.script}


def completion_script(shell: str) -> str:
    """The script for one of `SCRIPTS`."""
    return SCRIPTS[shell](build_tree())
