"""The one place where msgspec is shown a struct type for the first time.

It looks at a type when it first meets it. Where two threads meet it at once, the second finds what
the first has half built, and the process dies of a segmentation fault (msgspec 0.22.0). Pages of a
walk are decoded by several threads, and so are requests. So types are shown to it under a lock;
what has been seen once is safe.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

_lock = threading.Lock()
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def get_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """The one decoder of a type, which threads may share."""
    found = _decoders.get(kind)
    if found is None:
        with _lock:
            found = _decoders.setdefault(kind, msgspec.json.Decoder(kind))
    return found


def register_structs(*kinds: type[msgspec.Struct]) -> None:
    """Make types safe for `msgspec.convert`; to be called where they are defined."""
    for kind in kinds:
        get_decoder(kind)
