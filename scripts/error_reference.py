"""Generate the page of every `SW_…` code from the error classes.

The meaning of a code is the first paragraph of its class's docstring. The fix is the class's
`remedy`, or its `fix` where that is enough.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scaiwave.core.errors import ScaiWaveError

DOCS = Path(__file__).resolve().parent.parent / "docs"
PAGE = "reference/troubleshooting.md"
APPS = ("scaiwave", "tenants", "federation", "rooms", "identity_sync")
DECLARED = 'code = "SW_'
"""How a class declares its code; modules without one are not imported."""

TABLE = Path(__file__).with_name("error_areas.tsv")
AREAS = {
    title: tuple(prefixes.split())
    for title, prefixes in (line.split("\t") for line in TABLE.read_text("utf-8").splitlines())
}
"""The prefixes of its codes by the title of an area; the longest prefix decides."""


class WordsMissing(Exception):
    """The page can't be written: a code has no meaning, advice or area, or links to no page."""


@dataclass(frozen=True)
class Entry:
    """One code; `exit_codes` and `statuses` are several where its classes differ."""

    code: str
    exit_codes: str
    statuses: str
    meaning: str
    remedy: str


def entries(errors: Iterable[type[ScaiWaveError]] | None = None) -> list[Entry]:
    """Return every code in alphabetical order, by default of all error classes.

    Raises WordsMissing, which names all codes that lack a meaning or advice.
    """
    by_code: dict[str, list[type[ScaiWaveError]]] = {}
    for error in find_errors() if errors is None else errors:
        by_code.setdefault(error.code, []).append(error)
    listed = [_build_entry(code, classes) for code, classes in sorted(by_code.items())]
    if incomplete := [entry.code for entry in listed if not (entry.meaning and entry.remedy)]:
        raise WordsMissing(f"No docstring, remedy or fix beside {', '.join(incomplete)}.")
    return listed


def find_errors() -> Iterator[type[ScaiWaveError]]:
    """Yield the classes that declare a code. Other classes are branches of the tree."""
    top = DOCS.parent
    for path in [path for app in APPS for path in sorted((top / app).rglob("*.py"))]:
        if DECLARED in path.read_text(encoding="utf-8"):
            importlib.import_module(".".join(path.relative_to(top).with_suffix("").parts))
    for error in _subclass_tree(ScaiWaveError):
        if "code" in vars(error) and error.__module__.partition(".")[0] in APPS:
            yield error


def _subclass_tree(error: type[ScaiWaveError]) -> Iterator[type[ScaiWaveError]]:
    yield error
    for subclass in error.__subclasses__():
        yield from _subclass_tree(subclass)


def _build_entry(code: str, classes: list[type[ScaiWaveError]]) -> Entry:
    return Entry(
        code,
        ", ".join(map(str, sorted({error.exit_code for error in classes}))),
        ", ".join(map(str, sorted({error.http_status for error in classes}))),
        next(filter(None, map(_get_meaning, classes)), ""),
        next(filter(None, map(_get_advice, classes)), ""),
    )


def _get_meaning(error: type[ScaiWaveError]) -> str:
    """Return the first paragraph of the class's own docstring."""
    docstring = inspect.cleandoc(vars(error).get("__doc__") or "")
    return " ".join(docstring.partition("\n\n")[0].split())


def _get_advice(error: type[ScaiWaveError]) -> str:
    """Return the remedy or the fix, the class's own before inherited ones.

    The fix of ScaiWaveError is for defects, and is not inherited.
    """
    for ancestor in error.__mro__:
        if ancestor is ScaiWaveError and error is not ScaiWaveError:
            break
        if advice := vars(ancestor).get("remedy") or vars(ancestor).get("fix"):
            return str(advice)
    return ""


def by_area(listed: list[Entry]) -> dict[str, list[Entry]]:
    """Group the entries in the order of `AREAS`. Raises WordsMissing for a code without an area."""
    areas: dict[str, list[Entry]] = {title: [] for title in AREAS}
    for entry in listed:
        areas[_area(entry.code)].append(entry)
    return areas


def _area(code: str) -> str:
    name = code.removeprefix("SW_")
    matches = [
        (len(prefix), title)
        for title, prefixes in AREAS.items()
        for prefix in prefixes
        if name.startswith(prefix)
    ]
    if not matches:
        raise WordsMissing(f"scripts/error_reference.py has no area for {code}.")
    return max(matches)[1]


def build_troubleshooting() -> Iterator[str]:
    """Yield the tables of the page."""
    for title, area in by_area(entries()).items():
        if area:
            yield f"\n## {title}\n| code | exit | HTTP | meaning | fix |"
            yield "|---|---|---|---|---|"
        for entry in area:
            cells = (entry.exit_codes, entry.statuses, entry.meaning, entry.remedy)
            row = f"| `{entry.code}` | " + " | ".join(map(escape_cell, cells)) + " |"
            yield link_pages(row)


def link_pages(text: str) -> str:
    """Complete links such as `](roles.md#slugs)`: errors name a page without its directory.

    Raises WordsMissing for a page that does not exist.
    """
    return re.sub(r"\]\(([a-z-]+\.md)", lambda link: f"]({_path_to(link[1])}", text)


def _path_to(page: str) -> str:
    # One level deep: pages below that only lead to others, which may have the same name.
    paths = list(DOCS.glob(f"*/{page}"))
    if len(paths) != 1:
        raise WordsMissing(f"An error links to {page}, which is not a page of docs/.")
    return os.path.relpath(paths[0], (DOCS / PAGE).parent)


def escape_cell(text: str) -> str:
    """Escape bars, and angle brackets outside of code, which would be HTML."""
    parts = text.replace("|", "\\|").split("`")
    return "`".join(
        part if number % 2 else part.replace("<", "&lt;") for number, part in enumerate(parts)
    )
