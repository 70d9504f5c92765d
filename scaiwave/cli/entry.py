"""The console script: it finds the command that was typed, and turns errors into exit codes.

Django is imported only when a command runs, so that help and usage errors are instant. The table
of commands is an allow-list: `scaiwave flush` is not a command, although Django has one of that
name. The words are given by the platform (ScaiWave docs, reference/cli).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import TextIO

from scaiwave import __version__
from scaiwave.cli.overview import (
    format_exit_codes,
    format_group,
    format_manage_help,
    format_overview,
    read_page,
)
from scaiwave.cli.verbs import GROUPS, VERBS, find_longest_match, subcommands
from scaiwave.console.text import get_width, wrap_words
from scaiwave.core.completed_work import describe_works, forget_completed, list_completed
from scaiwave.core.errors import (
    DatabaseUnreachable,
    DiskFull,
    Interrupted,
    LibraryMissing,
    LostAfterCommit,
    OutputLost,
    ScaiWaveError,
    Terminated,
    TerminationSignal,
    UsageError,
)

STARTED_AT = time.time()
"""Unix seconds. This is the first module that the console script imports."""

_words: list[str] = list(sys.argv[1:])
"""The typed words, for errors that quote them."""

SETTINGS_MODULE = "scaiwave.settings"
_CONSOLE_DIRECTORY = os.path.join(os.path.dirname(os.path.dirname(__file__)), "console", "")  # noqa: PTH118, PTH120 - pathlib is slow to import
HELP_OPTIONS = ("--help", "-h")
OWN_PACKAGES = frozenset({"scaiwave", "tenants", "federation", "rooms", "identity_sync"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that was typed, and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    _words[:] = words
    return run_guarded(lambda: _run_words(words), as_json=wants_json(words))


def main_manage(argv: Sequence[str]) -> int:
    """Run one of Django's commands, and return its exit code."""
    _words[:] = argv
    return run_guarded(
        lambda: _run_django("manage", *argv, profile="full"), as_json=wants_json(argv)
    )


def wants_json(words: Sequence[str]) -> bool:
    return not {"--json", "--jsonl"}.isdisjoint(takewhile(lambda word: word != "--", words))


def report_error(error: ScaiWaveError, *, as_json: bool) -> int:
    """Print an error to stderr, and return its exit code.

    This is the one place where the input that errors quote is shortened.
    """
    from scaiwave.console.output import make_standard_output
    from scaiwave.console.text import shorten_input

    error.message = shorten_input(error.message, _words)
    error.fix = shorten_input(error.fix, _words)
    make_standard_output(as_json=as_json).print_error(error)
    return error.exit_code


def _run_words(words: list[str]) -> int:
    at = words.index("help") if "help" in words else 0
    if at and subcommands(tuple(words[:at])):  # as in `admin help`
        words = ["help", *words[:at], *words[at + 1 :]]
    if page := _find_page(words):
        return _print_help(page)
    match words:
        case []:
            return _print_help(format_overview(), is_error=True)
        case ["help", "manage", *rest]:
            return _run_django("manage", *rest, "--help", profile="full")
        case ["help", *rest]:
            matched = find_longest_match(rest)
            if matched != tuple(rest):
                raise _unknown_command_error(rest)
            return _run_verb_or_group([*matched, HELP_OPTIONS[0]])
        case ["manage", *rest]:
            return _run_django("manage", *rest, profile="full")
    return _run_verb_or_group(words)


def _find_page(words: list[str]) -> str:
    """Return the text to print if the words ask for one that needs no command."""
    match words:
        case ["--version" | "-V"]:
            return f"scaiwave {__version__}\n"
        case ["--help" | "-h"] | ["help"] | ["help", "help" | "--help" | "-h"]:
            return format_overview()
        case ["manage"] | ["manage", "help" | "--help" | "-h"] | ["help", "manage"]:
            return format_manage_help()
        case ["help", "exit-codes"]:
            return format_exit_codes()
    return ""


def _run_verb_or_group(words: list[str]) -> int:
    command_words = list(takewhile(lambda word: not word.startswith("-"), words))
    matched = find_longest_match(command_words)
    rest = words[len(matched) :]
    if matched in VERBS and (len(matched) == len(command_words) or not subcommands(matched)):
        verb = VERBS[matched]
        if len(rest) == 1 and rest[0] in HELP_OPTIONS:
            return _print_help(read_page(verb.command))
        return _run_django(verb.command, *rest, profile=verb.profile)
    if matched in GROUPS and len(matched) == len(command_words):
        # Without --help this is a usage error.
        if rest and rest[0] not in HELP_OPTIONS:
            raise _misplaced_option_error(rest, *matched)
        return _print_help(format_group(matched), is_error=not rest)
    raise _unknown_command_error(command_words) if command_words else _misplaced_option_error(rest)


def _print_help(text: str, *, is_error: bool = False) -> int:
    stream = sys.stderr if is_error else sys.stdout
    width = get_width(stream)
    for line in text.splitlines():  # Examples, without columns, stay whole, to be copied.
        stream.write(f"{line if line.rfind('  ') == 0 else wrap_words(line, width)}\n")
    return UsageError.exit_code if is_error else 0


