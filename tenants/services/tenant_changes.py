"""What is different about a tenant, field by field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scaiwave.console.output import to_json
from tenants.models import Tenant
from tenants.queries.serializers import Row
from tenants.services.features import flatten
from tenants.services.tenant_limits import GREATEST

State = dict[str, Any]
_FEATURE = "features."


@dataclass(frozen=True)
class Change:
    """One field, or one key of the features: JSON values, and words for people."""

    field: str
    old: Any
    new: Any
    was: str
    becomes: str

    def document(self) -> Row:
        return {"field": self.field, "old": self.old, "new": self.new}


def snapshot(tenant: Tenant) -> State:
    """What can be changed of a tenant, with the features by their dotted keys."""
    return {
        "name": tenant.name,
        "slug": tenant.slug,
        "partner": str(tenant.partner) if tenant.partner else None,
        **{limit: getattr(tenant, limit) for limit in GREATEST},
        **{_FEATURE + key: value for key, value in flatten(tenant.features).items()},
    }


def changes_between(before: State, after: State) -> list[Change]:
    return [
        Change(
            field,
            before.get(field),
            after.get(field),
            was=_words(before, field),
            becomes=_words(after, field),
        )
        for field in {**before, **after}
        if _words(before, field) != _words(after, field)
    ]


def _words(state: State, field: str) -> str:
    """Different for different values: to Python 1 equals true, and null what isn't there."""
    if field not in state:
        return "not set"
    value = state[field]
    if field.startswith(_FEATURE):
        return to_json(value, indent=None)
    if field in GREATEST:
        return "no limit" if value is None else f"{value:,}"
    return "none" if value is None else str(value)
