from __future__ import annotations

from collections import defaultdict
from uuid import UUID

from django.db.models import Count

from rooms.models import Room, Workspace, WorkspaceMember, WorkspaceRole
from rooms.queries.visibility import visible_workspaces
from scaiwave.auth.operators import Operator, Permission
from tenants.models import ACTIVE, Participant, Tenant
from tenants.queries.resolve import resolve_tenant
from tenants.queries.serializers import Row, get_server_name

MAY_IMPORT = (WorkspaceRole.OWNER, WorkspaceRole.EDITOR)


def may_import_somewhere(participant: Participant) -> bool:
    """Whether there is a workspace that this participant may import into."""
    return WorkspaceMember.objects.filter(participant=participant, role__in=MAY_IMPORT).exists()


def list_workspaces(*, operator: Operator, tenant: str) -> list[Row]:
    """The workspaces of one tenant by slug, and who is in them, in a handful of queries.

    `may_import` names the owners and editors who are active, owners first: any of them can be
    given to an import. Raises `TenantNotFound` or `AmbiguousName`.
    """
    operator.require(Permission.VIEW)
    within = resolve_tenant(operator, tenant)
    rooms = dict(
        Room.objects.filter(tenant=within).values_list("workspace").annotate(Count("pk")).order_by()
    )
    roles, importers = _roles(within), _importers(within)
    return [
        {
            **_workspace_row(workspace),
            "rooms": rooms.get(workspace.pk, 0),
            **{f"{role}s": roles.get((workspace.pk, role), 0) for role in WorkspaceRole.values},
            "may_import": importers[workspace.pk],
        }
        for workspace in visible_workspaces(operator).filter(tenant=within).order_by("slug", "pk")
    ]


def _workspace_row(workspace: Workspace) -> Row:
    return {
        "id": workspace.pk,
        "slug": workspace.slug,
        "name": workspace.name,
        "description": workspace.description,
        "tenant_id": workspace.tenant_id,
        "created_at": workspace.created_at,
        "updated_at": workspace.updated_at,
    }


def _roles(tenant: Tenant) -> dict[tuple[UUID, str], int]:
    """How many have each role in each workspace, active or not."""
    members = WorkspaceMember.objects.filter(tenant=tenant)
    counted = members.values_list("workspace", "role").annotate(count=Count("pk")).order_by()
    return {(workspace, role): count for workspace, role, count in counted}


def _importers(tenant: Tenant) -> defaultdict[UUID, list[Row]]:
    found = WorkspaceMember.objects.filter(
        tenant=tenant,
        role__in=MAY_IMPORT,
        participant__in=Participant.objects.filter(ACTIVE, tenant=tenant),
    ).select_related("participant")
    server_name = get_server_name()
    importers: defaultdict[UUID, list[Row]] = defaultdict(list)
    # "owner" comes after "editor" in the alphabet.
    for member in found.order_by("-role", "participant__display_name", "pk"):
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
