"""The report of a run, which is also the document that `sync --json` prints."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import NamedTuple, TypedDict
from uuid import UUID

from scaiwave.console.text import pluralize

KINDS = ("partners", "tenants", "participants", "groups", "memberships")
LOSSES = {
    "people": ("person", "people"),
    "grants": ("role grant", "role grants"),
    "memberships": ("group membership", "group memberships"),
    "groups": ("group", "groups"),
    "tenants": ("tenant", "tenants"),
    "partners": ("partner", "partners"),
}
"""The measures of losses of access, with their nouns; a person counts once."""


def format_losses(losses: Mapping[str, int]) -> str:
    """Format as `25 people, 85 group memberships`. The people affected by any loss are no more."""
    counts = ((losses.get(kind), nouns) for kind, nouns in LOSSES.items())
    return ", ".join(pluralize(number, *nouns) for number, nouns in counts if number)


@dataclass
class KindCounts:
    """Counts for one kind; `skipped` are rows that differ but were left unchanged."""

    seen: int = 0
    added: int = 0
    updated: int = 0
    deactivated: int = 0
    restored: int = 0
    unchanged: int = 0
    skipped: int = 0

    @property
    def change_count(self) -> int:
        return self.added + self.updated + self.deactivated + self.restored


class CountedLosses(NamedTuple):
    """A number of losses in one tenant, whose ID is empty for partners."""

    measure: str
    tenant_id: str
    number: int


class PlanRow(TypedDict):
    """A plan file as JSON has it; `applied_at` is when an earlier run applied it."""

    path: str
    digest: str
    expires_at: datetime
    applied_at: datetime | None


@dataclass
class SyncReport:
    """`outcome` is applied, planned, refused, partial or failed.

    `losses` counts the losses of access among the changes, or among the refused ones;
    `losses_by_tenant` the ones among the changes by measure and tenant, and `counted_losses` which
    of these count for the limit of later runs. `pending_count` is the number of removals that wait
    for a decision. `plan` describes the file that the plan was written to or read from, and when an
    earlier run applied it. `off_count` counts the losses that are skipped because removals are
    turned off. `purge` counts those who were `due` to be purged after the run, and those who were
    `purged`; it is None if that was not asked for.
    """

    run_id: UUID | None
    outcome: str = "failed"
    kinds: dict[str, KindCounts] = field(
        default_factory=lambda: {kind: KindCounts() for kind in KINDS}
    )
    losses: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LOSSES, 0))
    losses_by_tenant: dict[tuple[str, str], int] = field(default_factory=dict)
    counted_losses: list[CountedLosses] = field(default_factory=list)
    pending_count: int = 0
    requests: int = 0
    duration_seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)
    plan: PlanRow | None = None
    off_count: int = 0
    purge: dict[str, int] | None = None
    undecided: Mapping[tuple[str, str], str] = field(default_factory=dict)
    new_tenants: Collection[str] = ()

    @property
    def change_count(self) -> int:
        return sum(counts.change_count for counts in self.kinds.values())

    @property
    def has_losses(self) -> bool:
        return any(self.losses.values())

    def fail(self) -> None:
        """Reset the counts: nothing was applied, and counts of a plan would look as if it was."""
        self.outcome = "failed"
        self.kinds = {kind: KindCounts() for kind in KINDS}
        self.losses = dict.fromkeys(LOSSES, 0)
        self.losses_by_tenant = {}
        self.counted_losses = []
        self.pending_count = 0

    def counts(self) -> dict[str, dict[str, int]]:
        return {kind: asdict(counts) for kind, counts in self.kinds.items()}

    def document(self) -> dict[str, object]:
        """Return the JSON document; its keys are a contract with scripts."""
        return {
            "run_id": self.run_id,
            "outcome": self.outcome,
            "kinds": self.counts(),
            "losses": self.losses,
            "pending_removals": self.pending_count,
            "requests": self.requests,
            "duration_seconds": round(self.duration_seconds, 3),
            "plan": self.plan,
            "purge": self.purge,
        }
