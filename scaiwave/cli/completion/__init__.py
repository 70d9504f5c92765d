"""Command-line completion: a self-contained script for each shell.

Generating a script reads the options of all commands, which takes a second. The script holds them
as a table that it searches itself, so that completion starts no process.
"""

from __future__ import annotations

from scaiwave.cli.completion import bash, fish, zsh
from scaiwave.cli.completion.tree import build_tree

SCRIPTS = {"bash": bash.build_script, "zsh": zsh.build_script, "fish": fish.build_script}


def get_completion_script(shell: str) -> str:
    """Return the script for one of `SCRIPTS`."""
    return SCRIPTS[shell](build_tree())
