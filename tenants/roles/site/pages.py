from __future__ import annotations

from typing import ClassVar

from django.contrib import admin

from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import by_tenant
from scaiwave.site.formatting import link_to
from scaiwave.site.tabs import register_tab
from scaiwave.site.terms import TermForm
from tenants.models import Group, Participant, Role, RoleGrant, Tenant

register_tab(Tenant, "Roles", Role, "tenant", position=3)
register_tab(Participant, "Roles", RoleGrant, "participant", position=2)
register_tab(Group, "Roles", RoleGrant, "group", position=2)
register_tab(Role, "Holders", RoleGrant, "role", position=1)


@admin.register(Role)
class RoleAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.PEOPLE
    searched_forms = frozenset({TermForm.TEXT})
    list_display = ("slug", "name", "tenant", "is_built_in", "created_at")
    list_filter = ("is_built_in",)
    list_select_related = ("tenant",)
    search_fields = ("slug", "name")
    search_help_text = "Search by slug or name."
    sortable_by = ("slug", "created_at")


@admin.register(RoleGrant)
class RoleGrantAdmin(ReadOnlyAdmin):
    """Not among the internals: it is the one list of all manual grants, and its pages revoke."""

    scope = by_tenant()
    section = Section.PEOPLE
    list_display = ("source", "role", "holder", "granted_by", "tenant", "created_at")
    list_filter = ("source",)
    list_select_related = ("role", "participant", "group", "tenant")
    search_fields = ("role__slug", "granted_by")
    search_help_text = "Search by slug of a role, operator, or ID of a role, person or group."
    id_fields = ("id", "role", "participant", "group")
    linked_columns = ("holder",)
    field_models: ClassVar = {"holder": (Participant, Group)}
    named_by = ("role", "participant", "group")

    @admin.display(description="holder")
    def holder(self, grant: RoleGrant) -> str:
        return link_to(grant.participant or grant.group)  # type: ignore[arg-type]
