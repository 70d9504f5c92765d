#!/usr/bin/env python3
"""Check that the paths and modules that README and docs name exist: scripts/check_docs.py"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
TOPS = r"(?:federation|identity_sync|rooms|scaiwave|scripts|tenants|tests|\.ci)"
# A path, or at least two names after the package: `rooms.view_room` may be a permission.
NAME = rf"{TOPS}(?:(?:/[\w.-]+)*/[\w.-]*\w|(?:\.\w+){{2,}})"
NAMED = re.compile(rf"(?<![\w./~-]){NAME}(?![\w/*<{{])")
ONLY_INSTALLED = {"scaiwave/deploy"}


def main() -> int:
    pages = {TOP / "README.md", *(TOP / "docs").rglob("*.md")} - {TOP / "docs/CHANGELOG.md"}
    problems = [
        f"{page.relative_to(TOP)}: {name} does not exist."
        for page in sorted(pages)
        for name in find_missing(page.read_text(encoding="utf-8"))
    ]
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


def find_missing(text: str) -> Iterator[str]:
    """Yield the paths and modules in backticks that a checkout lacks."""
    for code in re.findall(r"`([^`]+)`", text):
        for name in NAMED.findall(code):
            if name not in ONLY_INSTALLED and not exists(name):
                yield name


def exists(name: str) -> bool:
    """Whether there is such a path, with or without `.py`, or a module that has the last name."""
    place = TOP / (name if "/" in name else name.replace(".", "/"))
    if place.exists() or place.with_name(f"{place.name}.py").exists():
        return True
    files = [place.parent.with_suffix(".py"), place.parent / "__init__.py"]
    texts = [file.read_text(encoding="utf-8") for file in files if file.is_file()]
    return "/" not in name and any(re.search(rf"\b{place.name}\b", text) for text in texts)


if __name__ == "__main__":
    sys.exit(main())
