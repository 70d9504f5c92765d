"""The block of `name: value` lines above a page, between two lines of three hyphens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from scaiwave.publishing.errors import InvalidPage

FIELDS = ("title", "path", "audience", "summary", "status")
CHOICES = {"audience": ("operators", "developers"), "status": ("published", "draft")}
FENCE = "---"
PATH = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*)*")
_SHAPE = f"Begin the page with a line {FENCE}, then {', '.join(FIELDS)}, then a line {FENCE}."


@dataclass(frozen=True, kw_only=True)
class Front:
    """`fields` holds what could be read, and no path that is none; `lines` is how many lines the
    block takes."""

    fields: dict[str, str]
    lines: int
    problems: tuple[InvalidPage, ...]


def read_front_matter(text: str, *, file: str) -> Front:
    """Read and check it; what is wrong is told in `problems`, all of it."""
    lines = text.split("\n")
    if lines[0].rstrip() != FENCE:
        return _unreadable(InvalidPage(f"{file} has no front matter.", fix=_SHAPE))
    end = next((at for at, line in enumerate(lines[1:], 1) if line.rstrip() == FENCE), None)
    if end is None:
        return _unreadable(InvalidPage(f"The front matter of {file} has no end.", fix=_SHAPE))
    try:
        fields = _fields("\n".join(lines[1:end]), file)
    except InvalidPage as problem:
        return _unreadable(problem, lines=end + 1)
    problems = tuple(_problems(fields, file))
    if not PATH.fullmatch(fields.get("path", "")):
        fields.pop("path", None)
    return Front(fields=fields, lines=end + 1, problems=problems)


def _unreadable(problem: InvalidPage, *, lines: int = 0) -> Front:
    return Front(fields={}, lines=lines, problems=(problem,))


def _fields(block: str, file: str) -> dict[str, str]:
    """The nodes of the YAML rather than its values: `yes` and `2026-11-24` are texts here."""
    try:
        node = yaml.compose(block, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # The block begins in the second line of the file.
        line = f", line {mark.line + 2}" if mark else ""
        raise InvalidPage(
            f"The front matter of {file} is not YAML{line}.",
            fix="Put a value with a colon or quotation marks in it into quotation marks.",
        ) from None
    if not isinstance(node, yaml.MappingNode):
        raise InvalidPage(f"The front matter of {file} has no fields.", fix=_SHAPE)
    fields: dict[str, str] = {}
    for key, value in node.value:
        line = key.start_mark.line + 2
        if not (isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)):
            raise InvalidPage(f"{file}, line {line}: not a field with one text.", fix=_SHAPE)
        if key.value in fields:
            raise InvalidPage(
                f"{file}, line {line}: the field {key.value} stands there twice.",
                fix="Leave one of them out.",
            )
        fields[key.value] = value.value.strip()
    return fields


def _problems(fields: dict[str, str], file: str) -> Iterator[InvalidPage]:
    for name in FIELDS:
        if not fields.get(name):
            yield InvalidPage(f"The front matter of {file} has no {name}.", fix=f"Add {name}.")
    for name in fields.keys() - set(FIELDS):
        yield InvalidPage(
            f"The front matter of {file} has a field {name}, which is none.",
            fix=f"Take one of {', '.join(FIELDS)}.",
        )
    for name, choices in CHOICES.items():
        if (value := fields.get(name)) and value not in choices:
            wanted = " or ".join(choices)
            yield InvalidPage(
                f"The front matter of {file} says {name}: {value}.", fix=f"Write {wanted}."
            )
    if (path := fields.get("path")) and not PATH.fullmatch(path):
        yield InvalidPage(
            f"The front matter of {file} says path: {path}.",
            fix="Write it without a slash at either end and without .md, of small letters, digits "
            "and single hyphens, as operator-suite/roles.",
        )
