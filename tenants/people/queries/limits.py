"""The limits of tenants."""

from __future__ import annotations

from dataclasses import dataclass

from scaiwave.console.output import format_bytes
from tenants.models import Tenant

MIB = 1024 * 1024
# The largest value of most columns.
MAX_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class TenantLimit:
    """A field of tenants, in units of what it limits.

    `figure` is its usage in `tenants.people.queries.figures`, `key` in the rows of commands, and
    `words` in sentences.
    """

    field: str
    figure: str
    key: str
    words: str
    unit: int = 1
    maximum: int = MAX_LIMIT

    @property
    def percent(self) -> str:
        """The column with the used percentage."""
        return f"{self.figure.removesuffix('_bytes')}_percent"

    def get(self, tenant: Tenant) -> int | None:
        """Return the limit in the unit of its usage; None means unlimited."""
        value: int | None = getattr(tenant, self.field)
        return None if value is None else value * self.unit

    def format(self, number: int) -> str:
        return format_bytes(number) if self.unit == MIB else f"{number:,}"


LIMITS = (
    TenantLimit("max_participants", "participants", "participants", "active participants"),
    TenantLimit("max_rooms", "rooms", "rooms", "rooms"),
    TenantLimit("max_storage_mb", "storage_bytes", "storage_bytes", "storage", unit=MIB),
    TenantLimit(
        *("max_ai_tokens_month", "ai_tokens", "ai_tokens_month", "AI tokens this month"),
        maximum=2**63 - 1,
    ),
)
BY_FIGURE = {limit.figure: limit for limit in LIMITS}
