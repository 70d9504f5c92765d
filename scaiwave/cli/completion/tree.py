"""What can follow which words, from the table of verbs and the parser of each."""

from __future__ import annotations

from argparse import SUPPRESS, Action, ArgumentParser
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from django.core.management import get_commands, load_command_class

from scaiwave.cli.verbs import GROUPS, VERBS, VerbPath, canonical_path, subcommands

# Words that are no verb; `help` takes the words of one.
BESIDES = {
    "help": "the options, examples and exit codes of a verb",
    "manage": "Django's own commands",
}


class CompletionType(Enum):
    """What an option or a place has to be followed or filled by."""

    NOTHING = ""
    WORD = "word"
    FILE = "file"


@dataclass(frozen=True)
class Value:
    """`choices` are all there are, if there are any."""

    asks: CompletionType = CompletionType.NOTHING
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Option:
    flags: tuple[str, ...]
    help: str
    value: Value


@dataclass(frozen=True)
class Node:
    """A place in the tree: what has been typed, and what may come next."""

    words: VerbPath
    verbs: dict[str, str] = field(default_factory=dict)
    options: tuple[Option, ...] = ()
    place: Value = Value()

    @property
    def typed(self) -> str:
        return " ".join(self.words)


def build_tree() -> list[Node]:
    """The beginning, every group and every verb."""
    return [Node((), {**_verbs(()), **BESIDES}), *map(_node, sorted(GROUPS)), *map(_node, VERBS)]


def _node(words: VerbPath) -> Node:
    verb = VERBS.get(words)
    if verb is None:
        return Node(words, _verbs(words))
    command = load_command_class(get_commands()[verb.command], verb.command)
    parser = command.create_parser("scaiwave", verb.command)
    places = [_value(action) for action in parser._actions if not action.option_strings]
    return Node(words, _verbs(words), tuple(_options(parser)), places[0] if places else Value())


def _verbs(words: VerbPath) -> dict[str, str]:
    """The next word of each verb below these, and what it does; a group does nothing itself."""
    length = len(words)
    found: dict[str, str] = {}
    for longer in subcommands(words):
        child = longer[: length + 1]
        found.setdefault(child[-1], _summary(child))
    return found


def _summary(words: VerbPath) -> str:
    if words in GROUPS:
        return ", ".join(dict.fromkeys(longer[len(words)] for longer in subcommands(words)))
    if alias := canonical_path(words):
        return f"the same as {' '.join(alias)}"
    return VERBS[words].help


def _options(parser: ArgumentParser) -> Iterator[Option]:
    formatter = parser._get_formatter()
    for action in parser._actions:
        if action.option_strings and action.help != SUPPRESS:
            told = formatter._expand_help(action) if action.help else ""
            yield Option(tuple(action.option_strings), " ".join(told.split()), _value(action))


def _value(action: Action) -> Value:
    if action.nargs == 0:
        return Value()
    is_file = action.metavar == "FILE" or action.type is Path
    choices = tuple(map(str, action.choices or ()))
    return Value(CompletionType.FILE if is_file else CompletionType.WORD, choices)
