"""The list of pending removals in the admin site."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from django.contrib import admin
from django.db.models import Count, Model, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone

from identity_sync.encoding import explain_removal, name_removal
from identity_sync.models import OPEN_STATES, PendingRemoval, RemovalState
from identity_sync.reasons import Loss
from identity_sync.removals.queries import find_people, is_pending_q
from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import by_tenant
from scaiwave.site.acts import MAX_SELECTED
from scaiwave.site.filters import make_choice_filter
from scaiwave.site.formatting import EMPTY_VALUE, Tone, format_badge, format_count, format_id
from scaiwave.site.terms import MAX_TERM_CHARS
from tenants.lookup.resolve import contains_q
from tenants.models import Participant, Tenant
from tenants.people.queries.tenants import count_members

COUNTED_KINDS = ("partners", "tenants", "groups")
TONES = {RemovalState.PENDING: Tone.BAD, RemovalState.KEPT: Tone.WARN}


@admin.register(PendingRemoval)
class PendingRemovalAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.SYNC
    list_display = (
        *("subject", "loss", "reason", "state_badge", "dependent_people", "first_seen_at"),
        *("expires_at", "tenant"),
    )
    list_filter = (
        make_choice_filter("state", tuple(RemovalState.values)),
        make_choice_filter("loss", tuple(loss.value for loss in Loss)),
    )
    list_select_related = ("tenant",)
    search_fields = (
        *("subject_name", "subject_scaikey_id__exact", "person_scaikey_id__exact", "tenant__slug"),
    )
    search_help_text = "Search by name, e-mail address, ScaiKey ID, or slug of a tenant."
    sortable_by = ("first_seen_at",)
    ordering = ("-first_seen_at", "-id")
    linked_columns = ("subject",)
    number_columns = ("dependent_people",)
    name_in_act = staticmethod(name_removal)
    more_fields = ("subject", "reason", "state_badge")
    hidden_fields = ("subject_name", "cause", "destination", "state")

    def get_fields(self, request: HttpRequest, obj: PendingRemoval | None = None) -> list[Any]:
        """Leave out the counts of dependents, which are 0 unless a tenant or group is lost."""
        fields = super().get_fields(request, obj)
        is_counted = obj is None or obj.kind in COUNTED_KINDS
        hidden = () if is_counted else ("people", "roles", "memberships")
        return [field for field in fields if getattr(field, "field_name", "") not in hidden]

    def get_list_content(self, request: HttpRequest) -> str:
        """Show what waits for a decision by tenant, also with a search; with a filter, or if none
        waits, there is the list."""
        if set(request.GET) - {"e", "q"}:
            return ""
        changelist: Any = self.build_changelist(request)
        waiting = changelist.queryset.filter(is_pending_q(timezone.now()))
        rows = waiting.select_related("tenant").order_by("tenant__slug", "subject_name", "id")
        shown = list(rows[:MAX_SELECTED])
        sees_people = self._can_view(request, Participant)
        people = find_people(shown) if sees_people else {}
        for row in shown:
            row.person = people.get(row.subject_id)
            row.cause_text = explain_removal(row)
        counts = dict(waiting.order_by().values_list("tenant").annotate(Count("pk")))
        if not shown:
            return ""
        tenants = Tenant.objects.filter(pk__in={row.tenant_id for row in shown})
        members = count_members(tenants) if sees_people else {}
        groups = [
            {
                "tenant": tenant,
                "rows": list(of_tenant),
                "count": counts[tenant and tenant.pk],
                "members": members.get(tenant and tenant.pk),
            }
            for tenant, of_tenant in groupby(shown, key=lambda row: row.tenant)
        ]
        context = {"groups": groups, "term": changelist.query, "shown": len(shown)}
        context["total"] = sum(counts.values())
        return render_to_string("identity_sync/admin/review.html", context)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Model], search_term: str
    ) -> tuple[QuerySet[Model], bool]:
        """Find people by their e-mail addresses too, for accounts that may see these."""
        found, may_repeat = super().get_search_results(request, queryset, search_term)
        if (term := search_term.strip()[:MAX_TERM_CHARS]) and self._can_view(request, Participant):
            ids = queryset.order_by().values("person_scaikey_id")
            people = Participant.objects.filter(contains_q(term, "email"), scaikey_id__in=ids)
            found |= queryset.filter(person_scaikey_id__in=people.values("scaikey_id"))
        return found, may_repeat

    def format_name(self, row: PendingRemoval) -> str:
        return f"{row.loss}: {row.subject_name or row.subject_scaikey_id}"

    @admin.display(description="subject")
    def subject(self, row: PendingRemoval) -> str:
        return row.subject_name or format_id(row.subject_scaikey_id)

    @admin.display(description="reason")
    def reason(self, row: PendingRemoval) -> str:
        return explain_removal(row)

    @admin.display(description="people")
    def dependent_people(self, row: PendingRemoval) -> str:
        return format_count(row.people) if row.kind in COUNTED_KINDS else EMPTY_VALUE

    @admin.display(description="state")
    def state_badge(self, row: PendingRemoval) -> str:
        is_open = row.state in OPEN_STATES
        state = row.get_state(timezone.now()) if is_open else RemovalState(row.state)
        return format_badge(state, TONES.get(state, Tone.NEUTRAL))
