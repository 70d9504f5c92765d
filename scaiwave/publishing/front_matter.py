"""The front matter: `name: value` lines above a page, between two lines of three hyphens."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from scaiwave.publishing.errors import InvalidPage

FIELDS = ("title", "path", "audience", "summary", "status")
CHOICES = {"audience": ("operators", "developers"), "status": ("published", "draft")}
FENCE = "---"
PATH_PATTERN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(/[a-z0-9]+(-[a-z0-9]+)*)*")
_FIX_FORM = (
    f"Begin the page with a line {FENCE}, the fields {', '.join(FIELDS)}, and a line {FENCE}."
)


@dataclass(frozen=True, kw_only=True)
class FrontMatter:
    """`fields` holds the readable fields but no invalid path; `lines` is the block's length."""

    fields: dict[str, str]
    lines: int
    problems: tuple[InvalidPage, ...]


def read_front_matter(text: str, *, file: str) -> FrontMatter:
    """Read and check the front matter; `problems` lists everything that is wrong."""
    lines = text.split("\n")
    if lines[0].rstrip() != FENCE:
        return _build_unreadable(
            InvalidPage(f"Invalid page: {file}: no front matter.", fix=_FIX_FORM)
        )
    end = next((index for index, line in enumerate(lines[1:], 1) if line.rstrip() == FENCE), None)
    if end is None:
        return _build_unreadable(
            InvalidPage(f"Invalid page: {file}: the front matter has no end.", fix=_FIX_FORM)
        )
    try:
        fields = _parse_fields("\n".join(lines[1:end]), file)
    except InvalidPage as problem:
        return _build_unreadable(problem, lines=end + 1)
    problems = tuple(_find_problems(fields, file))
    if not PATH_PATTERN.fullmatch(fields.get("path", "")):
        fields.pop("path", None)
    return FrontMatter(fields=fields, lines=end + 1, problems=problems)


def _build_unreadable(problem: InvalidPage, *, lines: int = 0) -> FrontMatter:
    return FrontMatter(fields={}, lines=lines, problems=(problem,))


def _parse_fields(block: str, file: str) -> dict[str, str]:
    """Read the YAML nodes instead of the values, so that `yes` and `2026-11-24` stay texts."""
    try:
        node = yaml.compose(block, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        # The block begins on the second line of the file.
        line = f", line {mark.line + 2}" if mark else ""
        raise InvalidPage(
            f"Invalid page: {file}{line}: the front matter is not YAML.",
            fix="Quote values that contain a colon or quotation marks.",
        ) from None
    if not isinstance(node, yaml.MappingNode):
        raise InvalidPage(f"Invalid page: {file}: the front matter has no fields.", fix=_FIX_FORM)
    fields: dict[str, str] = {}
    for key, value in node.value:
        line = key.start_mark.line + 2
        if not (isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)):
            raise InvalidPage(
                f"Invalid page: {file}, line {line}: not a field with a single text.", fix=_FIX_FORM
            )
        if key.value in fields:
            raise InvalidPage(
                f"Invalid page: {file}, line {line}: duplicate field {key.value}.",
                fix="Remove one of the two.",
            )
        fields[key.value] = value.value.strip()
    return fields


def _find_problems(fields: dict[str, str], file: str) -> Iterator[InvalidPage]:
    for name in FIELDS:
        if not fields.get(name):
            yield InvalidPage(
                f"Invalid page: {file}: missing field {name}.", fix=f"Add the field {name}."
            )
    for name in fields.keys() - set(FIELDS):
        yield InvalidPage(
            f"Invalid page: {file}: unknown field {name}.",
            fix=f"Use only the fields {', '.join(FIELDS)}.",
        )
    for name, choices in CHOICES.items():
        if (value := fields.get(name)) and value not in choices:
            yield InvalidPage(
                f"Invalid page: {file}: invalid {name}: {value}.",
                fix=f"Use {' or '.join(choices)}.",
            )
    if (path := fields.get("path")) and not PATH_PATTERN.fullmatch(path):
        yield InvalidPage(
            f"Invalid page: {file}: invalid path: {path}.",
            fix="Use lower-case letters, digits and single hyphens, separated by slashes, without "
            "a slash at either end and without .md, for example operator-suite/roles.",
        )
