"""What workers run: the same services as the verbs, with nobody watching."""

from __future__ import annotations

from typing import Any

from identity_sync.models import Trigger
from identity_sync.services.sync.run import Wish, run_sync
from scaiwave.auth.operators import host_operator
from scaiwave.console.progress import no_bars


def full_sync() -> dict[str, Any]:
    """One scheduled full sync; what it raises fails the job, and the run is kept either way.

    The host acts, also where SCAIWAVE_REQUIRE_ADMIN_TOKEN asks people for a token: a schedule
    has no session, and whoever set it up could read this server's configuration.
    """
    report = run_sync(Wish(host_operator(), no_bars, trigger=Trigger.CRON))
    return {**report.document(), "run_id": str(report.run_id)}
