"""JSON as the format wants it: nothing that two readers could read in two ways."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, NoReturn

_MOST = 2**63 - 1
_LEAST = -(2**63)
_MOST_DIGITS = 310
"""Of an integer that a double can hold."""
_INFINITE = (float("inf"), float("-inf"))


class StrictJSONError(ValueError):
    """What is wrong, as the end of a sentence that begins with what it is wrong with."""


def loads(raw: bytes) -> Any:
    """The value of a text that is not nested too deep for Python. Raises `StrictJSONError`."""
    try:
        value = _DECODER.decode(raw.decode())
    except UnicodeDecodeError:
        raise StrictJSONError("is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise StrictJSONError(f"is not JSON: {error.msg} (at {error.pos:,})") from None
    except RecursionError:
        raise StrictJSONError("is nested too deep") from None
    _check(value)
    return value


def key(raw: bytes) -> str:
    """The text of a key that was read by itself. Raises `StrictJSONError`."""
    value = loads(raw)
    if not isinstance(value, str):
        raise StrictJSONError("is no object: a key is missing")
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise StrictJSONError(f"has the key {twice!r} twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) <= _MOST_DIGITS:
        number = int(digits)
        if _LEAST <= number <= _MOST or _is_double(number):
            return number
    raise StrictJSONError("has an integer of more than 64 bits")


def _is_double(number: int) -> bool:
    """PostgreSQL writes a large double, such as 1e300, as an integer with all its digits."""
    try:
        return Decimal(repr(float(number))) == number
    except OverflowError:
        return False


def _number(digits: str) -> float:
    if (number := float(digits)) not in _INFINITE:
        return number
    raise StrictJSONError("has a number that is too large")


def _no_number(name: str) -> NoReturn:
    raise StrictJSONError(f"has {name}, which is no JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_once_each,
    parse_int=_integer,
    parse_float=_number,
    parse_constant=_no_number,
)


def _check(value: Any) -> None:
    """Look at every text within; what the decoder can't be asked to do."""
    left = [value]
    while left:
        match left.pop():
            case str(text):
                _check_text(text)
            case dict(members):
                left += members.keys()
                left += members.values()
            case list(items):
                left += items


def _check_text(text: str) -> None:
    if "\0" in text:
        raise StrictJSONError("has U+0000 in a text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise StrictJSONError("has half of a surrogate pair in a text") from None
