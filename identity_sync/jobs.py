"""What workers run: the same services as the verbs, with nobody watching."""

from __future__ import annotations

from typing import Any

from identity_sync.models import Trigger
from identity_sync.services.sync.run import SyncOptions, run_sync
from scaiwave.auth.operators import host_operator
from scaiwave.console.progress import null_progress_factory


def full_sync() -> dict[str, Any]:
    """One scheduled full sync; what it raises fails the job, and the run is kept either way.

    The host acts, also where SCAIWAVE_REQUIRE_ADMIN_TOKEN asks people for a token: a schedule
    has no session, and whoever set it up could read this server's configuration.
    """
    report = run_sync(SyncOptions(host_operator(), null_progress_factory, trigger=Trigger.CRON))
    return {**report.document(), "run_id": str(report.run_id)}
