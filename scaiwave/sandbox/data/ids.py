"""Deterministic chaos: opaque ids and even choices out of (seed, index), with a way back.

An id is the index scrambled by a bijection on 64 bits, so that a million ids need no table and
an id that comes in names its index at once.
"""

from __future__ import annotations

import hashlib

MASK = (1 << 64) - 1
# The finaliser of splitmix64; the inverses undo its two multiplications modulo 2**64.
FIRST, SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
FIRST_INVERSE, SECOND_INVERSE = pow(FIRST, -1, 1 << 64), pow(SECOND, -1, 1 << 64)


def scramble(value: int) -> int:
    value = ((value ^ (value >> 30)) * FIRST) & MASK
    value = ((value ^ (value >> 27)) * SECOND) & MASK
    return value ^ (value >> 31)


def unscramble(value: int) -> int:
    value = _unshift(value, 31) * SECOND_INVERSE & MASK
    value = _unshift(value, 27) * FIRST_INVERSE & MASK
    return _unshift(value, 30)


def _unshift(value: int, width: int) -> int:
    """Undo `x ^ (x >> width)`: each round gets `width` more bits right, from the top."""
    result = value
    for _ in range(64 // width):
        result = value ^ (result >> width)
    return result


def derive_key(seed: int, purpose: str) -> int:
    """64 bits that depend on seed and purpose alone."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest())


class Ids:
    """Ids of one kind, such as `usr_9f…`, to index and back."""

    def __init__(self, *, prefix: str, seed: int) -> None:
        self.prefix = f"{prefix}_"
        self.key = derive_key(seed, f"ids/{prefix}")

    def encode(self, index: int) -> str:
        return f"{self.prefix}{scramble(index ^ self.key):016x}"

    def decode(self, text: str) -> int | None:
        """The index, which need not exist; None for what can't be an id of this kind."""
        digits = text.removeprefix(self.prefix)
        if len(digits) != 16 or not text.startswith(self.prefix):
            return None
        try:
            return unscramble(int(digits, 16)) ^ self.key
        except ValueError:
            return None
