"""What verifying the audit log finds, and the result of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from scaiwave.console.text import pluralize
from tenants.errors import AuditChanged, AuditSealedAhead, AuditUnsealed
from tenants.lookup.serializers import Row

MAX_LISTED = 1000
MAX_LISTED_OF_DAY = 100


class Kind(Enum):
    """Kinds of problems: a contract of --json, described in docs/how-to/audit-seals.md."""

    CHANGED = "changed"
    MISSING = "missing"
    INSERTED = "inserted"
    DAY_CHANGED = "day_changed"
    HASHES_CHANGED = "hashes_changed"
    NOT_SEALED = "not_sealed"
    FUTURE = "future"
    SEALED_AHEAD = "sealed_ahead"
    SEAL_MISSING = "seal_missing"
    SEAL_CHANGED = "seal_changed"
    CHAIN_BROKEN = "chain_broken"
    SIGNATURE_WRONG = "signature_wrong"
    KEY_UNKNOWN = "key_unknown"
    KEY_NOT_TRUSTED = "key_not_trusted"
    PRUNING_INVALID = "pruning_invalid"
    STATE_CHANGED = "state_changed"
    DIFFERS_FROM_KEPT = "differs_from_kept"
    DIFFERS_FROM_REMEMBERED = "differs_from_remembered"
    DIFFERS_FROM_SERVER = "differs_from_server"
    FILE_DAMAGED = "file_damaged"


@dataclass(frozen=True)
class Problem:
    kind: Kind
    message: str
    day: str | None = None
    entry_id: str | None = None

    def row(self) -> Row:
        return {
            "kind": self.kind.value,
            "day": self.day,
            "entry_id": self.entry_id,
            "message": self.message,
        }


@dataclass
class Problems:
    """Counts all problems and keeps the first of them."""

    count: int = 0
    listed: list[Problem] = field(default_factory=list)

    def add(
        self, kind: Kind, message: str, *, day: str | None = None, entry_id: str | None = None
    ) -> None:
        self.extend([Problem(kind, message, day, entry_id)], 1)

    def extend(self, problems: Sequence[Problem], count: int) -> None:
        self.count += count
        self.listed += problems[: MAX_LISTED - len(self.listed)]


@dataclass(frozen=True)
class VerifyAuditResult:
    """`seals` and `entries` count the verified ones, `unsealed` the entries without a seal.

    `pruned_through` is the last day whose entries retention has deleted. `newest_seal` is the one
    that confirms all before it, as `KeptSeal` writes it, and `key_id` its key.
    """

    seals: int
    entries: int
    first_day: str | None
    last_day: str | None
    pruned_through: str | None
    unsealed: int
    newest_seal: str | None
    key_id: str | None
    problems: Problems

    @property
    def error(self) -> AuditChanged | AuditSealedAhead | AuditUnsealed | None:
        if not self.problems.count:
            return None
        found = pluralize(self.problems.count, "problem")
        first = self.problems.listed[0].message
        match [*{problem.kind for problem in self.problems.listed}]:
            case [Kind.NOT_SEALED]:
                return AuditUnsealed(first)
            case [Kind.SEALED_AHEAD]:
                return AuditSealedAhead(first)
        return AuditChanged(f"The audit log is not as it was sealed: {found} found. {first}")

    @property
    def sentence(self) -> str:
        counts = (
            f"{pluralize(self.seals, 'seal')} and {pluralize(self.entries, 'entry', 'entries')}"
        )
        if self.problems.count:
            return f"Checked {counts}: {pluralize(self.problems.count, 'problem')} found."
        if not self.seals:
            return "No day is sealed yet."
        period = f" from {self.first_day} to {self.last_day}" if self.seals > 1 else ""
        pruned = (
            f" Entries through {self.pruned_through} were deleted by retention."
            if self.pruned_through
            else ""
        )
        return f"The audit log is as it was sealed: {counts}{period}.{pruned}"

    def facts(self) -> Row:
        return {
            "seals": self.seals,
            "entries": self.entries,
            "first_day": self.first_day,
            "last_day": self.last_day,
            "pruned_through": self.pruned_through,
            "unsealed_entries": self.unsealed,
            "newest_seal": self.newest_seal,
            "key_id": self.key_id,
        }

    def document(self) -> Row:
        return {
            "intact": self.error is None,
            **self.facts(),
            "problem_count": self.problems.count,
            "problems": [problem.row() for problem in self.problems.listed],
        }
