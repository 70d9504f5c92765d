"""Who may import where, and whether the tenant has room for it."""

from __future__ import annotations

from dataclasses import dataclass

from rooms.bundle.format import MIB
from rooms.errors import NOTHING_DONE, ImportRefused, TenantQuotaExceeded, WorkspaceForbidden
from rooms.models import Workspace, WorkspaceMember
from rooms.queries.resolve import resolve_workspace
from rooms.queries.tenant_stats import rooms_per_tenant, storage_per_tenant
from rooms.queries.workspaces import MAY_IMPORT
from scaiwave.auth.operators import Operator
from scaiwave.console.output import format_bytes
from tenants.models import Participant, Tenant
from tenants.queries.resolve import resolve_participant, resolve_tenant


@dataclass(frozen=True)
class ImportTarget:
    """Where a room goes, and whose it will be."""

    tenant: Tenant
    workspace: Workspace
    participant: Participant


def resolve_target(
    operator: Operator, *, tenant: str, workspace: str, participant: str
) -> ImportTarget:
    """The place by its names. Raises what the resolvers raise, `ImportRefused` for a suspended
    tenant and `WorkspaceForbidden` for a participant who may not import there."""
    owner = resolve_tenant(operator, tenant)
    place = ImportTarget(
        owner,
        resolve_workspace(operator, workspace, tenant=owner),
        resolve_participant(operator, participant, tenant=owner),
    )
    if reason := owner.inactive_reason:
        raise ImportRefused(
            f"Tenant {owner.slug} is {reason}.",
            fix=f"{NOTHING_DONE} `scaiwave admin show-tenant {owner.slug}` tells more.",
        )
    _require_editor(place)
    return place


def revalidate_target(operator: Operator, place: ImportTarget) -> ImportTarget:
    """The same place as it is now: to check a large bundle takes minutes, in which somebody may
    have been removed. Raises what `admit` raises."""
    return resolve_target(
        operator,
        tenant=str(place.tenant.pk),
        workspace=str(place.workspace.pk),
        participant=str(place.participant.pk),
    )


def _require_editor(place: ImportTarget) -> None:
    who, where = str(place.participant), f"workspace {place.workspace.slug}"
    if reason := place.participant.inactive_reason:
        raise WorkspaceForbidden(f"{who} can't import into {where}: {reason}.")
    found = WorkspaceMember.objects.filter(
        workspace=place.workspace, participant=place.participant
    ).first()
    if found is None:
        raise WorkspaceForbidden(f"{who} is not a member of {where}.")
    if found.role not in MAY_IMPORT:
        raise WorkspaceForbidden(
            f"{who} is {found.role} of {where}; only owners and editors may import there."
        )


def ensure_quota(tenant: Tenant, *, added_bytes: int, written: bool = False) -> None:
    """Raises `TenantQuotaExceeded` unless one more room and so many more bytes fit into the limits.

    `written`: room and bytes have rows already, in this transaction. A tenant that is over its
    storage may still take in a room that adds nothing to it.
    """
    most, rooms = tenant.max_rooms, rooms_per_tenant([tenant.pk])[tenant.pk] - written
    if most is not None and rooms + 1 > most:
        raise _over(tenant, f"has {rooms:,} of at most {most:,} rooms")
    if tenant.max_storage_mb is None or not added_bytes:
        return
    limit = tenant.max_storage_mb * MIB
    used = storage_per_tenant([tenant.pk])[tenant.pk] - (added_bytes if written else 0)
    if used + added_bytes > limit:
        uses = f"uses {format_bytes(used)} of at most {format_bytes(limit)}"
        raise _over(tenant, f"{uses}, and the attachments take {format_bytes(added_bytes)} more")


def _over(tenant: Tenant, what: str) -> TenantQuotaExceeded:
    return TenantQuotaExceeded(
        f"Tenant {tenant.slug} {what}.",
        fix=f"{NOTHING_DONE} Raise the limit with `scaiwave admin update-tenant {tenant.slug}`, or "
        "make room.",
    )
