"""Jobs of the workers, which run the same services as the commands."""

from __future__ import annotations

from typing import Any

from identity_sync.models import Trigger
from identity_sync.services.sync.run import SyncOptions, run_sync
from identity_sync.services.webhooks.process import process_events
from scaiwave.auth.operators import get_host_operator
from scaiwave.console.progress import null_progress_factory


def full_sync() -> dict[str, Any]:
    """Run a scheduled full sync and return its report; an error fails the job. The run is recorded.

    It runs as the host operator even if SCAIWAVE_REQUIRE_ADMIN_TOKEN is set: a schedule has no
    session, and only someone with access to this server's configuration can set it up.
    """
    report = run_sync(SyncOptions(get_host_operator(), null_progress_factory, trigger=Trigger.CRON))
    return {**report.document(), "run_id": str(report.run_id)}


def process_webhooks() -> None:
    """Handle the stored webhooks, as the host operator."""
    process_events(operator=get_host_operator())
