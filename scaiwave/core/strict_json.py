"""Decode JSON as the format requires it: nothing that two parsers could read differently."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NoReturn

MAX_INTEGER = 2**63 - 1
MIN_INTEGER = -(2**63)
_MAX_DIGITS = 310
"""Digits of the largest integer that a double can represent."""
_INFINITE = (float("inf"), float("-inf"))


class StrictJSONError(ValueError):
    """The problem, worded to follow the name of the text: "is not UTF-8"."""


def loads(raw: bytes) -> Any:
    """Decode a text. Raises `StrictJSONError`, including for nesting too deep for Python."""
    try:
        value = _DECODER.decode(raw.decode())
    except UnicodeDecodeError:
        raise StrictJSONError("is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise StrictJSONError(f"is not JSON: {error.msg} (at {error.pos:,})") from None
    except RecursionError:
        raise StrictJSONError("is nested too deep") from None
    _check_texts(value)
    return value


def load_key(raw: bytes) -> str:
    """Decode one key of an object. Raises `StrictJSONError`."""
    value = loads(raw)
    if not isinstance(value, str):
        raise StrictJSONError("is not an object: a key is missing")
    return value


def _build_object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        duplicate = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise StrictJSONError(f"has a duplicate key {duplicate!r}")
    return members


def _parse_integer(digits: str) -> int:
    if len(digits) <= _MAX_DIGITS:
        number = int(digits)
        if MIN_INTEGER <= number <= MAX_INTEGER or _is_double(number):
            return number
    raise StrictJSONError("has an integer of more than 64 bits")


def _is_double(number: int) -> bool:
    """PostgreSQL writes a large double, such as 1e300, as an integer with all its digits."""
    try:
        return Decimal(repr(float(number))) == number
    except OverflowError:
        return False


def _parse_float(digits: str) -> float:
    if (number := float(digits)) not in _INFINITE:
        return number
    raise StrictJSONError("has a number that is too large")


def _refuse_constant(name: str) -> NoReturn:
    raise StrictJSONError(f"has {name}, which is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_build_object,
    parse_int=_parse_integer,
    parse_float=_parse_float,
    parse_constant=_refuse_constant,
)


def _check_texts(value: object) -> None:
    """Check every text in the value, which the decoder has no hook for."""
    pending = [value]
    while pending:
        match pending.pop():
            case str(text):
                if "\0" in text:
                    raise StrictJSONError("has U+0000 in a text")
                try:
                    text.encode()
                except UnicodeEncodeError:
                    raise StrictJSONError("has half of a surrogate pair in a text") from None
            case dict(members):
                pending += members.keys()
                pending += members.values()
            case list(items):
                pending += items
