"""Parsers that report usage errors like all other errors, also as JSON, and types of options."""

from __future__ import annotations

import sys
from argparse import SUPPRESS, Action, ArgumentError, ArgumentParser, ArgumentTypeError
from collections.abc import Iterable, Sequence
from itertools import pairwise, takewhile
from typing import Any, NoReturn

from scaiwave.core.errors import UsageError

USAGE_WIDTH = 80
MAX_DIGITS = 9


def positive_int(text: str) -> int:
    """Parse a whole number above 0."""
    if not text.isdecimal() or whole_number(text) == 0:
        raise ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def whole_number(text: str) -> int:
    """Parse a whole number of 0 or more, which a database and a C int can have."""
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    if len(text) > MAX_DIGITS:
        raise ArgumentTypeError(f"the number has {len(text):,} digits (maximum {MAX_DIGITS})")
    return int(text)


class UsageErrorMixin(ArgumentParser):
    """Mix into a subclass of ArgumentParser.

    Errors show the usage line, and the nearest option or choice for one that is unknown.
    """

    _typed: Sequence[str] = ()
    _hint = ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._typed = list(sys.argv[1:] if args is None else args)
        return super().parse_known_args(args, namespace)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        parsed, rest = self.parse_known_args(args, namespace)
        if rest:
            first = next(word for word in rest if word != "--")
            if first.startswith("-"):
                self.raise_error(self._unknown_option_error(first))
            self.raise_error(UsageError(f"Unexpected argument: {first}.", fix=self._usage_fix()))
        return parsed

    def error(self, message: str) -> NoReturn:
        """Report an unknown option first: an argument that seems to be missing is often its."""
        for word in takewhile(lambda word: word != "--", self._typed):
            if word.startswith("--") and word.partition("=")[0] not in self._option_string_actions:
                self.raise_error(self._unknown_option_error(word))
        known = self._option_string_actions
        for option, word in pairwise(self._typed):
            needs_value = option in known and known[option].nargs is None
            if needs_value and word[:1] == "-" and word[1:2].isalpha() and word not in known:
                self._hint = f"Did you mean `{option}={word}`? "
        sentence = message[:1].upper() + message[1:].rstrip(".") + "."
        self.raise_error(UsageError(sentence, fix=f"{self._hint}{self._usage_fix()}"))

    def _check_value(self, action: Action, value: object) -> None:
        """Python's own check, with one text in all its versions."""
        if action.choices is None or value in action.choices:
            return
        choices = list(map(str, action.choices))
        self._hint = _format_nearest(str(value), choices, cutoff=0.6)
        problem = f"invalid choice: {value!r} (choose from {', '.join(choices)})"
        raise ArgumentError(action, problem)

    def raise_error(self, error: UsageError) -> NoReturn:
        raise error

    def _unknown_option_error(self, word: str) -> UsageError:
        option = word.partition("=")[0]
        known = [
            name
            for name, action in self._option_string_actions.items()
            if name.startswith("--") and action.help != SUPPRESS
        ]
        hint = _format_nearest(option, known, cutoff=0.7)
        return UsageError(f"Unknown option: {option}.", fix=f"{hint}{self._usage_fix()}")

    def _usage_fix(self) -> str:
        return f"Use `{' '.join(_list_usage(self))}`; `--help` lists the options."


def _format_nearest(typed: str, known: Iterable[str], *, cutoff: float) -> str:
    from difflib import get_close_matches

    nearest = get_close_matches(typed, list(known), n=1, cutoff=cutoff)
    return f"Did you mean `{nearest[0]}`? " if nearest else ""


class ScriptParser(UsageErrorMixin, ArgumentParser):
    """The parser of scripts, which run inside `scaiwave.cli.run_guarded`."""


def format_usage(parser: ArgumentParser) -> str:
    """Return the usage of a command, with required arguments by name and all else as [options]."""
    prog, *parts = _list_usage(parser)
    lines = [prog]
    indent = min(len(prog), USAGE_WIDTH - len("usage:  ") - max(map(len, parts)))
    for part in parts:
        if len(f"usage: {lines[-1]} {part}") > USAGE_WIDTH:
            lines.append(" " * indent)
        lines[-1] += f" {part}"
    return "\n       ".join(lines).replace("%", "%%")


def _list_usage(parser: ArgumentParser) -> list[str]:
    """Return the program and the parts of its usage. Each stays in one line."""
    groups = [
        group
        for group in parser._mutually_exclusive_groups
        if group.required or not all(action.option_strings for action in group._group_actions)
    ]
    grouped = {id(action) for group in groups for action in group._group_actions}
    single = [action for action in parser._actions if id(action) not in grouped]
    positionals = [
        f"[{_format_action(action)}]" if action.nargs in ("?", "*") else _format_action(action)
        for action in single
        if not action.option_strings
    ]
    choices = [f"({' | '.join(map(_format_action, group._group_actions))})" for group in groups]
    required = [
        _format_option(action)
        for action in single
        if (bool(action.option_strings) and action.required)
    ]
    return [parser.prog, *positionals, *required, *choices, "[options]"]


def _format_action(action: Action) -> str:
    return _format_option(action) if action.option_strings else f"<{_get_value_name(action)}>"


def _format_option(action: Action) -> str:
    flag = action.option_strings[-1]
    return flag if action.nargs == 0 else f"{flag} {_get_value_name(action).upper()}"


def _get_value_name(action: Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar if action.option_strings else action.metavar.lower()
    return "|".join(map(str, action.choices)) if action.choices else action.dest
