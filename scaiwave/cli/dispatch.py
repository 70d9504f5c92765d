"""Run one management command in this process, and return its exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from difflib import get_close_matches
from importlib.util import find_spec
from itertools import takewhile
from shlex import join, quote
from types import FrameType
from typing import NoReturn

import django
from django.core.management import (
    execute_from_command_line,
    get_commands,
    load_command_class,
)
from django.core.management.base import CommandParser
from django.db import DEFAULT_DB_ALIAS, connections

from scaiwave.cli.verbs import VERBS, find_longest_match
from scaiwave.config.database import is_missing_file
from scaiwave.config.web_libraries import require_web_libraries
from scaiwave.core.errors import ConfirmationNeeded, TerminationSignal, UsageError
from scaiwave.storage.error_mapping import missing_file_error, translate_errors
from scaiwave.storage.schema_version import known_schema_required

# Words of Django's that are not commands of an application.
_DJANGO_WORDS = ("help", "version")
# Commands of Django's that operators must not run, with their effect and the alternative.
_RUNS_ANYTHING = "would run whatever Redis contains"
_BLOCKED_COMMANDS = {
    "rqworker-pool": (_RUNS_ANYTHING, "Run `scaiwave worker`, once for each process."),
    "rqcron": ("would enqueue jobs that no worker runs", "Run `scaiwave scheduler`."),
    "rqscheduler": ("would enqueue jobs that no worker runs", "Run `scaiwave scheduler`."),
    "flush": (
        "would delete the audit log, which is append-only",
        "To start over, create an empty database and run `scaiwave manage migrate`.",
    ),
}
# Commands of Django's that show an operator an unknown schema, and ours that use another database.
_SCHEMA_COMMANDS = frozenset(
    {"check", "dbshell", "diffsettings", "help", "shell", "showmigrations"}
    | {"restore_backup", "verify_backup"}
)
# They report an older schema, or back it up before it is migrated.
_COMMANDS_ON_OLDER_SCHEMAS = frozenset({"doctor", "create_backup"})
# They must know every table, so that nothing is left out or left behind.
_COMMANDS_ON_OWN_SCHEMA = frozenset(
    {"migrate", "erase_tenant", "export_participant", "export_tenant", "import_tenant"}
    | {"purge_participant"}
)
# Commands without words: the web server or a service manager starts them through `manage`.
_OWN_PROCESSES = frozenset({"process_webhooks", "rqworker", "run_job"})
# Commands of Django's that start a web server.
_WEB_COMMANDS = frozenset({"runserver", "testserver"})


def dispatch(command: str, arguments: Sequence[str]) -> int:
    """Run `manage`, or a management command of this suite, with these arguments."""
    signal.signal(signal.SIGTERM, _raise_termination)
    name = arguments[0] if command == "manage" and arguments else command
    is_own = name in {*(verb.command for verb in VERBS.values()), *_OWN_PROCESSES}
    allow_older = not is_own or name in _COMMANDS_ON_OLDER_SCHEMAS
    is_exempt = name in _SCHEMA_COMMANDS
    allow_newer = name not in _COMMANDS_ON_OWN_SCHEMA
    check = (
        nullcontext()
        if is_exempt
        else known_schema_required(allow_older=allow_older, allow_newer=allow_newer)
    )
    try:
        with translate_errors(), check:
            if command == "manage":
                _run_manage(arguments)
            else:
                django.setup()
                verb = load_command_class(get_commands()[command], command)
                verb.run_from_argv(["scaiwave", command, *arguments])
    except SystemExit as stop:
        if stop.code is None or isinstance(stop.code, int):
            return stop.code or 0
        sys.stderr.write(f"{stop.code}\n")
        return 1
    finally:
        connections.close_all()
    return 0


def _raise_termination(number: int, frame: FrameType | None) -> NoReturn:
    """Leave through the finally blocks, so that locks are released and transactions rolled back."""
    raise TerminationSignal


def _run_manage(arguments: Sequence[str]) -> None:
    _apply_default_options(arguments)
    django.setup()  # Until then Django doesn't find the commands of applications.
    name = arguments[0] if arguments else "help"
    if name in _BLOCKED_COMMANDS:
        effect, alternative = _BLOCKED_COMMANDS[name]
        raise UsageError(f"`scaiwave manage {quote(name)}` {effect}.", fix=alternative)
    if name in _WEB_COMMANDS:
        require_web_libraries()
    if name == "dbshell" and is_missing_file(connections[DEFAULT_DB_ALIAS].settings_dict):
        raise missing_file_error()  # sqlite3 would create an empty one.
    # The words of the suite's command, typed in place of its name in Django.
    words = find_longest_match([*takewhile(lambda word: not word.startswith("-"), arguments)])
    is_name = len(words) == 1 and words[0] in get_commands()
    if words in VERBS and not is_name:
        raise UsageError(
            f"Unknown command: `scaiwave manage {join(words)}`.",
            fix=f"Run `scaiwave {join(words)}`, or `scaiwave manage {VERBS[words].command}`.",
        )
    if not name.startswith("-") and name not in _DJANGO_WORDS and name not in get_commands():
        raise _unknown_command_error(name)
    try:
        execute_from_command_line(["scaiwave manage", *arguments])
    except EOFError:
        raise ConfirmationNeeded(
            f"`scaiwave manage {quote(name)}` asks for input, and there is no terminal to ask at.",
            fix="Run it in a terminal, or pass --no-input to skip the prompt.",
        ) from None


def _apply_default_options(arguments: Sequence[str]) -> None:
    """Apply --settings and --pythonpath before settings are read, as Django's manage.py does."""
    parser = CommandParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--settings")
    parser.add_argument("--pythonpath")
    parser.add_argument("words", nargs="*")
    options, _ = parser.parse_known_args(arguments)
    if options.pythonpath:
        sys.path.insert(0, options.pythonpath)
    if options.settings:
        if not _has_module(options.settings):
            raise UsageError(
                f"Settings module not found: {options.settings}.",
                fix="Pass --settings scaiwave.settings, or omit it.",
            )
        os.environ["DJANGO_SETTINGS_MODULE"] = options.settings


def _has_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # the package that would contain it
        return False


def _unknown_command_error(name: str) -> UsageError:
    matches = get_close_matches(name, get_commands(), n=1)
    return UsageError(
        f"Unknown command: `scaiwave manage {quote(name)}`.",
        fix=f"Did you mean `scaiwave manage {quote(matches[0])}`?"
        if matches
        else "`scaiwave manage help` lists the commands.",
    )
