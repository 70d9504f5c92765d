"""Keep the last report of `scaiwave doctor`, for the admin site."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from scaiwave.auth.operators import Operator, Permission
from tenants.models import DoctorRun


def store_health_report(operator: Operator, document: Mapping[str, Any], now: datetime) -> None:
    """Replace the stored report; `document` is what `doctor --json` prints."""
    operator.require(Permission.MANAGE_PLATFORM)
    DoctorRun.objects.update_or_create(
        number=1,
        defaults={
            "ran_at": now,
            "operator": operator.name,
            "is_healthy": document["healthy"],
            "findings": document["checks"],
        },
    )
