#!/usr/bin/env python3
"""Check that texts use plain words: scripts/check_language.py [options]

Searches all tracked text for the terms of scripts/language.tsv: docs, scripts, and in Python the
comments, strings and names of tests. Grammar is not searched in tests, and words with another
meaning only in their places, in code also as parts of names.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Term:
    """A term to avoid: a case-insensitive pattern of whole words, and what to write instead.

    The pattern `-` is the name itself. `places` are globs of files, and `contracts` a pattern of
    lines that may have it, such as a key of JSON.
    """

    name: str
    instead: str
    pattern: str
    places: str = "*"
    contracts: str = ""

    def compile(self) -> re.Pattern[str]:
        pattern = re.escape(self.name) if self.pattern == "-" else self.pattern
        words = pattern.replace("\\ ", " ").replace(" ", r"\s+")
        return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


TABLE = TOP / "scripts/language.tsv"
ROWS = [line.split("\t") for line in TABLE.read_text(encoding="utf-8").splitlines()[1:]]
TERMS, PATTERNS, MEANINGS, OFTEN_WRONG = (
    tuple(Term(*row) for kind, *row in ROWS if kind == wanted)
    for wanted in ("term", "grammar", "meaning", "often wrong")
)
"""Words to avoid; grammar that makes a reader stop, which tests may have; words that mean something
else (see the glossary); and patterns that are often right, so that only `--list` finds them: read
the sentence."""
PROSE = {tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.COMMENT)}
SUFFIXES = {
    *("", ".cfg", ".html", ".md", ".py", ".sh", ".sql", ".toml", ".tsv", ".txt", ".yaml", ".yml"),
}
EXCLUDED = (
    "*/migrations/*",  # written once, and never changed
    "docs/LICENSE",
    ".env.example",  # generated: its source is checked
    "scripts/requirements/*",
    "scripts/check_language.py",
    "scripts/language.tsv",
    "tests/scripts/test_check_language.py",
)

ALLOWED: tuple[tuple[str, str, str], ...] = (
    # File, term, and a pattern of the lines that may have it.
    ("docs/CONTRIBUTING.md", "verb", r"`Verb`|imperative verb"),
    ("scaiwave/cli/*", "verb", r""),  # the table of commands, and what works with it
    ("tests/scaiwave/cli/*", "verb", r""),
    ("tests/services/unprivileged_user.py", "nobody", r""),  # a user of the operating system
    ("*", "verb", r"\bcli\.verbs\b|\bVerb(?:Path)?\b|\bVERBS\b|cli/verbs\.py"),
)
"""Quoted contracts and names in code."""


@dataclass(frozen=True)
class Use:
    term: Term
    file: str
    line: int
    text: str

    def __str__(self) -> str:
        advice = f"{self.term.name!r}, write: {self.term.instead}"
        return f"{self.file}:{self.line}: {advice}\n    {self.text}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--list", metavar="TERM", help="list every use of a term (all: every term)")
    options = parser.parse_args()
    if options.list:
        terms = [*TERMS, *PATTERNS, *MEANINGS, *OFTEN_WRONG]
        wanted = [term for term in terms if options.list in {"all", term.name}]
        print(*find_uses(TOP, tracked_files(TOP), wanted), sep="\n")
        return 0
    uses = list(find_uses(TOP, tracked_files(TOP)))
    print(*uses, sep="\n", end="\n" if uses else "")
    return 1 if uses else 0


def tracked_files(top: Path) -> list[str]:
    """Return the tracked text files, and new files that are not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(
        command,
        cwd=top,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    return [file for file in listed if is_checked(file)]


def is_checked(file: str) -> bool:
    return Path(file).suffix in SUFFIXES and not any(fnmatch(file, glob) for glob in EXCLUDED)


def find_uses(
    top: Path, files: Iterable[str], terms: Sequence[Term] = (*TERMS, *PATTERNS, *MEANINGS)
) -> Iterator[Use]:
    """Yield every use that is not allowed."""
    compiled = [(term, term.compile()) for term in terms]
    for file in files:
        patterns = [
            (term, pattern)
            for term, pattern in compiled
            if (term not in PATTERNS or not file.startswith("tests/"))
            and any(fnmatch(file, place) for place in term.places.split())
        ]
        try:
            text = (top / file).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):  # binary, or deleted and not yet committed
            continue
        lines = text.splitlines()
        is_python = file.endswith(".py")
        prose = python_prose(text) if is_python else text
        has_names = is_python and any(term in MEANINGS for term, _ in patterns)
        names = python_prose(text, with_names=True) if has_names else prose
        for term, pattern in patterns:
            searched = names if term in MEANINGS else prose
            for match in pattern.finditer(searched):
                number = searched.count("\n", 0, match.start())
                if not is_allowed(file, term, lines[number]):
                    yield Use(term, file, number + 1, lines[number].strip())


def python_prose(source: str, *, with_names: bool = False) -> str:
    """Return the comments, strings and names of tests in a module, each on its own line.

    The rest is blank, or has the words of all names.
    """
    lines = [""] * (source.count("\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        text = token.string
        if token.type == tokenize.STRING:
            if "f" in text[: text.index(text[-1])].lower():  # an f-string, before Python 3.12
                text = re.sub(r"\{[^{}]*\}", "{}", text)
        elif token.type == tokenize.NAME and (with_names or token.string.startswith("test_")):
            text = re.sub(r"_|(?<=[a-z0-9])(?=[A-Z])", " ", token.string)
        elif token.type not in PROSE:
            continue
        text = text.removeprefix("#")  # a term may go on in the next line of a comment
        for number, part in enumerate(text.split("\n"), start=token.start[0] - 1):
            lines[number] += f" {part}"
    return "\n".join(lines)


def is_allowed(file: str, term: Term, line: str) -> bool:
    return bool(term.contracts and re.search(term.contracts, line)) or any(
        fnmatch(file, glob) and name == term.name and re.search(pattern, line)
        for glob, name, pattern in ALLOWED
    )


if __name__ == "__main__":
    sys.exit(main())
