"""The console script: from words to a verb, and from whatever happens to an exit code.

Nothing of Django is imported before a verb runs, so that help and refusals are instant. The
table of verbs is an allow-list too: `scaiwave flush` is not a verb, however well Django knows it.
The words are the platform's own (ScaiWave docs, reference/cli).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import TextIO

from scaiwave import __version__
from scaiwave.cli.verbs import (
    EXIT_CODES,
    GROUPS,
    VERBS,
    VerbPath,
    canonical_path,
    find_longest_match,
    subcommands,
    suggest,
)
from scaiwave.errors import (
    Interrupted,
    LibraryMissing,
    ProcessInterrupted,
    ScaiWaveError,
    Terminated,
    TerminationSignal,
    UsageError,
)

BEGAN = time.time()
"""Seconds since 1970: this module is the first that the console script imports."""

SETTINGS_MODULE = "scaiwave.settings"
HELP = ("--help", "-h")
OURS = frozenset({"scaiwave", "tenants", "federation", "rooms", "identity_sync"})


def main(argv: Sequence[str] | None = None) -> int:
    """Run what the words say; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_guarded(lambda: _run(words), as_json=wants_json(words))


def main_manage(argv: Sequence[str]) -> int:
    """Django's own commands, with our errors for what an operator can cause."""
    return run_guarded(lambda: _django("manage", *argv, profile="full"), as_json=wants_json(argv))


def wants_json(words: Sequence[str]) -> bool:
    return not {"--json", "--jsonl"}.isdisjoint(takewhile(lambda word: word != "--", words))


def report_error(error: ScaiWaveError, *, as_json: bool) -> int:
    """Say on stderr what went wrong; returns its exit code."""
    from scaiwave.console.output import standard_output

    standard_output(as_json=as_json).print_error(error)
    return error.exit_code


def _run(words: list[str]) -> int:
    match words:
        case []:
            sys.stderr.write(format_verb_tree())
            return UsageError.exit_code
        case ["--version" | "-V"]:
            sys.stdout.write(f"scaiwave {__version__}\n")
            return 0
        case ["--help" | "-h"] | ["help"] | ["help", "help" | "--help" | "-h"]:
            sys.stdout.write(format_verb_tree())
            return 0
        case ["help", "manage", *rest]:
            return _django("manage", *rest, "--help", profile="full")
        case ["help", *rest]:
            return _help(rest)
        case ["manage", *rest]:
            return _django("manage", *rest, profile="full")
    return _verb_or_group(words)


def _help(words: list[str]) -> int:
    found = find_longest_match(words)
    if found != tuple(words):
        raise _no_such_verb(words)
    return _verb_or_group([*found, HELP[0]])


def _verb_or_group(words: list[str]) -> int:
    leading = list(takewhile(lambda word: not word.startswith("-"), words))
    found = find_longest_match(leading)
    rest = words[len(found) :]
    if found in VERBS and (len(found) == len(leading) or not subcommands(found)):
        return _verb(found, rest)
    if found in GROUPS and len(found) == len(leading):
        return _group(found, rest)
    raise _no_such_verb(leading) if leading else _options_first(rest)


def _verb(words: VerbPath, rest: list[str]) -> int:
    verb = VERBS[words]
    return _django(verb.command, *rest, profile=verb.profile)


def _group(words: VerbPath, rest: list[str]) -> int:
    """A group is no verb: it shows what is in it, and fails unless that was asked for."""
    if rest and rest[0] not in HELP:
        raise _options_first(rest, *words)
    (sys.stdout if rest else sys.stderr).write(format_verb_tree(words))
    return 0 if rest else UsageError.exit_code


def _options_first(rest: Sequence[str], *before: str) -> UsageError:
    known = " ".join(("scaiwave", *before))
    return UsageError(
        f"`{known}` needs a verb before {rest[0]}.",
        fix=f"Write options after the verb; `{known} --help` lists the verbs.",
    )


