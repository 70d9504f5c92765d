from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from tenants.models import ACTIVE

DEACTIVATED = Q(suspended_by_hand_at=None) & ~Q(absent_since=None)


class ConditionFilter(admin.SimpleListFilter):
    """A filter by conditions on several fields."""

    conditions: ClassVar[dict[str, Q]]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name.capitalize()) for name in self.conditions]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        condition = self.conditions.get(self.value() or "")
        return queryset if condition is None else queryset.filter(condition)


class StatusFilter(ConditionFilter):
    """Filter by the status that results from the three status fields."""

    title = "status"
    parameter_name = "status"
    conditions = {"active": ACTIVE, "suspended": ~ACTIVE & ~DEACTIVATED, "deactivated": DEACTIVATED}


class PresenceFilter(ConditionFilter):
    title = "presence in ScaiKey"
    parameter_name = "presence"
    conditions = {"present": Q(absent_since=None), "removed": ~Q(absent_since=None)}
