"""VERBS: the table of commands, with what each runs and its line of help. It is read without
importing Django from `commands.tsv`, which is generated from the commands themselves.

In code a *verb* is an entry of this table; texts for operators call it a command.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import NamedTuple

VerbPath = tuple[str, ...]

TABLE = os.path.join(os.path.dirname(__file__), "commands.tsv")  # noqa: PTH118, PTH120 - pathlib is slow to import
AREAS = {
    "sync": "Sync with ScaiKey",
    "tenants": "Tenants and partners",
    "people": "People, groups and roles",
    "rooms": "Rooms",
    "federation": "Federation",
    "server": "This server",
}
"""The headings of the help, by the names that commands declare."""
EXIT_CODES = (
    ("0", "success"),
    ("1", "refused, not found or conflict; or a sync that applied a part"),
    ("2", "usage or configuration error, or a server can't be reached"),
    ("3", "not authenticated or not permitted"),
    ("130, 143", "ended by an interrupt, or by SIGTERM"),
)


class Verb(NamedTuple):
    """An entry of the table, as the class of its command declares it.

    `command` is its management command. `profile` selects the installed applications; `cli` leaves
    out the applications of the admin site, and `full` has them all. `permission` is the name of a
    `Permission`, or empty if the command needs none.
    """

    command: str
    area: str
    everyday: str
    profile: str
    permission: str
    help: str


def _read_table() -> dict[VerbPath, Verb]:
    """Read a line for each command: its words, its alias or nothing, and its entry."""
    verbs: dict[VerbPath, Verb] = {}
    aliases: dict[VerbPath, Verb] = {}
    with open(TABLE, encoding="utf-8") as file:  # noqa: PTH123
        for line in file:
            words, alias, *fields = line.rstrip("\n").split("\t")
            verbs[tuple(words.split())] = verb = Verb(*fields)
            if alias:
                aliases[tuple(alias.split())] = verb
    return verbs | aliases


VERBS = _read_table()
GROUPS: frozenset[VerbPath] = frozenset(
    words[:length] for words in VERBS for length in range(1, len(words))
) - set(VERBS)


def find_longest_match(words: Sequence[str]) -> VerbPath:
    """Return the longest prefix of the words that is a command or a group of commands."""
    for length in range(len(words), 0, -1):
        candidate = tuple(words[:length])
        if candidate in VERBS or candidate in GROUPS:
            return candidate
    return ()


def subcommands(words: VerbPath) -> dict[VerbPath, Verb]:
    """Return the commands below these words."""
    length = len(words)
    return {
        other: verb
        for other, verb in VERBS.items()
        if len(other) > length and other[:length] == words
    }


def canonical_path(words: VerbPath) -> VerbPath | None:
    """Return the words that an alias stands for; None for words that are not an alias."""
    first = next(other for other, verb in VERBS.items() if verb is VERBS[words])
    return first if first != words else None
