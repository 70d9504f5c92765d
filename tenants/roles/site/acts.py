"""The acts that create, change, grant and revoke roles, as the commands of the same names do."""

from __future__ import annotations

from django import forms

from scaiwave.core.change import ChangeResult
from scaiwave.site.acts import Act, ActCall, register_act
from tenants.models import Group, Participant, Role, RoleGrant, RoleSource
from tenants.roles.create_role import create_role, delete_role
from tenants.roles.grants import grant_role, revoke_role
from tenants.roles.update_role import RoleUpdate, update_role

MAX_DESCRIPTION_CHARS = 1000


class CreateRoleForm(forms.Form):
    tenant = forms.CharField(max_length=500, help_text="Slug, ID or ScaiKey ID.")
    slug = forms.CharField(
        max_length=500, help_text="A short name that rooms refer to, such as editors. It stays."
    )
    name = forms.CharField(max_length=500, help_text="Such as Editors.")
    description = forms.CharField(
        required=False, max_length=MAX_DESCRIPTION_CHARS, help_text="What the role is for."
    )


class UpdateRoleForm(forms.Form):
    name = forms.CharField(required=False, max_length=500, help_text="Empty: unchanged.")
    description = forms.CharField(
        required=False, max_length=MAX_DESCRIPTION_CHARS, help_text="Empty: unchanged."
    )


def _update(call: ActCall) -> ChangeResult:
    values = call.values
    return update_role(
        operator=call.operator,
        role=str(call.row.pk),
        tenant=str(call.row.tenant_id),
        update=RoleUpdate(name=values["name"] or None, description=values["description"] or None),
        now=call.now,
    )


def _delete(call: ActCall) -> ChangeResult:
    return delete_role(
        operator=call.operator,
        role=str(call.row.pk),
        tenant=str(call.row.tenant_id),
        now=call.now,
        confirm=call.confirm,
    )


class HolderForm(forms.Form):
    kind = forms.ChoiceField(
        required=False,
        choices=(("person", "a person"), ("group", "a group")),
        label="Grant to",
    )
    holder = forms.CharField(
        max_length=500,
        label="Who",
        help_text="A person's e-mail address, @name:server or ID; a group's name or ID. They must "
        "be in the tenant of the role.",
    )


class RoleForm(forms.Form):
    role = forms.CharField(
        max_length=500, help_text="Slug or ID of a role of the same tenant.", strip=True
    )


def _grant_role(call: ActCall) -> ChangeResult:
    return grant_role(
        operator=call.operator,
        role=str(call.row.pk),
        tenant=str(call.row.tenant_id),
        holder=call.values["holder"],
        is_group=call.values["kind"] == "group",
        now=call.now,
    )


def _grant_to(call: ActCall) -> ChangeResult:
    """Grant a role on the page of the person or the group that gets it."""
    return grant_role(
        operator=call.operator,
        role=call.values["role"],
        tenant=str(call.row.tenant_id),
        holder=str(call.row.pk),
        is_group=isinstance(call.row, Group),
        now=call.now,
    )


def _revoke_role(call: ActCall) -> ChangeResult:
    grant = call.row
    return revoke_role(
        operator=call.operator,
        role=str(grant.role_id),
        tenant=str(grant.tenant_id),
        holder=str(grant.group_id or grant.participant_id),
        is_group=grant.group_id is not None,
        confirm=call.confirm,
        now=call.now,
    )


for holder, run, form, options in (
    (Role, _grant_role, HolderForm, ""),
    (Participant, _grant_to, RoleForm, "--to <person>"),
    (Group, _grant_to, RoleForm, "--to-group <group>"),
):
    register_act(
        Act(
            "role grant",
            "Grant a role" if options else "Grant",
            holder,
            run,
            form=form,
            options=options,
        )
    )
register_act(
    Act(
        "role revoke",
        "Revoke",
        RoleGrant,
        _revoke_role,
        is_offered=lambda grant: grant.source == RoleSource.MANUAL,
        is_destructive=True,
    )
)
register_act(
    Act(
        "role create",
        "Create a role",
        Role,
        lambda call: create_role(operator=call.operator, now=call.now, **call.values),
        form=CreateRoleForm,
        is_of_list=True,
    )
)
register_act(
    Act(
        "role update",
        "Rename",
        Role,
        _update,
        form=UpdateRoleForm,
        is_offered=lambda role: not role.is_built_in,
    )
)
register_act(
    Act(
        "role delete",
        "Delete",
        Role,
        _delete,
        is_offered=lambda role: not role.is_built_in,
        removes_row=True,
        is_destructive=True,
    )
)
