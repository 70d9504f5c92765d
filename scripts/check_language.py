#!/usr/bin/env python3
"""Check that texts use plain words: scripts/check_language.py [options]

Searches all tracked text for the terms below: docs, scripts, and in Python the comments, strings
and names of tests, but no other names. PATTERNS are not searched in tests.
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
    """A term to avoid: a case-insensitive pattern of whole words, and what to write instead."""

    name: str
    instead: str
    pattern: str = ""

    def compile(self) -> re.Pattern[str]:
        words = (self.pattern or re.escape(self.name)).replace("\\ ", " ").replace(" ", r"\s+")
        return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


TERMS = (
    Term("anew", "again, new"),
    Term("any more", "no longer"),
    Term("anybody, everybody", "anyone, everyone", r"(?:any|every)body"),
    Term("brake", "removal limit"),
    Term("by hand", "manually"),
    Term("carry in, carry out", "import, export", r"carr(?:y|ies|ied|ying) (?:in|out)"),
    Term("folder", "directory", r"folders?"),
    Term("further ado", "(leave it out)"),
    Term("half of a key", "private key, public key", r"(?:private|public) (?:half|halves)"),
    Term("held back", "skipped", r"h[eo]ld back"),
    Term("is no …", "is not a …", r"(?<!there\s)is no(?! (?:longer|one|more|such)\b) \w+"),
    Term("is none", "say the thing itself", r"(?-i:is none)"),
    Term(
        "serialize",
        "serialise, synchronise …",
        r"(?:serial|synchron|organ|recogn|initial|summar)iz(?:e[sd]?|ing)",
    ),
    Term("killed import", "interrupted import", r"killed imports?"),
    Term("machine", "host, server", r"machines?"),
    Term("made-up", "sample"),
    Term("make-believe", "sandbox"),
    Term("meanwhile", "in the meantime, concurrently"),
    Term("mend", "fix, correct", r"mend(?:s|ed|ing)?"),
    Term("nobody", "no one, or name the actor"),
    Term("ScaiKey hasn't", "… is not in ScaiKey"),
    Term("somebody", "someone, or name the actor", r"somebody(?:'s)?"),
    Term("the home", "the home directory", r"the home(?! director)"),
    Term(
        "says why",
        "report, show, state",
        r"(?:say|says|said) (?:so|why|what|who|how|where|whether)",
    ),
    Term("told", "reported, given", r"tells|told"),
    Term("under way", "in progress"),
    Term("verb", "command (in code: Verb, for the table of commands)", r"verbs?"),
    Term("what came of", "result"),
    Term("whoever", "name the actor"),
    Term("work off", "handle, process", r"work(?:s|ed|ing)? off"),
)

PATTERNS = (
    Term("that of, those of", "the noun again", r"(?:that|those) of|those that"),
    Term("neither", "not … or"),
    Term("so does, so is", "a plain verb", r"so (?:do|does|is|are|has|have)"),
    Term("for ever", "without limit, indefinitely"),
    Term("Of a …", "the subject first", r"(?-i:Of) (?:an?|the|each|every)"),
    Term("for which", "two sentences, or the noun with its verb"),
    Term("what was", "name the thing", r"what (?:was|were|had|may|must)"),
    Term("also if", "even if, including", r"also (?:where|if|when|for)|, also (?:in|of)"),
)
"""Grammar that makes a reader stop. It is refused like TERMS, except in tests."""

OFTEN_WRONG = (
    Term(
        "what",
        "name the thing, unless a verb needs it as its object",
        r"what (?:is|was|are|were|has|have|had|it|they|an?|the|no|may|must|can)",
    ),
    Term("which", "two sentences", r"(?:of|in|from|to|with|by|for) which"),
)
"""Patterns that are often right, so that only `--list` finds them: read the sentence."""

PROSE = {tokenize.COMMENT, getattr(tokenize, "FSTRING_MIDDLE", tokenize.COMMENT)}
SUFFIXES = {"", ".cfg", ".html", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"}
EXCLUDED = (
    "*/migrations/*",  # written once, and never changed
    "docs/LICENSE",
    ".env.example",  # generated: its source is checked
    "scripts/requirements/*",
    "scripts/check_language.py",
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
        terms = [*TERMS, *PATTERNS, *OFTEN_WRONG]
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
    top: Path, files: Iterable[str], terms: Sequence[Term] = (*TERMS, *PATTERNS)
) -> Iterator[Use]:
    """Yield every use that is not allowed."""
    compiled = [(term, term.compile()) for term in terms]
    for file in files:
        patterns = [
            (term, pattern)
            for term, pattern in compiled
            if term in TERMS or not file.startswith("tests/")
        ]
        try:
            text = (top / file).read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):  # binary, or deleted and not yet committed
            continue
        lines = text.splitlines()
        prose = python_prose(text) if file.endswith(".py") else text
        for term, pattern in patterns:
            for match in pattern.finditer(prose):
                number = prose.count("\n", 0, match.start())
                if not is_allowed(file, term, lines[number]):
                    yield Use(term, file, number + 1, lines[number].strip())


def python_prose(source: str) -> str:
    """Return the comments, strings and names of tests in a module, each on its own line.

    The rest is blank.
    """
    lines = [""] * (source.count("\n") + 2)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        text = token.string
        if token.type == tokenize.STRING:
            if "f" in text[: text.index(text[-1])].lower():  # an f-string, before Python 3.12
                text = re.sub(r"\{[^{}]*\}", "{}", text)
        elif token.type == tokenize.NAME and token.string.startswith("test_"):
            text = token.string.replace("_", " ")
        elif token.type not in PROSE:
            continue
        text = text.removeprefix("#")  # a term may go on in the next line of a comment
        for number, part in enumerate(text.split("\n"), start=token.start[0] - 1):
            lines[number] += f" {part}"
    return "\n".join(lines)


def is_allowed(file: str, term: Term, line: str) -> bool:
    return any(
        fnmatch(file, glob) and name == term.name and re.search(pattern, line)
        for glob, name, pattern in ALLOWED
    )


if __name__ == "__main__":
    sys.exit(main())
