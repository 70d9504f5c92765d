"""Change the name and the description of a role."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from scaiwave.core.change import Change
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, Permission
from tenants.audit.field_changes import build_update, record_changes, set_fields
from tenants.errors import RoleBuiltIn
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.validators import validate_description, validate_name
from tenants.roles.lookalikes import reject_lookalikes
from tenants.roles.queries.roles import resolve_role, role_row
from tenants.roles.rules import lock_role


def update_role(
    *,
    operator: Operator,
    role: str,
    tenant: str,
    now: datetime,
    name: str | None = None,
    description: str | None = None,
    dry_run: bool = False,
) -> Change:
    """Change the name and the description of a role. The slug never changes: rooms refer to it.

    Omitted values stay; an empty description removes it. Raises UsageError if no changes were
    requested, InvalidName, RoleNotFound, TenantNotFound, AmbiguousName and RoleBuiltIn.
    """
    operator.require(Permission.MANAGE_ROLES)
    given = {"name": name, "description": description}
    values = {field: value for field, value in given.items() if value is not None}
    if not values:
        raise UsageError("No changes were requested.", fix="Pass --name or --description.")
    if name is not None:
        validate_name(name, entity="role")
    if description is not None:
        validate_description(description)
    resolved = resolve_role(operator, resolve_tenant(operator, tenant), role)
    if resolved.is_built_in:
        raise RoleBuiltIn(
            f"Role {resolved.slug} is built in and can't be changed.",
            fix="Create a role with the name you need: `scaiwave role create`.",
        )
    if name is not None and name != resolved.name:
        reject_lookalikes(name=name, tenant=resolved.tenant.slug)
    if dry_run:
        changes = set_fields(resolved, values)
    else:
        with transaction.atomic():
            resolved = lock_role(resolved, now=now)
            if changes := set_fields(resolved, values):
                resolved.save(update_fields=list(values))
                record_changes(operator, "role update", resolved, now, changes)
    row = {**role_row(resolved), "tenant": resolved.tenant.slug}
    return build_update("role", row, changes, dry_run=dry_run)
