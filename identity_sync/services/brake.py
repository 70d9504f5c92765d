"""The brake: a plan that removes too much of a kind stops before the first write.

Count alone stops large servers for nothing, share alone small ones, so it takes both.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RemovalLimit:
    """`limit` rows or `share` (0 to 1) of what is there may go; more than both is too much.

    `allowed`, if given, lets a plan through that removes no more than that in all.
    """

    limit: int
    share: float
    allowed: int | None = None

    def stops(self, *, removals: int, present: int) -> bool:
        return removals > self.limit and removals > present * self.share

    def lifted_for(self, total: int) -> bool:
        return self.allowed is not None and total <= self.allowed
