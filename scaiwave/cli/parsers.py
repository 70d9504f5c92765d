"""Parsers that report usage errors like all other errors, also as JSON."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import NoReturn

from scaiwave.errors import UsageError


class UsageErrorMixin:
    """Mix into a subclass of ArgumentParser."""

    prog: str

    def error(self, message: str) -> NoReturn:
        raise UsageError(
            message[:1].upper() + message[1:].rstrip(".") + ".",
            fix=f"Run `{self.prog} --help` for usage.",
        )


class ScriptParser(UsageErrorMixin, ArgumentParser):
    """The parser of scripts, which run inside `scaiwave.cli.run_guarded`."""
