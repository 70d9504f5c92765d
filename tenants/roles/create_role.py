"""Create and delete roles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from shlex import quote

from django.db import IntegrityError, transaction

from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from scaiwave.extensions import ROLE_USES
from tenants.audit.record import record_audit
from tenants.errors import RoleBuiltIn, RoleConflict, RoleInUse
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row
from tenants.lookup.validators import (
    validate_description,
    validate_name,
    validate_role_slug,
)
from tenants.models import Role, RoleGrant, RoleSource, Tenant
from tenants.roles.lookalikes import reject_lookalikes
from tenants.roles.queries.roles import BUILT_IN, resolve_role, role_row
from tenants.roles.rules import describe, lock_role

MAX_LISTED = 10
"""How many holders or rooms a message lists by name."""

CREATION = ChangeWords(
    "role",
    "Would create role {slug} in tenant {tenant}.",
    "Role {slug} created in tenant {tenant} ({id}).",
    "Role {slug} already exists in tenant {tenant}; nothing changed.",
)
DELETION = ChangeWords(
    "role",
    "Would delete role {slug} of tenant {tenant}.",
    "Role {slug} of tenant {tenant} deleted.",
)


def create_role(
    *,
    operator: Operator,
    tenant: str,
    slug: str,
    name: str,
    now: datetime,
    description: str = "",
    dry_run: bool = False,
) -> Change:
    """Create a role that rooms can require and that can be granted.

    Nothing changes if a role with this slug and name exists; its description stays. Raises
    InvalidRoleSlug, InvalidName, RoleBuiltIn, RoleConflict, TenantNotFound and AmbiguousName.
    """
    operator.require(Permission.MANAGE_ROLES)
    resolved = resolve_tenant(operator, tenant)
    validate_role_slug(slug)
    validate_name(name, entity="role")
    validate_description(description)
    if slug in BUILT_IN:
        raise RoleBuiltIn(
            f"Role {slug} is built in; every tenant already has it.",
            fix=f"Grant it: `scaiwave role grant {slug} --tenant {quote(resolved.slug)} "
            "--to <who>`.",
        )
    if existing := _find_existing(resolved, slug, name):
        return Change(CREATION, _build_row(existing))
    reject_lookalikes(slug=slug, name=name, tenant=resolved.slug)
    role = Role(tenant=resolved, slug=slug, name=name, description=description, created_at=now)
    if dry_run:
        return Change(CREATION, _build_row(role), dry_run=True)
    return _insert(operator, role, now)


def _find_existing(tenant: Tenant, slug: str, name: str) -> Role | None:
    """Raises `RoleConflict` if the role exists with another name."""
    existing = Role.objects.filter(tenant=tenant, slug=slug).first()
    if existing is not None and existing.name != name:
        raise RoleConflict(
            f"Role {slug} already exists in tenant {tenant.slug} with the name {existing.name!r}.",
            fix="Choose another slug, pass that name, or change it: `scaiwave role update "
            f"{quote(slug)} --tenant {quote(tenant.slug)} --name <name>`.",
        )
    return existing


def _insert(operator: Operator, role: Role, now: datetime) -> Change:
    """Insert the role. The unique constraint lets only one of two concurrent calls succeed."""
    tenant = role.tenant
    try:
        with transaction.atomic():
            role.save(force_insert=True)
            record_audit(operator, "role create", role, now, {"slug": role.slug, "name": role.name})
    except IntegrityError:
        if existing := _find_existing(tenant, role.slug, role.name):
            return Change(CREATION, _build_row(existing))
        raise
    return Change(CREATION, _build_row(role), changed=True)


def _build_row(role: Role) -> Row:
    return {**role_row(role), "tenant": role.tenant.slug}


def delete_role(
    *,
    operator: Operator,
    role: str,
    tenant: str,
    now: datetime,
    confirm: Callable[[str], None] | None = None,
    dry_run: bool = False,
) -> Change:
    """Delete a role without grants.

    Rooms that refer to it do not prevent this: no one can read them through the role any longer.
    `confirm` is called with the question and raises unless the operator agrees.

    Raises RoleNotFound, TenantNotFound, AmbiguousName, RoleBuiltIn and RoleInUse.
    """
    operator.require(Permission.MANAGE_ROLES)
    resolved_tenant = resolve_tenant(operator, tenant)
    resolved_role = resolve_role(operator, resolved_tenant, role)
    if resolved_role.is_built_in:
        raise RoleBuiltIn(
            f"Role {resolved_role.slug} is built in and can't be deleted.",
            fix="Revoke it from its holders; a role without holders has no effect.",
        )
    if confirm is not None and not dry_run:
        _ensure_not_granted(resolved_role)
        confirm(f"This deletes role {resolved_role.slug} of tenant {resolved_tenant.slug}.")
    if dry_run:
        # It takes no lock, so that no other command has to wait for it.
        _ensure_not_granted(resolved_role)
        row = _build_row(resolved_role)
    else:
        with transaction.atomic():
            resolved_role = lock_role(resolved_role, now=now)
            _ensure_not_granted(resolved_role)
            row = _build_row(resolved_role)
            details = {"slug": resolved_role.slug, "name": resolved_role.name}
            record_audit(operator, "role delete", resolved_role, now, details)
            resolved_role.delete()
    uses = ROLE_USES.load()(resolved_tenant.pk, row["slug"])
    warnings = [
        f"Still open to holders of {row['slug']}: {_join_names(uses, len(uses))}. No one holds the "
        "role now, but anyone who is granted a new role with this slug can read them."
    ]
    rest = {"used_by": uses}
    cautions = warnings if uses else ()
    return Change(DELETION, row, not dry_run, dry_run, rest=rest, cautions=cautions)


def _ensure_not_granted(role: Role) -> None:
    grants = RoleGrant.objects.filter(role=role).select_related("participant", "group")
    if not (count := grants.count()):
        return
    names = [_describe_grant(grant) for grant in grants.order_by("pk")[:MAX_LISTED]]
    raise RoleInUse(
        f"Role {role.slug} has {count:,} grant{'' if count == 1 else 's'}: "
        f"{_join_names(names, count)}.",
        fix=f"Revoke each grant first: `scaiwave role revoke {quote(role.slug)} --tenant "
        f"{quote(role.tenant.slug)} --from <participant>` or `--from-group <group>`. Remove grants "
        "from ScaiKey in ScaiKey.",
    )


def _join_names(names: Sequence[str], count: int) -> str:
    more = f"; and {count - MAX_LISTED:,} more" if count > MAX_LISTED else ""
    return "; ".join(names[:MAX_LISTED]) + more


def _describe_grant(grant: RoleGrant) -> str:
    holder = grant.participant or grant.group
    suffix = " from ScaiKey" if grant.source == RoleSource.SCAIKEY else ""
    return f"to {describe(holder)}{suffix}"  # type: ignore[arg-type]  # One of them is set.
