"""What makes the suite's commands ordinary commands of Django: for manage.py and `call_command`.

The console script calls `run_from_argv` with the program name `scaiwave`, and is strict: it takes
only the options of the command and gets the suite's own errors. manage.py has Django's options
too, and Python code that uses `call_command` gets a `CommandError`.
"""

from __future__ import annotations

import sys
import traceback
from argparse import ArgumentParser
from typing import NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser

from scaiwave import __version__
from scaiwave.cli.parsers import UsageErrorMixin
from scaiwave.core.errors import ScaiWaveError, UsageError

STRICT_PROGRAM = "scaiwave"


class CommandFailed(CommandError):
    """`error` is the suite's own, and `returncode` its exit code."""

    def __init__(self, error: ScaiWaveError) -> None:
        fix = f"\n  Fix: {error.fix}" if error.fix else ""
        super().__init__(f"{error.message} [{error.code}]{fix}", returncode=error.exit_code)
        self.error = error


class VerbParser(UsageErrorMixin, CommandParser):
    """The parser of a command's options."""

    def raise_error(self, error: UsageError) -> NoReturn:
        if self.called_from_command_line:
            raise error
        raise CommandFailed(error) from error


class DjangoCommand(BaseCommand):
    """The base of `OperatorCommand` that raises the errors that a caller expects."""

    _called_from_command_line = False

    def get_version(self) -> str:
        return f"scaiwave {__version__}"

    def execute(self, *args: object, **options: object) -> str | None:
        try:
            return super().execute(*args, **options)
        except ScaiWaveError as error:
            if options.get("traceback"):
                traceback.print_exc(file=sys.stderr)
            if self._called_from_command_line:
                raise
            raise CommandFailed(error) from error


def add_django_options(parser: ArgumentParser, version: str, *, strict: bool) -> None:
    """Add the options that Django reads of every command; hidden, as they are Django's.

    `strict` sets their defaults only. manage.py has already applied --settings and --pythonpath.
    """
    if strict:
        parser.set_defaults(
            settings=None,
            pythonpath=None,
            traceback=False,
            no_color=True,
            force_color=False,
            skip_checks=True,
        )
        return
    group = parser.add_argument_group("Django's options")
    group.add_argument("--version", action="version", version=version)
    group.add_argument("--settings", metavar="MODULE", help="settings module")
    group.add_argument("--pythonpath", metavar="DIRECTORY", help="directory of Python modules")
    group.add_argument("--traceback", action="store_true", help="traceback of errors")
    colors = group.add_mutually_exclusive_group()
    colors.add_argument("--no-color", action="store_true", help="output without colours")
    colors.add_argument("--force-color", action="store_true", help="output with colours")
    group.add_argument("--skip-checks", action="store_true", help="no system checks")
