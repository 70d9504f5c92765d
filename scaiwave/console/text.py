"""Format texts for people."""

from __future__ import annotations


def pluralize(number: int, noun: str, plural: str = "") -> str:
    """Format a number with its noun: `1 room`, `2,000 rooms`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"
