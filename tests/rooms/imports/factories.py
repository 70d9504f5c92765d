"""The target of imports: a tenant with one workspace and one participant who owns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rooms.models import Workspace, WorkspaceMember
from tenants.models import Participant, Tenant
from tests.scaiwave import row_factories

NOW = row_factories.NOW


@dataclass(frozen=True)
class ImportTargetRows:
    tenant: Tenant
    workspace: Workspace
    anna: Participant

    @property
    def names(self) -> dict[str, str]:
        """Return them as arguments of `import_room`."""
        return {
            "tenant": self.tenant.slug,
            "workspace": self.workspace.slug,
            "participant": str(self.anna.pk),
        }


def make_home(slug: str = "acme", role: str = "owner", **limits: Any) -> ImportTargetRows:
    tenant = row_factories.make_tenant(slug, **limits)
    home = ImportTargetRows(
        tenant, row_factories.make_workspace(tenant), row_factories.make_participant(tenant)
    )
    WorkspaceMember.objects.create(
        tenant=tenant,
        workspace=home.workspace,
        participant=home.anna,
        role=role,
        created_at=NOW,
    )
    return home
