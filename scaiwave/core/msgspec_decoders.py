"""Decoders of msgspec, created under a lock.

msgspec analyses a type when it first meets it. If two threads do so at once, the process dies of a
segmentation fault (msgspec 0.22.0), and several threads decode pages and requests. A type that was
analysed once is safe.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

_lock = threading.Lock()
_decoders: dict[object, msgspec.json.Decoder[object]] = {}


def get_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    """Return the decoder of a type, which threads may share."""
    decoder = _decoders.get(kind)
    if decoder is None:
        with _lock:
            decoder = _decoders.setdefault(kind, msgspec.json.Decoder(kind))
    return decoder


def register_structs(*kinds: type[msgspec.Struct]) -> None:
    """Make types safe for `msgspec.convert`. Call it where they are defined."""
    for kind in kinds:
        get_decoder(kind)
