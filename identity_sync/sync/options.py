"""The options of a sync."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from identity_sync.models import Trigger
from identity_sync.sync.fetch.announced import Targets
from identity_sync.sync.record.plan_file import PlanWriter, ReviewedPlan
from scaiwave.clients.scaikey.client import ScaiKeyClient, scaikey_client
from scaiwave.config import Configuration
from scaiwave.console.progress import ProgressFactory
from scaiwave.core.operators import Operator


@dataclass(frozen=True)
class SyncOptions:
    """The options of one run.

    `tenant` is the ID or slug of the only tenant to sync. `allow_removals` permits that many losses
    of access, `allow_no_super_admin` a plan that leaves no super admin; without `removals` no one
    loses access. `on_planned` is called while the plan can be read. `connect` creates the client.
    `targets` are the single records of a run that reads nothing else. `wait_seconds` is how long
    the run waits for the lock, and `on_waiting` is called before it does. `timeout` is the limit of
    the whole run in seconds, for the main thread only. `plan_writer` writes the plan of a dry run
    to a file; `reviewed` is the plan whose losses of access this run must have, and may have.
    `run_id` is the ID of the run in the history, where it was promised before. For the audit log:
    `requested_by` is who asked for the run, if not `operator`, and `purge_after_days` what is
    purged afterwards.
    """

    operator: Operator
    progress_factory: ProgressFactory
    tenant: str | None = None
    dry_run: bool = False
    allow_removals: int | None = None
    allow_no_super_admin: bool = False
    trigger: Trigger = Trigger.MANUAL
    on_planned: Callable[[], None] | None = None
    connect: Callable[[Configuration], ScaiKeyClient] = scaikey_client
    targets: Targets | None = None
    wait_seconds: float = 0
    on_waiting: Callable[[], None] | None = None
    timeout: float | None = None
    removals: bool = True
    plan_writer: PlanWriter | None = None
    reviewed: ReviewedPlan | None = None
    run_id: UUID | None = None
    requested_by: Operator | None = None
    purge_after_days: int | None = None

    @property
    def plan_path(self) -> Path | None:
        """The file that the plan is written to, or was read from."""
        source = self.plan_writer or self.reviewed
        return source.path if source else None

    @property
    def is_full(self) -> bool:
        """Whether the run reads everything and may write it."""
        return self.tenant is None and self.targets is None and not self.dry_run
