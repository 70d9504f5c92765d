"""Bundles with a few changes, as hypothesis makes them up."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

from tests.rooms.bundle.factories import WHEN, encode_manifest, make_uid
from tests.rooms.bundle.golden import make_document

Json = dict[str, Any]

ODD: list[Any] = [
    None, True, 0, -1, 1.5, "", "x", "\0", WHEN, make_uid(3), [], {}, [[]], {"a": {"a": 1}}, 2**63,
    2**70, 10**400, float("nan"), float("inf"), "\ud800", "x" * 70_000,
]  # fmt: skip


@st.composite
def changed_bytes(draw: st.DrawFn, raw: bytes) -> bytes:
    changed = bytearray(raw)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw) - 1))
        match draw(st.sampled_from(["set", "insert", "delete", "copy"])):
            case "set":
                changed[at : at + 1] = draw(st.binary(min_size=1, max_size=4))
            case "insert":
                changed[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "delete":
                del changed[at : at + draw(st.integers(1, 30))]
            case _:
                source = draw(st.integers(0, len(raw) - 1))
                changed[at:at] = raw[source : source + 60]
    return bytes(changed)


@st.composite
def changed_manifests(draw: st.DrawFn) -> tuple[Json, bytes]:
    """Return a manifest with other values, and its encoding, with or without events on lines."""
    changed = copy.deepcopy(make_document())
    del changed["media"][:3]
    for _ in range(draw(st.integers(1, 3))):
        places = _list_places(changed)
        container, key = places[draw(st.integers(0, len(places) - 1))]
        match draw(st.sampled_from(["set", "set", "delete", "double"])):
            case "set":
                container[key] = copy.deepcopy(draw(st.sampled_from(ODD)))
            case "delete":
                del container[key]
            case _ if isinstance(container, list):
                container.insert(key, copy.deepcopy(container[key]))
            case _:
                container[f"{key}2"] = copy.deepcopy(container[key])
    has_lines = draw(st.booleans())
    try:
        raw = encode_manifest(changed) if has_lines else json.dumps(changed).encode()
    except (UnicodeEncodeError, KeyError, TypeError):
        raw = json.dumps(changed).encode()
    return changed, raw


def _list_places(value: Any) -> list[tuple[Any, Any]]:
    """Return the position of every value: its container, and its key or index."""
    found = []
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in list(children):
        found.append((value, key))
        if isinstance(child, dict | list):
            found += _list_places(child)
    return found
