"""What is said beside figures of AI tokens."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from scaiwave.console.output import Output
from tenants.queries.serializers import Row
from tenants.queries.usage import as_of, close_to_cap


def tell_age_and_caps(output: Output, tenants: Sequence[Row], now: datetime) -> None:
    """How old the figures are, and whose are close to their cap."""
    if note := as_of(tenants, now):
        output.say(note)
    if warning := close_to_cap(tenants):
        output.warn(warning)
