"""List the workspaces of a tenant, and who may import rooms into them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from uuid import UUID

from django.db.models import Count

from rooms.lookup.visibility import visible_workspaces
from rooms.models import Room, Workspace, WorkspaceMember, WorkspaceRole
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.paging import Page
from scaiwave.core.sql import batched
from tenants.lookup.resolve import resolve_tenant
from tenants.lookup.serializers import Row, get_server_name
from tenants.models import Participant, active_q

BATCH_SIZE = 200
MAY_IMPORT = (WorkspaceRole.OWNER, WorkspaceRole.EDITOR)


def can_import_somewhere(participant: Participant) -> bool:
    """Whether there is a workspace that this participant may import into."""
    return WorkspaceMember.objects.filter(participant=participant, role__in=MAY_IMPORT).exists()


def list_workspaces(*, operator: Operator, tenant: str, limit: int | None = None) -> Page:
    """Return the workspaces of one tenant by slug, in a constant number of queries for each batch.

    `importers` lists the active owners and editors, owners first; each can be named in an import.
    Yields one row at a time. Raises `TenantNotFound` or `AmbiguousName`, at once.
    """
    operator.require(Permission.VIEW)
    resolved = resolve_tenant(operator, tenant)
    workspaces = visible_workspaces(operator).filter(tenant=resolved).order_by("slug", "pk")
    rows = _iter_rows(workspaces[:limit].iterator(chunk_size=BATCH_SIZE))
    return Page(rows, count=workspaces.count)


def _iter_rows(workspaces: Iterator[Workspace]) -> Generator[Row, None, None]:
    for batch in batched(workspaces, BATCH_SIZE):
        rooms = Room.objects.filter(workspace__in=batch).values_list("workspace")
        room_counts = dict(rooms.annotate(Count("pk")).order_by())
        members = WorkspaceMember.objects.filter(workspace__in=batch)  # active or not
        roles = members.values_list("workspace", "role").annotate(Count("pk")).order_by()
        role_counts = {(workspace_id, role): count for workspace_id, role, count in roles}
        importers = _list_importers(batch)
        for workspace in batch:
            yield {
                **build_workspace_row(workspace),
                "rooms": room_counts.get(workspace.pk, 0),
                **{
                    f"{role}s": role_counts.get((workspace.pk, role), 0)
                    for role in WorkspaceRole.values
                },
                "importers": importers[workspace.pk],
            }


def build_workspace_row(workspace: Workspace) -> Row:
    return {
        "id": workspace.pk,
        "slug": workspace.slug,
        "name": workspace.name,
        "description": workspace.description,
        "tenant_id": workspace.tenant_id,
        "created_at": workspace.created_at,
        "updated_at": workspace.updated_at,
    }


def _list_importers(workspaces: Sequence[Workspace]) -> defaultdict[UUID, list[Row]]:
    members = WorkspaceMember.objects.filter(
        active_q("participant__"), workspace__in=workspaces, role__in=MAY_IMPORT
    ).select_related("participant")
    server_name = get_server_name()
    importers: defaultdict[UUID, list[Row]] = defaultdict(list)
    # Descending, because "owner" sorts after "editor".
    for member in members.order_by("-role", "participant__display_name", "pk"):
        importers[member.workspace_id].append(
            {
                "id": member.participant_id,
                "fqid": member.participant.fqid(server_name),
                "display_name": member.participant.display_name,
                "email": member.participant.email,
                "role": member.role,
            }
        )
    return importers
