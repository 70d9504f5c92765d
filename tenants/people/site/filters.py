from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from scaiwave.core.operators import OperatorRole
from scaiwave.site.access import find_limited_operator
from scaiwave.site.filters import ExactValueFilter, TypedFilter
from scaiwave.site.formatting import NEAR_LIMIT
from tenants.lookup.resolve import parse_uuid
from tenants.lookup.status_filters import status_q
from tenants.models import Partner, Tenant
from tenants.people.queries.figures import filter_by_share, filter_by_total


class ConditionFilter(admin.SimpleListFilter):
    """A filter by conditions on several fields."""

    conditions: ClassVar[dict[str, Q]]
    titles: ClassVar[dict[str, str]] = {}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, self.titles.get(name, name.capitalize())) for name in self.conditions]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        condition = self.conditions.get(self.value() or "")
        return queryset if condition is None else queryset.filter(condition)


class StatusFilter(ConditionFilter):
    """Filter by the status that results from the three status fields."""

    title = "status"
    parameter_name = "status"
    conditions = {name: status_q(name) for name in ("active", "suspended", "deactivated")}


class TenantFilter(TypedFilter):
    """Filter by the slug, the name or the ID of a tenant, for accounts that see several."""

    title = "tenant"
    fields: ClassVar = {"tenant": ("Tenant", "text")}
    suggests: ClassVar = {"tenant": "tenants.tenant"}

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        super().__init__(request, *args)
        operator = find_limited_operator(request)
        self._sees_one = operator is not None and operator.role is OperatorRole.TENANT_ADMIN

    def has_output(self) -> bool:
        return not self._sees_one

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (name := self.used_parameters.get("tenant")):
            return queryset
        if "\0" in str(name):  # PostgreSQL has no such text.
            return queryset.none()
        named = Q(slug__iexact=name) | Q(name__iexact=name)
        key = parse_uuid(str(name))
        tenants = Tenant.objects.filter(named if key is None else Q(pk=key))
        return queryset.filter(tenant__in=list(tenants.values_list("pk", flat=True)[:MAX_TENANTS]))


MAX_TENANTS = 100
"""Tenants of the same name."""


class PresenceFilter(ConditionFilter):
    title = "presence in ScaiKey"
    parameter_name = "presence"
    conditions = {"present": Q(absent_since=None), "removed": ~Q(absent_since=None)}


class OriginFilter(ConditionFilter):
    title = "origin"
    parameter_name = "origin"
    conditions = {
        "scaikey": Q(scaikey_tenant_id__isnull=False),
        "local": Q(scaikey_tenant_id=None),
    }
    titles = {"scaikey": "Linked to ScaiKey", "local": "Local"}


class LimitFilter(admin.SimpleListFilter):
    """Filter tenants by how near they are to any of their limits."""

    title = "limits"
    parameter_name = "limits"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("near", "80% of a limit or more"), ("full", "100% of a limit or more")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in {"near", "full"}:
            return queryset
        least = 1.0 if self.value() == "full" else NEAR_LIMIT
        return filter_by_share(queryset, least, timezone.now())


class SkippedFilter(admin.SimpleListFilter):
    """Filter the tenants whose removals or rows the last syncs skipped."""

    title = "sync"
    parameter_name = "sync"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("removals", "Skipped removals"), ("rows", "Skipped rows")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() not in {"removals", "rows"}:
            return queryset
        return filter_by_total(queryset, f"skipped_{self.value()}")


class PartnerFilter(ExactValueFilter):
    """Filter by one of the first partners. The last choice is the list of all of them, whose pages
    link to their tenants.

    Accounts that see only some tenants have at most one partner, so there is nothing to choose. A
    filter without output would be ignored, so it has one even for them if the address has a value.
    """

    MAX_CHOICES = 50

    def has_output(self) -> bool:
        return self._has_choices() or super().has_output()

    def _has_choices(self) -> bool:
        is_visible = self.site.get_model_admin(Partner).has_view_permission(self.request)
        return is_visible and find_limited_operator(self.request) is None

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        if not self._has_choices():
            yield from super().choices(changelist)
            return
        choices = list(super().choices(changelist)) if self.chosen else []
        visible = self.site.get_model_admin(Partner).get_queryset(self.request)
        partners = list(visible.order_by("slug", "pk")[: self.MAX_CHOICES + 1])
        everything = changelist.get_query_string(remove=[self.parameter])
        yield {"selected": not self.chosen, "query_string": everything, "display": "All"}
        yield from choices[1:]
        for partner in partners[: self.MAX_CHOICES]:
            if str(partner.pk) != self.chosen:
                url = changelist.get_query_string({self.parameter: str(partner.pk)})
                yield {"selected": False, "query_string": url, "display": str(partner)}

        if len(partners) > self.MAX_CHOICES:
            url = reverse("admin:tenants_partner_changelist")
            yield {"selected": False, "query_string": url, "display": "All partners …"}
