"""What a face of the suite asks of a run: the command line, a job, the admin site or a webhook."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from identity_sync.models import Trigger
from identity_sync.sync.fetch.announced import AnnouncedRecords
from identity_sync.sync.record.plan_file import PlanWriter, ReviewedPlan
from scaiwave.clients.scaikey.client import ScaiKeyClient, scaikey_client
from scaiwave.config import Configuration
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.core.operators import Operator


@dataclass(frozen=True)
class Permissions:
    """What a person permits on the command line; the audit log names it.

    Without `removals` no one loses access. `allow_removals` permits that many losses instead of the
    removal limit, `allow_no_super_admin` a plan that leaves no one with that role. People who were
    removed `purge_after_days` days ago are purged after the run.
    """

    removals: bool = True
    allow_removals: int | None = None
    allow_no_super_admin: bool = False
    purge_after_days: int | None = None


@dataclass(frozen=True)
class Pace:
    """How many seconds a run waits for the lock, and how many it may take, waiting included.

    `on_waiting` is called before it waits. `timeout` works in the main thread only.
    """

    wait_seconds: float = 0
    on_waiting: Callable[[], None] | None = None
    timeout: float | None = None


@dataclass(frozen=True)
class RequestedRun:
    """Who asked for the run in the admin site, and the ID that its row was promised."""

    run_id: UUID
    operator: Operator


@dataclass(frozen=True)
class SyncOptions:
    """The options of one run: of everything, of one tenant, or of announced records.

    `tenant` is an ID or a slug. `plan` is the file that the plan of a dry run is written to, or the
    reviewed plan whose losses of access this run must have, and may have. `on_planned` is called
    while the plan can be read. `connect` creates the client.
    """

    operator: Operator
    trigger: Trigger = Trigger.MANUAL
    tenant: str | None = None
    announced: AnnouncedRecords | None = None
    dry_run: bool = False
    permissions: Permissions = Permissions()
    pace: Pace = Pace()
    plan: PlanWriter | ReviewedPlan | None = None
    request: RequestedRun | None = None
    progress_factory: ProgressFactory = null_progress_factory
    on_planned: Callable[[], None] | None = None
    connect: Callable[[Configuration], ScaiKeyClient] = scaikey_client

    @property
    def asked_by(self) -> Operator:
        """Whom the audit log names."""
        return self.request.operator if self.request else self.operator

    def describe_permissions(self) -> dict[str, str | int | None]:
        """Return the exceptions from the usual limits, or None, as the audit log has them."""
        reviewed = self.plan.head.run_id if isinstance(self.plan, ReviewedPlan) else None
        return {
            "allow_removals": self.permissions.allow_removals,
            "plan_run_id": None if reviewed is None else str(reviewed),
            "allow_no_super_admin": self.permissions.allow_no_super_admin or None,
            "purge_after_days": self.permissions.purge_after_days,
        }
