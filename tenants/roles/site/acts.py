"""The acts that create, change, grant and revoke roles, as the commands of the same names do."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import Model
from django.http import Http404

from scaiwave.core.bulk import BulkResult, list_some
from scaiwave.core.change import ChangeResult
from scaiwave.core.operators import Operator
from scaiwave.site.acts import (
    Act,
    ActCall,
    ActResult,
    ReasonForm,
    RowForm,
    RowsField,
    register_acts,
)
from scaiwave.site.related import list_url
from scaiwave.site.terms import is_uuid
from tenants.lookup.visibility import visible_groups, visible_participants
from tenants.models import Group, Participant, Role, RoleGrant, RoleSource
from tenants.roles.create_role import create_role, delete_role
from tenants.roles.grants import (
    grant_role,
    grant_role_to_many,
    revoke_role,
    revoke_role_from_many,
)
from tenants.roles.queries.roles import BUILT_IN, SUPER_ADMIN
from tenants.roles.rules import describe
from tenants.roles.update_role import update_role

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
    changes = {name: value or None for name, value in call.values.items()}
    return call.run(update_role, role=str(call.row.pk), tenant=str(call.row.tenant_id), **changes)


class HolderForm(ReasonForm):
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
    field_order = ("kind", "holder", "reason")


class RoleForm(ReasonForm, RowForm):
    role = forms.ChoiceField()
    field_order = ("role", "reason")

    def fit(self, operator: Operator, row: Any) -> None:
        self.offer_roles(operator, [row.tenant_id])

    def offer_roles(self, operator: Operator, tenants: Collection[UUID]) -> None:
        """The strongest roles are the last ones."""
        roles = Role.objects.filter(tenant__in=tenants).exclude(slug__in=BUILT_IN).order_by("slug")
        names = {**dict(roles.values_list("slug", "name")), **BUILT_IN}
        if not operator.sees_everything:
            del names[SUPER_ADMIN]
        labels = ((slug, f"{name} ({slug})") for slug, name in names.items())
        self.fields["role"].choices = [("", "Choose a role"), *labels]  # type: ignore[attr-defined]


class SelectedRoleForm(RoleForm):
    """Roles of the tenant of the selected people or groups, which is the same for all."""

    rows = RowsField(label="")
    is_grant = False

    def fit(self, operator: Operator, row: Any) -> None:
        keys = list(filter(is_uuid, self["rows"].value() or ()))
        visible: Any = (visible_participants(operator), visible_groups(operator))
        holders = [each for rows in visible for each in rows.filter(pk__in=keys)]
        self.tenants = {each.tenant_id for each in holders}
        if keys and not holders:
            raise Http404
        if len(self.tenants) > 1:
            raise forms.ValidationError("Select rows of one tenant: each role belongs to one.")
        removed = sorted(describe(each) for each in holders if each.absent_since)
        if removed and self.is_grant:
            text = f"Removed from ScaiKey: {list_some(removed)}. Deselect these first."
            raise forms.ValidationError(text)
        self.offer_roles(operator, self.tenants)

    def clean(self) -> dict[str, Any]:
        return {**self.cleaned_data, "tenant": str(next(iter(self.tenants), ""))}


class SelectedGrantForm(SelectedRoleForm):
    is_grant = True


def _grant(call: ActCall) -> ChangeResult:
    """Grant a role on its page, or on the page of the person or the group that gets it."""
    row, values = call.row, call.values
    if isinstance(row, Role):
        role, holder, is_group = str(row.pk), values["holder"], values["kind"] == "group"
    else:
        role, holder, is_group = values["role"], str(row.pk), isinstance(row, Group)
    return call.run(
        grant_role,
        role=role,
        tenant=str(row.tenant_id),
        holder=holder,
        is_group=is_group,
        reason=values["reason"],
    )


def _revoke_role(call: ActCall) -> ActResult:
    """Return to the roles of the person or group: the page of the grant is gone."""
    grant = call.row
    result = call.run(
        revoke_role,
        role=str(grant.role_id),
        tenant=str(grant.tenant_id),
        holder=str(grant.group_id or grant.participant_id),
        is_group=grant.group_id is not None,
        reason=call.values["reason"],
    )
    field: Any = RoleGrant._meta.get_field("group" if grant.group_id else "participant")
    return ActResult(" ".join(result.lines), list_url(field, grant.group or grant.participant))


def _change_selected(change: Callable[..., BulkResult], model: type[Model], call: ActCall) -> str:
    """Grant a role to all that are selected, or revoke it from them: from all of them, or none."""
    values = call.values
    is_group = model is Group
    names = {name: values[name] for name in ("role", "tenant", "reason")}
    nouns = ("group", "groups") if is_group else ("person", "people")
    total = call.run_for_all(change, nouns, holders=values["rows"], is_group=is_group, **names)
    return f"Role {values['role']} {total}."


for holder, form, options in (
    (Role, HolderForm, ""),
    (Participant, RoleForm, "<role> --to <person>"),
    (Group, RoleForm, "<role> --to-group <group>"),
):
    register_acts(
        Act(
            "role grant",
            "Grant a role" if options else "Grant",
            holder,
            _grant,
            form=form,
            options=options,
        )
    )
for verb, change_many, selected_form, to in (
    ("grant", grant_role_to_many, SelectedGrantForm, "--to-group"),
    ("revoke", revoke_role_from_many, SelectedRoleForm, "--from-group"),
):
    for model, holders in (
        (Participant, "--from-file <file>"),
        (Group, f"{to} <group> {to} <group>"),
    ):
        register_acts(
            Act(
                f"role {verb}",
                f"{verb.capitalize()} a role",
                model,
                partial(_change_selected, change_many, model),
                form=selected_form,
                options=f"<role> {holders}",
                is_of_list=True,
                of_selection=True,
                is_destructive=verb == "revoke",
            )
        )
register_acts(
    Act(
        "role revoke",
        "Revoke",
        RoleGrant,
        _revoke_role,
        form=ReasonForm,
        is_offered=lambda grant: grant.source == RoleSource.MANUAL,
        is_destructive=True,
    ),
    Act(
        "role create",
        "Create a role",
        Role,
        lambda call: call.run(create_role, **call.values),
        form=CreateRoleForm,
        is_of_list=True,
    ),
    Act(
        "role update",
        "Rename",
        Role,
        _update,
        form=UpdateRoleForm,
        is_offered=lambda role: not role.is_built_in,
    ),
    Act(
        "role delete",
        "Delete",
        Role,
        lambda call: call.run(delete_role, role=str(call.row.pk), tenant=str(call.row.tenant_id)),
        is_offered=lambda role: not role.is_built_in,
        removes_row=True,
        is_destructive=True,
    ),
)
