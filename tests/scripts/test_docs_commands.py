"""Every command in the docs exists, and so does each of its options."""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from scaiwave.cli.verbs import GROUPS, VERBS, VerbPath

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.name != "CHANGELOG.md")
CODE = re.compile(r"^ *```.*?^ *```|`[^`]+`", re.MULTILINE | re.DOTALL)
# Up to a shell operator, a comment, or the next word of the text.
COMMAND = re.compile(r"(?:^|[\s`/(;&|])scaiwave ([a-z-][^|<>;&)`#…\n]*)", re.MULTILINE)
# System commands with the name of the user or a directory as an argument.
OTHER_PROGRAMS = re.compile(r"^ *(?:useradd|install) .*$", re.MULTILINE)
OTHERS = {"manage", "help", "--help", "--version", "test"}


def find_commands(text: str) -> Iterator[list[str]]:
    """Yield every `scaiwave …` in code as words, up to the end of the command."""
    for code in CODE.findall(text):
        # Placeholders count as words. A backslash joins lines, and so does text outside of blocks.
        plain = re.sub(r"<([a-z ]+)>", "X", OTHER_PROGRAMS.sub("", code)).replace("\\\n", " ")
        if "```" not in code:
            plain = plain.replace("\n", " ")
        for words in COMMAND.findall(plain):
            try:
                yield shlex.split(words)
            except ValueError:  # the command is inside a quoted argument
                yield words.replace('"', "").replace("'", "").split()


def find_verb(words: list[str]) -> VerbPath:
    for length in range(len(words), 0, -1):
        if (path := tuple(words[:length])) in VERBS:
            return path
    return ()


@functools.cache
def list_options(verb: VerbPath) -> set[str]:
    name = VERBS[verb].command
    parser = load_command_class(get_commands()[name], name).create_parser("scaiwave", name)
    return {spelling for action in parser._actions for spelling in action.option_strings}


def find_unknown(words: list[str]) -> list[str]:
    """Return the words of the command that don't exist."""
    if not words or words[0] in OTHERS or (tuple(words[:-1]) in GROUPS and words[-1] == "--help"):
        return []
    verb = find_verb(words)
    if not verb:
        return words[:1]
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return [option for option in options if option not in list_options(verb)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_success_every_documented_command_exists(page: Path) -> None:
    commands = list(find_commands(page.read_text(encoding="utf-8")))
    assert [(words, find_unknown(words)) for words in commands if find_unknown(words)] == []


def test_success_commands_are_found() -> None:
    text = (
        "Run `scaiwave sync\n--dry-run`, not scaiwave home.\n\n"
        "```sh\nH=/var/scaiwave /opt/scaiwave sync --quiet >/dev/null && scaiwave doctor\n```\n"
    )
    assert list(find_commands(text)) == [["sync", "--dry-run"], ["sync", "--quiet"], ["doctor"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("`scaiwave snyc`", ["snyc"]), ("`scaiwave sync --alow-removals 3`", ["--alow-removals"])],
)
def test_fail_unknown_commands_are_reported(text: str, expected: list[str]) -> None:
    assert [find_unknown(words) for words in find_commands(text)] == [expected]
