"""The numbers of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

from identity_sync.report import KindCounts
from identity_sync.sync.plan.slugs import SlugConflict
from scaiwave.core.errors import ScaiWaveError
from tenants.models import Tenant


@dataclass
class Plan:
    """The numbers of planned changes, and the numbers to compare them with.

    `present` counts the rows of each kind before the run, `staged` what ScaiKey returned, and
    `unplaced` which of them have no tenant here. `conflicts` are tenants that are skipped because
    of their slug, `inconsistent` the kinds whose removals stopped, `unreadable` the lists that
    can't be read. `claimed` counts the losses that the lists claimed. `tenant` is the only one of
    the run, or None. A run for single records (`targets_only`) has no complete lists.
    `apply_command` is the command that applies the file of a plan for review. `counted_apart` are
    the losses that have a limit of their own.
    """

    tenant: Tenant | None = None
    kinds: dict[str, KindCounts] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    staged: dict[str, int] = field(default_factory=dict)
    unplaced: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    conflicts: list[SlugConflict] = field(default_factory=list)
    inconsistent: list[str] = field(default_factory=list)
    unusable: int = 0
    unreadable: Mapping[tuple[str, str], ScaiWaveError] = field(default_factory=dict)
    counted_apart: list[list[Any]] = field(default_factory=list)
    claimed: int = 0
    targets_only: bool = False
    apply_command: str = ""

    @property
    def command(self) -> str:
        """The command that makes this plan again, or applies its file."""
        return self.apply_command or self.plan_command

    @property
    def plan_command(self) -> str:
        return (
            f"scaiwave sync --tenant {quote(self.tenant.slug)}" if self.tenant else "scaiwave sync"
        )
