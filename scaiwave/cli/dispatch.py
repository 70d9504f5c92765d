"""Runs one management command in this process, and returns its exit code."""

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

# Django's own words, which are not commands of an application.
_OF_DJANGO = ("help", "version")
# Commands of Django's that this suite keeps from its operators: what they would do, and what
# there is instead.
_REFUSED = {
    "diffsettings": (
        "would print secrets",
        "`scaiwave sync show-config` shows what is configured, with secrets masked.",
    ),
    "flush": (
        "would empty the audit, which is append-only",
        "To begin anew, make an empty database and run `scaiwave manage migrate`.",
    ),
}


def dispatch(command: str, arguments: Sequence[str]) -> int:
    """Run `manage`, or the command of a verb, with these arguments."""
    signal.signal(signal.SIGTERM, _terminate)
    try:
        with translate_errors():
            _manage(arguments) if command == "manage" else _verb(command, arguments)
    except SystemExit as stop:
        return _exit_code(stop)
    finally:
        connections.close_all()
    return 0


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Leave through the finally blocks, so that locks and transactions are let go."""
    raise TerminationSignal


def _verb(command: str, arguments: Sequence[str]) -> None:
    django.setup()
    load_command_class(get_commands()[command], command).run_from_argv(
        ["scaiwave", command, *arguments]
    )


def _manage(arguments: Sequence[str]) -> None:
    django.setup()  # before it, Django knows of no application's commands
    name = arguments[0] if arguments else "help"
    if name in _REFUSED:
        why, instead = _REFUSED[name]
        raise UsageError(f"`scaiwave manage {name}` {why}.", fix=instead)
    if not name.startswith("-") and name not in _OF_DJANGO and name not in get_commands():
        raise _no_such_command(name)
    try:
        execute_from_command_line(["scaiwave manage", *arguments])
    except EOFError:
        raise ConfirmationNeeded(
            f"`scaiwave manage {name}` asks a question, and nobody is there to answer it.",
            fix="Run it at a terminal, or pass --no-input to agree beforehand.",
        ) from None


def _no_such_command(name: str) -> UsageError:
    near = get_close_matches(name, get_commands(), n=1)
    return UsageError(
        f"There is no command `scaiwave manage {name}`.",
        fix=f"Did you mean `scaiwave manage {near[0]}`?"
        if near
        else "`scaiwave manage help` lists the commands.",
    )


def _exit_code(stop: SystemExit) -> int:
    if stop.code is None or isinstance(stop.code, int):
        return stop.code or 0
    sys.stderr.write(f"{stop.code}\n")
    return 1
