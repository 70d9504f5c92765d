"""What a run may take: removals, look-ups and time; and the commands that its errors advise."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from shlex import quote


@dataclass(frozen=True)
class RemovalLimit:
    """The limit is exceeded by more than `limit` losses and more than `share` (0 to 1) of the rows.

    `allowed`, if set, permits a plan with at most that many losses in total. `spent` has the losses
    of earlier runs, by measure and tenant, which count too. `suspensions` and `suspension_share`
    are the limit of tenants that ScaiKey suspends.
    """

    limit: int
    share: float
    allowed: int | None = None
    spent: Mapping[tuple[str, str], int] = field(default_factory=dict)
    suspensions: int = 3
    suspension_share: float = 0.1

    def is_exceeded(self, removals: int, present: int) -> bool:
        return removals > self.limit and removals > present * self.share

    def allows(self, total: int) -> bool:
        return self.allowed is not None and total <= self.allowed

    def count_spent(self, measure: str, tenant_id: str | None = None) -> int:
        """Count the losses of earlier runs, of one tenant or of all."""
        if tenant_id is not None:
            return self.spent.get((measure, tenant_id), 0)
        return sum(number for (kind, _), number in self.spent.items() if kind == measure)


@dataclass
class LookupBudget:
    """How many look-ups one run may make, and for how many seconds from the first one on."""

    lookups: float = math.inf
    seconds: float = math.inf
    end: float | None = None

    def limit(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield the keys until the budget is spent."""
        for key in keys:
            now = time.monotonic()
            self.end = now + self.seconds if self.end is None else self.end
            if self.lookups <= 0 or now >= self.end:
                return
            self.lookups -= 1
            yield key


@dataclass(frozen=True)
class Rules:
    """What a run may take: its limit and the time; and the commands that its errors advise.

    `tenant` is the slug of its only tenant, and `apply` the command that applies the file of its
    plan, if there is one. `review` is the limit that a plan for review is compared with, though
    nothing waits in it.
    """

    limit: RemovalLimit
    now: datetime
    tenant: str | None = None
    apply: str = ""
    review: RemovalLimit | None = None

    @property
    def sync(self) -> str:
        """The command that makes the plan of this run again."""
        return f"scaiwave sync{self._option}"

    @property
    def removals(self) -> str:
        """The command that lists the removals that wait."""
        return f"scaiwave sync removals{self._option}"

    @property
    def _option(self) -> str:
        return f" --tenant {quote(self.tenant)}" if self.tenant else ""

    @property
    def again(self) -> str:
        return self.apply or self.sync
