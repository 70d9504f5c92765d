"""Start the processing of stored events."""

from __future__ import annotations

import logging
import subprocess

from scaiwave.queue.launch import launch
from tenants.lookup.restoration import find_restoration

JOB = "identity_sync.jobs.process_webhooks"

logger = logging.getLogger(__name__)


def start_processing() -> None:
    """Start a job or a process, unless one has been started already, and return at once.

    Failures are only logged: the event is stored, and the next delivery or full sync handles it.
    On a restored server it waits for the activation.
    """
    if find_restoration() is not None:
        return
    try:
        launch(JOB)
    except (OSError, subprocess.SubprocessError) as error:
        logger.warning("Webhooks wait for the next full sync: no process can be started: %s", error)
