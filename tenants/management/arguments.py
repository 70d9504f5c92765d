"""What is typed as the value of an option, for argparse."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

NO_LIMIT = "none"


def limit_arg(text: str) -> int | str:
    """A whole number, or `none`, which is not None: that is an option not given."""
    if text == NO_LIMIT:
        return text
    if not (text.isascii() and text.isdecimal() and len(text) <= 19):
        raise ArgumentTypeError(f"{text!r} is neither a whole number nor none")
    return int(text)


def add_limits(parser: ArgumentParser, **helps: str) -> None:
    """An option for each of these limits, by the name of its column."""
    for name, text in helps.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="N", type=limit_arg, help=text)


def limits_from_options(options: dict[str, Any], *names: str) -> dict[str, int | None]:
    """The limits that were given; None is no limit."""
    return {
        name: None if options[name] == NO_LIMIT else options[name]
        for name in names
        if options[name] is not None
    }
