"""What is said beside figures of AI tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from scaiwave.console.output import Output
from tenants.queries.serializers import Row
from tenants.queries.usage import cap_warning, format_age


def print_usage_notes(output: Output, tenants: Sequence[Row], now: datetime) -> None:
    """How old the figures are, and whose are close to their cap."""
    if note := format_age(tenants, now):
        output.log(note)
    if warning := cap_warning(tenants):
        output.warn(warning)
