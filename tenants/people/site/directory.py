from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.conf import settings
from django.contrib import admin
from django.db.models import Count, Field, Model, QuerySet
from django.db.models.functions import Lower
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse

from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import by_partner, by_tenant, sees_everything
from scaiwave.site.formatting import format_id, link_to
from scaiwave.site.related import count_link
from scaiwave.site.tabs import register_tab
from scaiwave.site.terms import TermForm, get_term_form
from tenants.lookup.resolve import split_fqid
from tenants.lookup.serializers import Row
from tenants.lookup.sign_in_blockers import sign_in_blockers
from tenants.models import (
    Group,
    GroupMembership,
    Participant,
    Partner,
    Role,
    RoleGrant,
    Tenant,
)
from tenants.people.queries.participants import list_groups_of
from tenants.people.site.filters import PresenceFilter, StatusFilter, TenantFilter
from tenants.people.site.status import StatusAdmin
from tenants.roles.queries.roles import assignment_row, effective_roles
from tenants.roles.rules import describe

register_tab(Tenant, "People", Participant, "tenant", position=1)
register_tab(Tenant, "Groups", Group, "tenant", position=2)
register_tab(Participant, "Groups", GroupMembership, "member_participant", position=1)
register_tab(Group, "Members", GroupMembership, "group", position=1)
register_tab(Partner, "Tenants", Tenant, "partner", position=1)


class CountColumn:
    """A column that counts related rows, with one query for all rows of a page."""

    def __init__(self, model: type[Model], name: str) -> None:
        self.field: Field[Any, Any] = model._meta.get_field(name)  # type: ignore[assignment]

    def prefetch_columns(self, rows: Iterable[Any]) -> None:
        name = self.field.name
        related = self.field.model._base_manager.filter(**{f"{name}__in": rows})
        counts = dict(related.values_list(name).annotate(Count("pk")).order_by())
        for row in rows:
            row.related_count = counts.get(row.pk, 0)

    def show(self, row: Any) -> str:
        return count_link(self.field, row, row.related_count)


@admin.register(Partner)
class PartnerAdmin(StatusAdmin):
    scope = by_partner("scaikey_id")
    section = Section.TENANTS
    searched_forms = frozenset({TermForm.TEXT, TermForm.EMAIL})
    list_display = ("slug", "name", "status_text", "tenant_count", "scaikey_id", "updated_at")
    list_filter = (StatusFilter,)
    search_fields = ("slug", "name", "contact_email", "scaikey_id__exact")
    search_help_text = "Search by slug, name, contact address, or ID (ScaiWave or ScaiKey)."
    linked_columns = number_columns = ("tenant_count",)
    field_models: ClassVar = {"tenant_count": (Tenant,)}
    id_fields = ("id", "scaikey_id")
    sortable_by = ("slug", "name", "status_text", "updated_at")
    ordering = ("slug", "-id")
    related = CountColumn(Tenant, "partner")

    def prefetch_columns(self, rows: list[Any]) -> None:
        self.related.prefetch_columns(rows)

    @admin.display(description="tenants")
    def tenant_count(self, partner: Partner) -> str:
        return self.related.show(partner)