def _no_such_verb(words: Sequence[str]) -> UsageError:
    hint = " or ".join(f"`scaiwave {name}`" for name in suggest(words))
    return UsageError(
        f"There is no verb `scaiwave {' '.join(words)}`.",
        fix=f"Did you mean {hint}?" if hint else "`scaiwave --help` lists the verbs.",
    )


def format_verb_tree(under: VerbPath = ()) -> str:
    """The verbs below some words, as help."""
    usage = " ".join(("scaiwave", *under))
    lines = [f"Usage: {usage} <verb> [options]", ""]
    if not under:
        lines += ["The operator suite of the ScaiWave chat platform.", ""]
    entries = [(" ".join(words), _summary(words)) for words in subcommands(under)]
    if not under:
        entries += [
            ("manage <command>", "Django's own commands: migrate, check, changepassword …"),
            ("help <verb>", "the options, examples and exit codes of a verb"),
        ]
    width = max(len(words) for words, _ in entries)
    lines += [f"  {words:<{width}}  {summary}" for words, summary in entries]
    codes = ["Exit codes:", *(f"  {code}  {meaning}" for code, meaning in EXIT_CODES)]
    return "\n".join([*lines, "", *codes]) + "\n"


def _summary(words: VerbPath) -> str:
    if alias := canonical_path(words):
        return f"the same as {' '.join(alias)}"
    return VERBS[words].help


def _django(command: str, *arguments: str, profile: str) -> int:
    os.environ["SCAIWAVE_PROFILE"] = profile
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS_MODULE)
    from scaiwave.cli.dispatch import dispatch

    return dispatch(command, arguments)


def run_guarded(act: Callable[[], int], *, as_json: bool) -> int:
    """Run something as a well-behaved process; returns its exit code.

    Errors are said on stderr, a signal undoes what was begun, and a reader who has had enough
    (`scaiwave … | head -1`) is no error.
    """
    _prepare_streams()
    try:
        code = act()
        sys.stdout.flush()
    except ScaiWaveError as error:
        code = report_error(error, as_json=as_json)
    except KeyboardInterrupt as signal:
        code = report_error(_stopped(signal), as_json=as_json)
    except OSError as error:
        code = _after_system_error(error, as_json=as_json)
    except ModuleNotFoundError as error:
        code = report_error(_library_missing(error), as_json=as_json)
    for stream in (sys.stdout, sys.stderr):
        if not _flushes(stream):
            _mute(stream)
    return code


def _library_missing(error: ModuleNotFoundError) -> LibraryMissing:
    """A module of ours that is missing is a defect, and keeps its traceback."""
    library = (error.name or "").partition(".")[0]
    if not library or library in OURS:
        raise error
    return LibraryMissing(f"{sys.executable} has no {library}.")


def _stopped(signal: KeyboardInterrupt) -> ProcessInterrupted:
    if isinstance(signal, TerminationSignal):
        return Terminated("Terminated.")
    return Interrupted("Interrupted.")


def _after_system_error(error: OSError, *, as_json: bool) -> int:
    if isinstance(error, BrokenPipeError) and _is_unread(sys.stdout):
        return 0
    from scaiwave.error_mapping import map_os_error

    if (ours := map_os_error(error)) is None:
        raise error
    return report_error(ours, as_json=as_json)


def _prepare_streams() -> None:
    """Have an stdout and an stderr that take any text, even where the shell has closed them."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
        reconfigure = getattr(getattr(sys, name), "reconfigure", None)
        if reconfigure:
            reconfigure(errors="backslashreplace")


def _is_unread(stream: TextIO) -> bool:
    """Whether the other end of a pipe is closed."""
    from select import POLLERR, POLLHUP, poll

    watched = poll()
    watched.register(stream.fileno(), 0)  # these two are always reported
    return any(event & (POLLERR | POLLHUP) for _, event in watched.poll(0))


def _flushes(stream: TextIO) -> bool:
    try:
        stream.flush()
    except OSError:
        return False
    return True


def _mute(stream: TextIO) -> None:
    """Let go of what can't be written; Python would try again at exit, and complain."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
