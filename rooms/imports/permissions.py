"""Check who may import where, and whether the room fits into the tenant's limits."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

from rooms.bundle.format import MIB
from rooms.errors import NOTHING_IMPORTED, ImportRefused, TenantQuotaExceeded, WorkspaceForbidden
from rooms.lookup.resolve import resolve_workspace
from rooms.lookup.tenant_figures import ROOMS, STORAGE
from rooms.models import Workspace, WorkspaceMember
from rooms.workspaces.queries import MAY_IMPORT
from scaiwave.console.output import format_bytes
from scaiwave.console.text import pluralize
from scaiwave.core.operators import Operator
from tenants.lookup.resolve import resolve_participant, resolve_tenant
from tenants.models import Participant, Tenant


@dataclass(frozen=True)
class ImportTarget:
    """Where the new room goes, and who will own it."""

    tenant: Tenant
    workspace: Workspace
    participant: Participant


def resolve_target(
    operator: Operator, *, tenant: str, workspace: str, participant: str
) -> ImportTarget:
    """Find the target by its names.

    Raises the errors of the resolvers, `ImportRefused` for an inactive tenant, and
    `WorkspaceForbidden` if the participant may not import there.
    """
    resolved = resolve_tenant(operator, tenant)
    target = ImportTarget(
        resolved,
        resolve_workspace(operator, workspace, tenant=resolved),
        resolve_participant(operator, participant, tenant=resolved),
    )
    if reason := resolved.inactive_reason:
        raise ImportRefused(
            f"Can't import into tenant {resolved.slug}: it is {reason}.",
            fix=f"{NOTHING_IMPORTED} For details, run `scaiwave admin show-tenant "
            f"{quote(resolved.slug)}`.",
        )
    name, place = str(target.participant), f"workspace {target.workspace.slug}"
    if reason := target.participant.inactive_reason:
        raise WorkspaceForbidden(f"{name} can't import into {place}: {reason}.")
    member = WorkspaceMember.objects.filter(
        workspace=target.workspace, participant=target.participant
    ).first()
    if member is None:
        raise WorkspaceForbidden(f"{name} is not a member of {place}.")
    if member.role not in MAY_IMPORT:
        raise WorkspaceForbidden(
            f"{name} is {member.role} of {place}; only owners and editors may import there."
        )
    return target


def revalidate_target(operator: Operator, target: ImportTarget) -> ImportTarget:
    """Return the same target in its current state.

    Validating a large bundle takes minutes. A participant may have been removed since. Raises
    the errors of `resolve_target`.
    """
    return resolve_target(
        operator,
        tenant=str(target.tenant.pk),
        workspace=str(target.workspace.pk),
        participant=str(target.participant.pk),
    )


def ensure_quota(
    tenant: Tenant, *, added_bytes: int, written: bool = False, adds_room: bool = True
) -> None:
    """Check that one more room and these bytes fit. Raises `TenantQuotaExceeded`.

    `written` means that their rows were already inserted in this transaction. A tenant that
    exceeds its storage limit may still import a room that adds no bytes.
    """
    max_rooms, rooms = tenant.max_rooms, ROOMS([tenant.pk])[tenant.pk] - written
    if adds_room and max_rooms is not None and rooms + 1 > max_rooms:
        in_use = f"{pluralize(rooms, 'room')} in use, {max_rooms:,} allowed"
        raise _build_quota_error(tenant, in_use)
    if tenant.max_storage_mb is None or not added_bytes:
        return
    limit = tenant.max_storage_mb * MIB
    used = STORAGE([tenant.pk])[tenant.pk] - (added_bytes if written else 0)
    if used + added_bytes > limit:
        raise _build_quota_error(
            tenant,
            f"{format_bytes(used)} of {format_bytes(limit)} storage is in use, and the "
            f"attachments need {format_bytes(added_bytes)}",
        )


def _build_quota_error(tenant: Tenant, reason: str) -> TenantQuotaExceeded:
    return TenantQuotaExceeded(
        f"Limit of tenant {tenant.slug} exceeded: {reason}.",
        fix=f"{NOTHING_IMPORTED} Raise the limit with `scaiwave admin update-tenant "
        f"{quote(tenant.slug)}`, or delete rooms or files.",
    )
