"""What becomes of a loss of access in one run: one word for each state.

A *claim* is what a list of ScaiKey shows. If a look-up confirms it, it becomes a *removal* of the
plan, which this run applies or lets wait. What someone no longer has then is a *loss*; `reasons`
has the codes of losses and of reasons, which are stored. These states are in temporary tables only.
"""

from __future__ import annotations

from enum import StrEnum

from scaiwave.core.sql import sql_list


class ClaimState(StrEnum):
    """The state of a row in `loss_claims`, and what a look-up makes of it."""

    OPEN = "open"
    """It is not decided yet."""
    CONFIRMED = "confirmed"
    """A look-up has proven it, or two complete lists."""
    IMPLIED = "implied"
    """It is a membership that ends with its member, who is removed or moved."""
    REFUTED = "refuted"
    """The record was found, and still has its access."""
    POSTPONED = "postponed"
    """Nothing is proven: the next run tries again."""
    INCONSISTENT = "inconsistent"
    """A sample shows that the list is wrong, so that the removals of its kind stop."""
    WAITING = "waiting"
    """It was not looked up, because its removal waits for a decision anyway."""
    OFF = "off"
    """Access is left: removals are turned off, or a list can't be read."""
    RETURNED = "returned"
    """It is a membership of a group that returns. It gave no access, so that nothing is lost."""


class Judgment(StrEnum):
    """The state of a row in `removals`: what this run does with a confirmed loss of access."""

    DUE = "due"
    """It is applied unless it exceeds the limit of its tenant or of the server."""
    SUSPENSION = "suspension"
    """It is due; ScaiKey's own record is suspended, which has a limit of its own."""
    ANNOUNCED = "announced"
    """It is due; a webhook named the person, which has a limit of its own."""
    APPROVED = "approved"
    """An operator has permitted exactly this one."""
    ALLOWED = "allowed"
    """It is permitted by a number, or planned for a review."""
    COVERED = "covered"
    """It follows from another one (`root_id`), and is applied or skipped with it."""
    PENDING = "pending"
    """It waits for a decision."""
    KEPT = "kept"
    """An operator has refused it until a date."""
    OFF = "off"
    """Removals are turned off here."""


UNDECIDED = sql_list((ClaimState.POSTPONED, ClaimState.INCONSISTENT, ClaimState.OFF))
"""The claims that leave the row as it is."""

SKIPPED = sql_list((Judgment.PENDING, Judgment.KEPT, Judgment.OFF))
"""The removals that this run skips."""

APPLIED = f"r.state NOT IN {SKIPPED}"
"""The condition of the removals that this run applies, in SQL."""
