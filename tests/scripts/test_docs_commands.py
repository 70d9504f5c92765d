"""Whatever the pages tell an operator to type is there: the verb, and each of its options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from scaiwave.cli.verbs import VERBS, VerbPath

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if path.name != "CHANGELOG.md")
CODE = re.compile(r"^ *```.*?^ *```|`[^`]+`", re.MULTILINE | re.DOTALL)
# Up to where the shell, a comment, or the text goes on.
COMMAND = re.compile(r"(?:^|[\s`/(;&|])scaiwave ([a-z-][^|<>;&)`#…\n]*)", re.MULTILINE)
# Commands of the system that have the name of the user or of a directory as an argument.
OTHER_PROGRAMS = re.compile(r"^ *(?:useradd|install) .*$", re.MULTILINE)
OTHERS = {"manage", "help", "--help", "--version", "verb", "test"}


def typed(text: str) -> Iterator[list[str]]:
    """Every `scaiwave …` in code, as words, up to the end of the command."""
    for code in CODE.findall(text):
        # Places to be filled in are words like others; a backslash joins lines, and so does prose.
        plain = re.sub(r"<([a-z ]+)>", "X", OTHER_PROGRAMS.sub("", code)).replace("\\\n", " ")
        if "```" not in code:
            plain = plain.replace("\n", " ")
        for words in COMMAND.findall(plain):
            try:
                yield shlex.split(words)
            except ValueError:  # a quotation mark of the shell around the command
                yield words.replace('"', "").replace("'", "").split()


def verb_of(words: list[str]) -> VerbPath:
    for length in range(len(words), 0, -1):
        if (found := tuple(words[:length])) in VERBS:
            return found
    return ()


def wrong(words: list[str]) -> list[str]:
    """What of it there is not."""
    if not words or words[0] in OTHERS:
        return []
    verb = verb_of(words)
    if not verb:
        return words[:1]
    name = VERBS[verb].command
    parser = load_command_class(get_commands()[name], name).create_parser("scaiwave", name)
    known = {spelling for action in parser._actions for spelling in action.option_strings}
    options = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
    return [option for option in options if option not in known]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_success_every_command_is_there(page: Path) -> None:
    commands = list(typed(page.read_text(encoding="utf-8")))
    assert [(words, wrong(words)) for words in commands if wrong(words)] == []


def test_success_commands_are_found() -> None:
    text = (
        "Run `scaiwave sync\n--dry-run`, not scaiwave home.\n\n"
        "```sh\nH=/var/scaiwave /opt/scaiwave sync --quiet >/dev/null && scaiwave doctor\n```\n"
    )
    assert list(typed(text)) == [["sync", "--dry-run"], ["sync", "--quiet"], ["doctor"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("`scaiwave snyc`", ["snyc"]), ("`scaiwave sync --alow-removals 3`", ["--alow-removals"])],
)
def test_fail_what_is_not_there(text: str, expected: list[str]) -> None:
    assert [wrong(words) for words in typed(text)] == [expected]
