"""The limits for losses of access."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
