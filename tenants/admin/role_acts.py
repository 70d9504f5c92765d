"""The acts that create, change and delete roles, as the commands of the same names do them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.urls import reverse

from scaiwave.admin.acts import Act, ActCall, ActResult, register_act
from scaiwave.auth.operators import Permission
from tenants.models import Role
from tenants.services.roles import create_role, delete_role
from tenants.services.update_role import RoleUpdate, update_role

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


def _create(call: ActCall) -> str:
    return create_role(operator=call.operator, now=call.now, **call.values).sentence


def _update(call: ActCall) -> str:
    values = call.values
    result = update_role(
        operator=call.operator,
        role=str(call.row.pk),
        tenant=str(call.row.tenant_id),
        update=RoleUpdate(name=values["name"] or None, description=values["description"] or None),
        now=call.now,
    )
    return " ".join(result.lines)


def _delete(call: ActCall) -> ActResult:
    result = delete_role(
        operator=call.operator,
        role=str(call.row.pk),
        tenant=str(call.row.tenant_id),
        now=call.now,
        confirm=call.confirm,
    )
    sentence = " ".join(filter(None, [result.sentence, result.warning]))
    return ActResult(sentence, reverse("admin:tenants_role_changelist"))


def _is_custom(role: Any) -> bool:
    return not role.is_built_in


register_act(
    Act(
        "role create",
        "Create a role",
        Role,
        _create,
        form=CreateRoleForm,
        is_of_list=True,
        permission=Permission.MANAGE_ROLES,
    )
)
register_act(
    Act(
        "role update",
        "Rename",
        Role,
        _update,
        form=UpdateRoleForm,
        is_offered=_is_custom,
        permission=Permission.MANAGE_ROLES,
    )
)
register_act(
    Act(
        "role delete",
        "Delete",
        Role,
        _delete,
        is_offered=_is_custom,
        is_destructive=True,
        permission=Permission.MANAGE_ROLES,
    )
)
