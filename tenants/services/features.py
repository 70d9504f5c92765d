"""A tenant's features: a JSON object, changed at keys such as `search.semantic`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from math import isfinite
from typing import Any

from scaiwave.console.output import strip_control_chars
from tenants.errors import InvalidFeature
from tenants.queries.resolve import is_storable_text

Features = dict[str, Any]
LONGEST_KEY = 200
_EXAMPLES = "--feature search.semantic=true or --feature 'theme=\"dark\"'"


def parse_feature(text: str) -> tuple[str, Any]:
    """The key and the value of `key.dotted=value`, where the value is JSON. Raises
    `InvalidFeature`.
    """
    key, equals, value = text.partition("=")
    if not equals:
        raise InvalidFeature(f"{text!r} gives no value.", fix=f"Write it as in {_EXAMPLES}.")
    check_key(key)
    try:
        parsed = json.loads(value)
    except (ValueError, RecursionError):
        raise InvalidFeature(
            f"The value of feature {key} is no JSON: {value[:100]!r}.",
            fix=f"Write true, false, a number, or other JSON, as in {_EXAMPLES}.",
        ) from None
    if not _can_be_kept(parsed):
        raise InvalidFeature(
            f"The value of feature {key} can't be stored.",
            fix="Numbers have to be finite and within 64 bits, texts without the character U+0000.",
        )
    return key, parsed


def check_key(key: str) -> None:
    """Raises `InvalidFeature`."""
    if not all(key.split(".")) or len(key) > LONGEST_KEY or strip_control_chars(key) != key:
        raise InvalidFeature(
            f"{key!r} can't be the key of a feature.",
            fix=f"A key is words with dots between them, such as search.semantic, of up to "
            f"{LONGEST_KEY} characters.",
        )


def apply_changes(
    features: Features, given: Sequence[tuple[str, Any]], removed: Sequence[str]
) -> Features:
    """A copy without the removed keys and with the given ones. Raises `InvalidFeature`."""
    changed = deepcopy(features)
    for key in removed:
        _remove(changed, key.split("."))
    for key, value in given:
        _put(changed, key, value)
    return changed


def flatten(features: Features) -> Features:
    """{"a": {"b": 1}} → {"a.b": 1}; an empty object is a value."""
    return dict(_leaves(features))


def _leaves(features: Features, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in features.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{before}{name}.")
        else:
            yield before + name, value


def _remove(features: Features, path: Sequence[str]) -> None:
    """An object that the removal leaves empty goes too."""
    first, *rest = path
    if not rest:
        features.pop(first, None)
    elif isinstance(inner := features.get(first), dict):
        count = len(inner)
        _remove(inner, rest)
        if len(inner) < count and len(inner) == 0:
            del features[first]


def _put(features: Features, key: str, value: Any) -> None:
    *outer, last = key.split(".")
    place = features
    for number, name in enumerate(outer, 1):
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            above = ".".join(outer[:number])
            raise InvalidFeature(
                f"Feature {key} can't be set: {above} is {json.dumps(place)}, not an object.",
                fix=f"Pass --remove-feature {above} too, if that may go.",
            )
    place[last] = value


def _can_be_kept(value: Any) -> bool:
    match value:
        case str():
            return is_storable_text(value)
        case float():
            return isfinite(value)
        case int():
            return -(2**63) <= value < 2**63
        case list():
            return all(map(_can_be_kept, value))
        case dict():
            return all(_can_be_kept(part) for pair in value.items() for part in pair)
    return True
