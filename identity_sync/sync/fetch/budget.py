"""How many look-ups one run may make, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass


@dataclass
class LookupBudget:
    """How many look-ups one run may make, and for how long; None is unlimited."""

    lookups: int | None
    seconds: float | None
    clock: Callable[[], float] = time.monotonic
    started: float | None = None
    used: int = 0

    def spend(self) -> bool:
        """Take one look-up out of the budget; return False if none is left."""
        if self.started is None:
            self.started = self.clock()
        if self.lookups is not None and self.used >= self.lookups:
            return False
        if self.seconds is not None and self.clock() - self.started >= self.seconds:
            return False
        self.used += 1
        return True

    def limit(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield the keys until the budget is spent."""
        for key in keys:
            if not self.spend():
                return
            yield key