def _misplaced_option_error(rest: Sequence[str], *group: str) -> UsageError:
    prefix = " ".join(("scaiwave", *group))
    return UsageError(
        f"`{prefix}` needs a command before {rest[0]}.",
        fix=f"Write options after the command. `{prefix} --help` lists the commands.",
    )


def _unknown_command_error(words: Sequence[str]) -> UsageError:
    from shlex import join

    from scaiwave.cli.hints import find_fix

    return UsageError(f"Unknown command: `scaiwave {join(words)}`.", fix=find_fix(words))


def _run_django(command: str, *arguments: str, profile: str) -> int:
    # Whether the command prints only help, or a completion script.
    options = takewhile(lambda word: word != "--", arguments)
    is_help = command == "completion" or not {*HELP_OPTIONS}.isdisjoint(options)
    is_help = is_help or (command == "manage" and arguments[:1] == ("help",))
    os.environ["SCAIWAVE_PROFILE"] = profile
    os.environ["SCAIWAVE_HELP"] = "1" if is_help else ""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS_MODULE)
    from scaiwave.cli.dispatch import dispatch

    return dispatch(command, arguments)


def run_guarded(function: Callable[[], int], *, as_json: bool) -> int:
    """Run a function, and return the exit code of the process.

    Errors and signals are reported on stderr. It is not an error if the reader closes the pipe, as
    in `scaiwave … | head -1`.
    """
    _prepare_streams()
    forget_completed()
    try:
        code = function()
        sys.stdout.flush()
    except ScaiWaveError as error:
        lost = _find_lost_output(error.__cause__) if isinstance(error, DiskFull) else None
        code = report_error(lost or _add_saved_works(error), as_json=as_json)
    except KeyboardInterrupt as signal:
        is_termination = isinstance(signal, TerminationSignal)
        stop = Terminated("Terminated.") if is_termination else Interrupted("Interrupted.")
        code = report_error(stop, as_json=as_json)
    except OSError as error:
        code = _report_system_error(error, as_json=as_json)
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        if not library or library in OWN_PACKAGES:
            raise
        missing = LibraryMissing(f"Python library not found: {library} (in {sys.executable}).")
        code = report_error(missing, as_json=as_json)
    for stream in (sys.stdout, sys.stderr):
        if not _try_flush(stream):
            _discard_output(stream)
    return code


def _add_saved_works(error: ScaiWaveError) -> ScaiWaveError:
    """Return the error of a lost database, with the changes that were saved before, if any."""
    if not isinstance(error, DatabaseUnreachable) or not (works := list_completed()):
        return error
    return LostAfterCommit(
        f"{error.message} Before that, changes were saved: {describe_works(works)}.",
        fix=f"Run `{works[-1].command}` to see the result, and this command again only if some of "
        "it is missing.",
    )


def _report_system_error(error: OSError, *, as_json: bool) -> int:
    if (lost := _find_lost_output(error)) is not None:
        return report_error(lost, as_json=as_json)
    if isinstance(error, BrokenPipeError) and _has_no_reader(sys.stdout):
        return 0
    from scaiwave.storage.error_mapping import map_os_error

    if (mapped := map_os_error(error)) is None:
        raise error
    return report_error(mapped, as_json=as_json)


def _find_lost_output(error: BaseException | None) -> OutputLost | None:
    """Return the error about work that is done, if it is stdout that can't be written."""
    if not isinstance(error, OSError) or not (works := list_completed()):
        return None
    if not _is_about_output(error):
        return None
    if not _try_flush(sys.stdout):
        _discard_output(sys.stdout)
    return OutputLost(
        f"The output can't be written ({error.strerror}), but the work is done: "
        f"{describe_works(works)}.",
        fix=f"Do not run it again. `{works[-1].command}` shows the result.",
    )


def _is_about_output(error: OSError) -> bool:
    """Return whether output was written when the error was raised.

    It was if the last flush raised it, or a function of the modules that print. An unbuffered
    stdout has nothing left that could be flushed again, to see whether that fails.
    """
    files, step = [], error.__traceback__
    while step is not None:
        files.append(step.tb_frame.f_code.co_filename)
        step = step.tb_next
    printed = any(file.startswith(_CONSOLE_DIRECTORY) for file in files)
    return printed or files[-1:] == [__file__] or not _try_flush(sys.stdout)


def _prepare_streams() -> None:
    """Make stdout and stderr accept any text, even if the shell has closed them."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")


def _has_no_reader(stream: TextIO) -> bool:
    """Whether the other end of a pipe is closed."""
    from select import POLLERR, POLLHUP, poll

    poller = poll()
    poller.register(stream.fileno(), 0)  # These two events are always reported.
    return any(event & (POLLERR | POLLHUP) for _, event in poller.poll(0))


def _try_flush(stream: TextIO) -> bool:
    try:
        stream.flush()
    except OSError:
        return False
    return True


def _discard_output(stream: TextIO) -> None:
    """Discard buffered output that can't be written, so that Python does not retry at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
