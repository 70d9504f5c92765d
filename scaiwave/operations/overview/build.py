"""Build the start page of the admin site from its parts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from scaiwave.core.operators import Operator
from scaiwave.operations.overview.keys import build_key_part
from scaiwave.operations.overview.rooms import build_limited_part as build_limited_room_part
from scaiwave.operations.overview.rooms import build_room_part
from scaiwave.operations.overview.sync import build_sync_part
from scaiwave.operations.overview.tenants import build_limited_part, build_tenant_part
from scaiwave.site.overview import join_parts

PARTS = (build_sync_part, build_tenant_part, build_room_part, build_key_part)
"""In the order of the page."""
LIMITED_PARTS = (build_limited_part, build_limited_room_part)
"""For operators who see only some tenants: the usual parts are about all."""


def build_overview(now: datetime, operator: Operator | None = None) -> dict[str, Any]:
    """Return all parts as a JSON document: `cards`, `tables`, `charts`, `lists`.

    `operator` is someone who sees only some tenants. What they get depends on their role and its
    partner or tenant alone.
    """
    if operator is not None:
        return join_parts([build(operator, now) for build in LIMITED_PARTS])
    return join_parts([build(now) for build in PARTS])
