"""Opaque IDs and pseudo-random bits from a seed and an index, reversibly.

An ID is the index scrambled by a bijection on 64 bits. So a million IDs need no table, and an ID
is decoded to its index.
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
    value = _undo_shift(value, 31) * SECOND_INVERSE & MASK
    value = _undo_shift(value, 27) * FIRST_INVERSE & MASK
    return _undo_shift(value, 30)


def _undo_shift(value: int, width: int) -> int:
    """Undo `x ^ (x >> width)`: each round restores `width` more bits, from the top."""
    result = value
    for _ in range(64 // width):
        result = value ^ (result >> width)
    return result


def derive_key(seed: int, purpose: str) -> int:
    """Return 64 bits that depend on seed and purpose only."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{purpose}".encode(), digest_size=8).digest())


class Ids:
    """Convert between indexes and the IDs of one entity type, such as `usr_9f…`."""

    def __init__(self, *, prefix: str, seed: int) -> None:
        self.prefix = f"{prefix}_"
        self.key = derive_key(seed, f"ids/{prefix}")

    def encode(self, index: int) -> str:
        return f"{self.prefix}{scramble(index ^ self.key):016x}"

    def decode(self, text: str) -> int | None:
        """Return the index, which need not exist, or None for text that is not such an ID."""
        digits = text.removeprefix(self.prefix)
        if len(digits) != 16 or not text.startswith(self.prefix):
            return None
        try:
            return unscramble(int(digits, 16)) ^ self.key
        except ValueError:
            return None
