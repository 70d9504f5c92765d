"""How to mend what was found, as lines for people."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from scaiwave.doctor.findings import Finding

# A command is there to be copied, so that no line ends within one.
_WORDS = re.compile(r"(?:`[^`]*`|\S)+")


def format_advice(findings: Iterable[Finding], *, columns: int | None) -> Iterator[str]:
    """The fix of each finding that has one; folded between words at a terminal of so many
    columns, and in one line where there is none."""
    for finding in findings:
        if finding.fix:
            text = f"  {finding.check}: {finding.fix}"
            yield from [text] if columns is None else _folded(text, columns)


def _folded(text: str, columns: int) -> Iterator[str]:
    line = " "
    for word in _WORDS.findall(text):
        if len(line) + 1 + len(word) > columns and line.strip():
            yield line
            line = "   "
        line += f" {word}"
    yield line
