"""Run one management command in this process, and return its exit code."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from types import FrameType
from typing import NoReturn

import django
from django.core.management import (
    execute_from_command_line,
    get_commands,
    load_command_class,
)
from django.db import connections

from scaiwave.error_mapping import translate_errors
from scaiwave.errors import ConfirmationNeeded, TerminationSignal, UsageError

# Words of Django's that are not commands of an application.
_DJANGO_WORDS = ("help", "version")
# Commands of Django's that operators must not run: what they would do, and the alternative.
_BLOCKED_COMMANDS = {
    "diffsettings": (
        "would print secrets",
        "`scaiwave sync show-config` shows what is configured, with secrets masked.",
    ),
    "flush": (
        "would delete the audit log, which is append-only",
        "To start over, create an empty database and run `scaiwave manage migrate`.",
    ),
}


def dispatch(command: str, arguments: Sequence[str]) -> int:
    """Run `manage`, or a management command of this suite, with these arguments."""
    signal.signal(signal.SIGTERM, _raise_termination)
    try:
        with translate_errors():
            _run_manage(arguments) if command == "manage" else _run_command(command, arguments)
    except SystemExit as stop:
        return _get_exit_code(stop)
    finally:
        connections.close_all()
    return 0


def _raise_termination(number: int, frame: FrameType | None) -> NoReturn:
    """Leave through the finally blocks, so that locks are released and transactions rolled back."""
    raise TerminationSignal


def _run_command(command: str, arguments: Sequence[str]) -> None:
    django.setup()
    load_command_class(get_commands()[command], command).run_from_argv(
        ["scaiwave", command, *arguments]
    )


def _run_manage(arguments: Sequence[str]) -> None:
    django.setup()  # Until then Django doesn't find the commands of applications.
    name = arguments[0] if arguments else "help"
    if name in _BLOCKED_COMMANDS:
        effect, alternative = _BLOCKED_COMMANDS[name]
        raise UsageError(f"`scaiwave manage {name}` {effect}.", fix=alternative)
    if not name.startswith("-") and name not in _DJANGO_WORDS and name not in get_commands():
        raise _unknown_command_error(name)
    try:
        execute_from_command_line(["scaiwave manage", *arguments])
    except EOFError:
        raise ConfirmationNeeded(
            f"`scaiwave manage {name}` asks for input, and there is no terminal to ask at.",
            fix="Run it in a terminal, or pass --no-input to skip the prompt.",
        ) from None


def _unknown_command_error(name: str) -> UsageError:
    matches = get_close_matches(name, get_commands(), n=1)
    return UsageError(
        f"Unknown command: `scaiwave manage {name}`.",
        fix=f"Did you mean `scaiwave manage {matches[0]}`?"
        if matches
        else "`scaiwave manage help` lists the commands.",
    )


def _get_exit_code(stop: SystemExit) -> int:
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    sys.stderr.write(f"{stop.code}\n")
    return 1
