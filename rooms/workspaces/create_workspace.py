"""Create workspaces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, transaction

from rooms.errors import WorkspaceConflict
from rooms.models import Workspace, WorkspaceMember, WorkspaceRole
from rooms.workspaces.queries import build_workspace_row
from scaiwave.core.change import Change, ChangeWords
from scaiwave.core.operators import Operator, Permission
from tenants.audit.record import record_audit
from tenants.errors import InvalidName
from tenants.lookup.resolve import resolve_participant, resolve_tenant
from tenants.lookup.serializers import get_server_name
from tenants.lookup.validators import validate_description, validate_name, validate_slug
from tenants.models import Participant, Tenant

MAX_NAME_CHARS = 500


@dataclass(frozen=True)
class WorkspaceSpec:
    """The requested workspace. `owner` names a participant of the tenant."""

    slug: str
    name: str
    description: str = ""
    owner: str | None = None


_WORDS = ChangeWords(
    "workspace",
    would="Would create workspace {slug} in tenant {tenant}.",
    done="Workspace {slug} created in tenant {tenant}{with_owner}.",
    same="Workspace {slug} already exists in tenant {tenant}; nothing changed.",
)


def create_workspace(
    *, operator: Operator, tenant: str, spec: WorkspaceSpec, now: datetime, dry_run: bool = False
) -> Change:
    """Create a workspace, into which its owner may import rooms.

    Nothing changes if a workspace with this slug and name exists; its members stay. Raises
    InvalidSlug, InvalidName, TenantNotFound, ParticipantNotFound, AmbiguousName and
    WorkspaceConflict.
    """
    operator.require(Permission.MANAGE_TENANTS)
    validate_slug(spec.slug, entity="workspace")
    validate_name(spec.name, entity="workspace")
    if len(spec.name) > MAX_NAME_CHARS:
        raise InvalidName(
            f"Invalid name of a workspace: {spec.name[:100]!r}.",
            fix=f"Pass 1 to {MAX_NAME_CHARS} printable characters.",
        )
    validate_description(spec.description)
    resolved = resolve_tenant(operator, tenant)
    owner = resolve_participant(operator, spec.owner, tenant=resolved) if spec.owner else None
    fqid = owner.fqid(get_server_name()) if owner else None
    existing = _find_existing(resolved, spec)
    named = {"slug": spec.slug, "name": spec.name, "description": spec.description}
    workspace = existing or Workspace(tenant=resolved, **named, created_at=now, updated_at=now)
    created = False
    if existing is None and not dry_run:
        workspace, created = _insert(operator, workspace, spec, owner, now)
    subject = {**build_workspace_row(workspace), "tenant": resolved.slug}
    if existing is None and dry_run:
        subject["id"] = None
    return Change(
        _WORDS,
        subject,
        created,
        dry_run=dry_run and existing is None,
        names={"with_owner": f" with owner {fqid}" if fqid else ""},
        rest={"owner": fqid},
    )


def _find_existing(tenant: Tenant, spec: WorkspaceSpec) -> Workspace | None:
    """Raises `WorkspaceConflict` if the workspace exists with another name."""
    existing = Workspace.objects.filter(tenant=tenant, slug=spec.slug).first()
    if existing is not None and existing.name != spec.name:
        raise WorkspaceConflict(
            f"Workspace {spec.slug} already exists in tenant {tenant.slug} with the name "
            f"{existing.name!r}."
        )
    return existing


def _insert(
    operator: Operator,
    workspace: Workspace,
    spec: WorkspaceSpec,
    owner: Participant | None,
    now: datetime,
) -> tuple[Workspace, bool]:
    """Return the workspace, and whether it was created by this call rather than by another one."""
    tenant = workspace.tenant
    try:
        with transaction.atomic():
            workspace.save(force_insert=True)
            if owner is not None:
                WorkspaceMember.objects.create(
                    tenant=tenant,
                    workspace=workspace,
                    participant=owner,
                    role=WorkspaceRole.OWNER,
                    created_at=now,
                )
            record_audit(
                operator=operator,
                action="create-workspace",
                subject=workspace,
                tenant=tenant,
                now=now,
                details={
                    "slug": workspace.slug,
                    "name": workspace.name,
                    "owner_id": str(owner.pk) if owner else None,
                },
            )
    except IntegrityError:
        if existing := _find_existing(tenant, spec):
            return existing, False
        raise
    return workspace, True
