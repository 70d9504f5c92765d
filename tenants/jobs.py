"""What workers run: the same services as the verbs, with nobody watching."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils import timezone

from scaiwave.auth.operators import get_host_operator
from tenants.services import usage as service
from tenants.services.usage import build_usage_fetch


def refresh_usage() -> dict[str, Any]:
    """One scheduled refresh of the AI tokens; what it raises fails the job.

    The host acts, also where SCAIWAVE_REQUIRE_ADMIN_TOKEN asks people for a token: a schedule
    has no session, and whoever set it up could read this server's configuration.
    """
    result = service.refresh_usage(
        operator=get_host_operator(), fetch=build_usage_fetch(settings.CONFIG), now=timezone.now()
    )
    return result.document()
