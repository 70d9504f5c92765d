"""The tree of commands and options, from the table of commands and the parser of each."""

from __future__ import annotations

from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from django.core.management import get_commands, load_command_class

from scaiwave.cli.verbs import GROUPS, VERBS, VerbPath, canonical_path, subcommands

# Words that are not in the table; `help` takes the words of a command.
BUILT_IN_WORDS = {
    "help": "Show the options and examples of a command",
    "manage": "Run a Django command",
}


class CompletionType(Enum):
    """The kind of value that an option or a positional argument takes."""

    NOTHING = ""
    WORD = "word"
    FILE = "file"
    TENANTS = "tenants"
    ROLES = "roles"


LISTED = {"tenant": CompletionType.TENANTS, "role": CompletionType.ROLES}
"""The values that `scaiwave completion` lists, by the name of the option or argument."""


@dataclass(frozen=True)
class Value:
    """The value of an option or positional argument; `choices` may be empty."""

    kind: CompletionType = CompletionType.NOTHING
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    flags: tuple[str, ...]
    help: str
    value: Value


@dataclass(frozen=True)
class Node:
    """The words that were typed, and the possible next ones."""

    words: VerbPath
    verbs: dict[str, str] = field(default_factory=dict)
    options: tuple[Option, ...] = ()
    positional: Value = Value()

    @property
    def path(self) -> str:
        return " ".join(self.words)

    @property
    def valued_options(self) -> list[Option]:
        return [each for each in self.options if each.value.kind is not CompletionType.NOTHING]


def build_tree() -> list[Node]:
    """Return the nodes of the root, of `help`, of every group and of every command."""
    root = {**_list_next_words(()), **BUILT_IN_WORDS}
    return [
        Node((), root),
        Node(("help",), {**root, "exit-codes": "Show what the exit codes mean"}),
        *map(_build_node, sorted(GROUPS)),
        *map(_build_node, VERBS),
    ]


def _build_node(words: VerbPath) -> Node:
    verb = VERBS.get(words)
    if verb is None:
        return Node(words, _list_next_words(words))
    command = load_command_class(get_commands()[verb.command], verb.command)
    sortable = tuple(getattr(command, "sortable", ()))
    parser = command.create_parser("scaiwave", verb.command)
    positionals = [_get_value(action) for action in parser._actions if not action.option_strings]
    return Node(
        words,
        _list_next_words(words),
        tuple(_list_options(parser, sortable)),
        positionals[0] if positionals else Value(),
    )


def _list_next_words(words: VerbPath) -> dict[str, str]:
    """Return the next words below these, each with the help of its command or its group."""
    length = len(words)
    next_words: dict[str, str] = {}
    for longer in subcommands(words):
        child = longer[: length + 1]
        next_words.setdefault(child[-1], _get_summary(child))
    return next_words


def _get_summary(words: VerbPath) -> str:
    if words in GROUPS:
        return ", ".join(dict.fromkeys(longer[len(words)] for longer in subcommands(words)))
    if alias := canonical_path(words):
        return f"Same as {' '.join(alias)}"
    return VERBS[words].help


def _list_options(parser: ArgumentParser, sortable: tuple[str, ...]) -> Iterator[Option]:
    formatter = parser._get_formatter()
    for action in parser._actions:
        if action.option_strings and action.help != SUPPRESS:
            text = formatter._expand_help(action) if action.help else ""
            is_sort = action.dest == "sort"
            value = Value(CompletionType.WORD, sortable) if is_sort else _get_value(action)
            yield Option(tuple(action.option_strings), " ".join(text.split()), value)


def _get_value(action: Action) -> Value:
    if action.nargs == 0:
        return Value()
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    if (kind := LISTED.get(name.lower())) and not action.choices:
        return Value(kind)
    is_file = action.metavar == "FILE" or action.type is Path
    choices = tuple(map(str, action.choices or ()))
    return Value(CompletionType.FILE if is_file else CompletionType.WORD, choices)
