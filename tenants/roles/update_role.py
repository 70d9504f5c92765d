"""Change the name and the description of a role."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, Permission
from tenants.audit.field_changes import FieldChange, UpdateResult, compare_fields
from tenants.audit.record import record_audit
from tenants.errors import RoleBuiltIn
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.validators import validate_description, validate_name
from tenants.models import Role
from tenants.roles.lookalikes import reject_lookalikes
from tenants.roles.queries.roles import resolve_role, role_row
from tenants.roles.rules import lock_role


@dataclass(frozen=True)
class RoleUpdate:
    """The requested changes. Omitted values stay; an empty description removes it."""

    name: str | None = None
    description: str | None = None


def update_role(
    *,
    operator: Operator,
    role: str,
    tenant: str,
    update: RoleUpdate,
    now: datetime,
    dry_run: bool = False,
) -> UpdateResult:
    """Change the name and the description of a role. The slug never changes: rooms refer to it.

    Raises UsageError if no changes were requested, InvalidName, RoleNotFound, TenantNotFound,
    AmbiguousName and RoleBuiltIn.
    """
    operator.require(Permission.MANAGE_ROLES)
    if update == RoleUpdate():
        raise UsageError("No changes were requested.", fix="Pass --name or --description.")
    if update.name is not None:
        validate_name(update.name, entity="role")
    if update.description is not None:
        validate_description(update.description)
    resolved = resolve_role(operator, resolve_tenant(operator, tenant), role)
    if resolved.is_built_in:
        raise RoleBuiltIn(
            f"Role {resolved.slug} is built in and can't be changed.",
            fix="Create a role with the name you need: `scaiwave role create`.",
        )
    if update.name is not None and update.name != resolved.name:
        reject_lookalikes(name=update.name, tenant=resolved.tenant.slug)
    if dry_run:
        changes = _apply(resolved, update)
    else:
        resolved, changes = _save(operator, resolved, update, now)
    row = {**role_row(resolved), "tenant": resolved.tenant.slug}
    return UpdateResult("role", row, changes, dry_run)


def _apply(role: Role, update: RoleUpdate) -> list[FieldChange]:
    """Set the new values on the role without saving it, and return the changes."""
    before = {"name": role.name, "description": role.description}
    role.name = role.name if update.name is None else update.name
    role.description = role.description if update.description is None else update.description
    return compare_fields(before, {"name": role.name, "description": role.description})


def _save(
    operator: Operator, current: Role, update: RoleUpdate, now: datetime
) -> tuple[Role, list[FieldChange]]:
    with transaction.atomic():
        role = lock_role(current, now=now)
        changes = _apply(role, update)
        if changes:
            role.save(update_fields=["name", "description"])
            details = {"changes": [change.document() for change in changes]}
            record_audit(operator, "role update", role, now, details, tenant=current.tenant)
    return role, changes
