"""Jobs for workers. They call the same services as the commands."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils import timezone

from scaiwave.auth.operators import get_host_operator
from tenants.services import usage as service
from tenants.services.usage import build_usage_fetch


def refresh_usage() -> dict[str, Any]:
    """Refresh the AI token figures on schedule. An error fails the job.

    The job runs as the host operator even if SCAIWAVE_REQUIRE_ADMIN_TOKEN is set: a schedule has
    no session, and its author can read this server's configuration.
    """
    result = service.refresh_usage(
        operator=get_host_operator(), fetch=build_usage_fetch(settings.CONFIG), now=timezone.now()
    )
    return result.document()
