"""Command-line completion: a self-contained script for each shell.

Generating a script reads the options of all commands, which takes a second. The script holds them
as a table that it searches itself. Only for the slugs of tenants and roles it runs a command.
"""

from __future__ import annotations

from scaiwave.cli.completion.scripts import SHELLS, get_completion_script

__all__ = ["SHELLS", "get_completion_script"]
