"""Parsers whose usage errors look like every other error, JSON included."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import NoReturn

from scaiwave.errors import UsageError


class UsageErrorMixin:
    """To be mixed into a parser of whatever kind."""

    prog: str

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            message[:1].upper() + message[1:].rstrip(".") + ".",
            fix=f"`{self.prog} --help` lists what it takes.",
        )


class ScriptParser(UsageErrorMixin, ArgumentParser):
    """For the scripts, which parse inside `scaiwave.cli.guarded`."""
