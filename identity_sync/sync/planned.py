"""The numbers of a plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from shlex import quote

from identity_sync.report import KindCounts
from identity_sync.sync.slugs import SlugConflict
from scaiwave.core.errors import ScaiWaveError
from tenants.models import Tenant


@dataclass
class Plan:
    """The numbers of planned changes, and what they are compared with.

    `present` counts the rows of each kind before the run, `staged` what ScaiKey returned, and
    `unplaced` those of them without a tenant here. `conflicts` are tenants that are skipped because
    of their slug, `inconsistent` the kinds whose removals stopped, `unreadable` the groups whose
    members can't be read. `skipped_losses` counts losses that the removal limit leaves out,
    `claimed` those that the lists claimed; `is_assumed` is true
    if not all of them were looked up. `tenant` is the only one of the run, or None. The losses of a
    run for single records (`targets_only`) are compared with everything in scope; `edges_in_scope`
    are all group memberships there. `apply_command` is the command that applies the file of a plan
    for review. `must_be_counted` is true if rows of the plan were skipped after they were counted.
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
    unreadable: Mapping[str, ScaiWaveError] = field(default_factory=dict)
    skipped_losses: int = 0
    claimed: int = 0
    is_assumed: bool = False
    targets_only: bool = False
    edges_in_scope: int = 0
    apply_command: str = ""
    must_be_counted: bool = False

    @property
    def command(self) -> str:
        """The command that makes this plan again, or applies its file."""
        return self.apply_command or self.plan_command

    @property
    def plan_command(self) -> str:
        return (
            f"scaiwave sync --tenant {quote(self.tenant.slug)}" if self.tenant else "scaiwave sync"
        )
