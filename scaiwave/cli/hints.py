"""What to do after an unknown command: words that people try first, or the nearest command.

Imported only when a command is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from shlex import join

from scaiwave.cli.overview import MANAGE_COMMANDS
from scaiwave.cli.verbs import GROUPS, VERBS, canonical_path, find_longest_match

_MAX_SUGGESTIONS = 3

_MAX_HINT_WORDS = 4


_TABLE = Path(__file__).with_name("hints.tsv").read_text(encoding="utf-8")
HINTS = {
    typed: fix
    for fix, words in (line.split("\t") for line in _TABLE.splitlines())
    for typed in words.split("; ")
}
"""By words that a newcomer may type, the command that exists or what to do without. Each line of
the table has a fix, and the words that it is for."""


def find_fix(words: Sequence[str]) -> str:
    """Return the fix of the error for an unknown command."""
    if hint := _find_hint(words):
        return hint
    if names := suggest(words):
        quoted = [f"`scaiwave {name}`" for name in names]
        return f"Did you mean {' or '.join(filter(None, (', '.join(quoted[:-1]), quoted[-1])))}?"
    group = " ".join(("scaiwave", *find_longest_match(words)))
    return f"`{group} --help` lists the commands."


def _find_hint(words: Sequence[str]) -> str | None:
    """Return the hint for the words, which arguments of the command may follow."""
    if words and words[0] in MANAGE_COMMANDS:
        return f"Run `scaiwave manage {join(words)}`."
    for length in range(min(len(words), _MAX_HINT_WORDS), 0, -1):
        typed = " ".join(words[:length])
        # The group may have been forgotten, as in `scaiwave delete-tenant`.
        for group in ("", "admin ", "admin federation "):
            if hint := HINTS.get(group + typed):
                return hint
    return None


def suggest(words: Sequence[str]) -> list[str]:
    """Return the commands that these words may have been meant for, best first.

    The words before them may have been forgotten, as in `scaiwave list-tenants`, and arguments of
    the command may follow.
    """
    if found := _find_endings(words):
        return found
    for length in range(len(words), 0, -1):
        if found := _find_nearest(words[:length]):
            return found
    return _find_endings(words[-1:])


def _find_endings(words: Sequence[str]) -> list[str]:
    """Return commands that end with all of these words."""
    count = len(words)
    return [" ".join(path) for path in VERBS if path[-count:] == tuple(words)][:_MAX_SUGGESTIONS]


def _find_nearest(words: Sequence[str]) -> list[str]:
    """Compare what follows the words of a group with the commands of that group."""
    group = find_longest_match(words)
    typed = " ".join(words[len(group) :])
    paths = [*VERBS, *sorted(GROUPS)] if len(words) == 1 else list(VERBS)
    names = {
        " ".join(path[len(group) :]): " ".join(path)
        for path in paths
        if path[: len(group)] == group and path != group
        if len(words) == 1 or not canonical_path(path)
    }
    matches = get_close_matches(typed, names, n=_MAX_SUGGESTIONS, cutoff=0.6)
    if not matches and typed:
        matches = [name for name in names if name.startswith(typed)][:_MAX_SUGGESTIONS]
    return [names[match] for match in matches]