@admin.register(Participant)
class ParticipantAdmin(StatusAdmin):
    scope = by_tenant()
    section = Section.PEOPLE
    searched_forms = frozenset({TermForm.TEXT, TermForm.EMAIL, TermForm.ADDRESS})
    list_display = (
        *("display_name_or_id", "email", "participant_type", "tenant", "status_text", "updated_at"),
    )
    list_filter = (TenantFilter, StatusFilter, "participant_type")
    search_fields = ("display_name", "email", "local_id", "scaikey_id__exact")
    search_help_text = "Search by name, e-mail address, @name:server, or ID (ScaiWave or ScaiKey)."
    id_fields = ("id", "scaikey_id")
    more_fields = ("address", "server", "groups", "roles")
    hidden_fields = ("server_name",)
    export_name = "participants"
    name_in_act = staticmethod(describe)
    field_models: ClassVar = {
        "groups": (Group, GroupMembership),
        "roles": (Role, RoleGrant, Group, GroupMembership),
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # Both decide whether the person may sign in, which is part of the heading.
        return super().get_queryset(request).select_related("tenant__partner")

    def summarise(self, participant: Participant, request: HttpRequest) -> str:
        """Return the status, and whether the person may sign in and if not why."""
        blockers = [self._limit_blocker(each, request) for each in sign_in_blockers(participant)]
        # Beside "can't sign in", "active" would contradict it.
        status = "" if blockers and participant.is_active else self.status_text(participant)
        context = {"status": status, "blockers": blockers}
        return render_to_string("tenants/admin/sign_in.html", context)

    def _limit_blocker(self, blocker: Row, request: HttpRequest) -> Row:
        """Leave out commands that the account can't run, and names that it may not see."""
        if sees_everything(request):
            return blocker
        about = str(blocker["subject_type"])
        model = {"tenant": Tenant, "partner": Partner}.get(about)
        if model is None or self._can_view(request, model):
            return {**blocker, "fix": None}
        return {**blocker, "reason": f"the {about} lets no one sign in", "fix": None}

    @admin.display(description="groups")
    def groups(self, participant: Participant) -> str:
        context = {"groups": list_groups_of(participant)}
        return render_to_string("tenants/admin/groups.html", context)

    @admin.display(description="effective roles")
    def roles(self, participant: Participant) -> str:
        page = "admin:tenants_role_change"
        roles = [
            {**assignment_row(each), "url": reverse(page, args=[each.grant.role_id])}
            for each in effective_roles(participant)
        ]
        return render_to_string("tenants/admin/roles.html", {"roles": roles})

    @admin.display(description="name")
    def display_name_or_id(self, participant: Participant) -> str:
        return str(participant)

    @admin.display(description="server")
    def server(self, participant: Participant) -> str:
        return participant.server_name or "this server"

    @admin.display(description="address in rooms (FQID)")
    def address(self, participant: Participant) -> str:
        return format_id(participant.fqid(settings.CONFIG.get_str("SCAIWAVE_SERVER_NAME")))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find complete addresses by index, and search the texts for everything else."""
        term = search_term.strip()
        if get_term_form(term) in {TermForm.ADDRESS, TermForm.EMAIL}:
            if term.startswith("@") and ":" in term:
                local_id, server_name = split_fqid(term.removeprefix("@"))
                matches = queryset.filter(local_id=local_id, server_name=server_name)
            else:
                matches = queryset.alias(address=Lower("email")).filter(address=term.lower())
            if matches.exists():
                return matches, False
        return super().get_search_results(request, queryset, search_term)


@admin.register(Group)
class GroupAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.PEOPLE
    searched_forms = frozenset({TermForm.TEXT, TermForm.EMAIL})
    list_display = ("name", "tenant", "group_type", "member_count", "absent_since", "updated_at")
    list_filter = (TenantFilter, PresenceFilter)
    list_select_related = ("tenant",)
    linked_columns = number_columns = ("member_count",)
    field_models: ClassVar = {"member_count": (GroupMembership,)}
    search_fields = ("name", "scaikey_id__exact")
    search_help_text = "Search by name, or ID (ScaiWave or ScaiKey)."
    id_fields = ("id", "scaikey_id")
    sortable_by = ("name", "updated_at")
    related = CountColumn(GroupMembership, "group")

    def prefetch_columns(self, rows: list[Any]) -> None:
        self.related.prefetch_columns(rows)

    @admin.display(description="direct members")
    def member_count(self, group: Group) -> str:
        return self.related.show(group)


@admin.register(GroupMembership)
class GroupMembershipAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    list_display = ("member_type", "member", "group", "tenant", "absent_since", "created_at")
    list_filter = (PresenceFilter,)
    list_select_related = ("member_participant", "member_group", "group", "tenant")
    search_fields = ("id", "group", "member_participant", "member_group")
    search_help_text = "Search by the ID of a membership, group or participant."
    id_fields = ("id", "group", "member_participant", "member_group")
    field_models: ClassVar = {"member": (Participant, Group)}
    named_by = ("member_participant", "group")

    @admin.display(description="type")
    def member_type(self, membership: GroupMembership) -> str:
        return "participant" if membership.member_participant_id else "group"

    linked_columns = ("member",)

    @admin.display(description="member")
    def member(self, membership: GroupMembership) -> str:
        return link_to(membership.member_participant or membership.member_group)  # type: ignore[arg-type]
