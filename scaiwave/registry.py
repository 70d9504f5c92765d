"""How upper apps give lower ones what these must not import.

An app registers in its `AppConfig.ready()`; nothing is asked before a verb needs it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from scaiwave.doctor.findings import Check

TenantColumnProvider = Callable[[Collection[UUID]], Mapping[UUID, Any]]
ParticipantFacts = Callable[[UUID], Sequence[tuple[str, Any]]]
RoleUseFinder = Callable[[UUID, str], Sequence[str]]

_tenant_columns: dict[str, TenantColumnProvider] = {}
_participant_facts: list[ParticipantFacts] = []
_role_uses: list[RoleUseFinder] = []
_health_checks: dict[str, Check] = {}
_tenant_slug: list[Callable[[str], str | None]] = []


def register_tenant_columns(name: str, provide: TenantColumnProvider) -> None:
    """Give list-tenants and show-tenant a column: one query for all tenants, absent = unknown."""
    _tenant_columns[name] = provide


def get_tenant_columns(tenant_ids: Collection[UUID]) -> dict[str, Mapping[UUID, Any]]:
    """Every registered column for these tenants, by name."""
    return {name: provide(tenant_ids) for name, provide in _tenant_columns.items()}


def register_participant_facts(tell: ParticipantFacts) -> None:
    """Give show-participant lines of its own: (title, value), for one participant."""
    if tell not in _participant_facts:
        _participant_facts.append(tell)


def participant_facts(participant_id: UUID) -> list[tuple[str, Any]]:
    """Every registered line about this participant, in the order of registration."""
    return [fact for tell in _participant_facts for fact in tell(participant_id)]


def register_role_uses(find: RoleUseFinder) -> None:
    """Say what of a tenant names a role by its slug: (tenant id, slug) -> in words, each."""
    if find not in _role_uses:
        _role_uses.append(find)


def find_role_uses(tenant_id: UUID, slug: str) -> list[str]:
    """Everything that names this role, in the order of registration."""
    return [use for find in _role_uses for use in find(tenant_id, slug)]


def register_tenant_slug(find: Callable[[str], str | None]) -> None:
    """Say how a ScaiKey tenant id becomes the slug in that tenant's addresses at ScaiKey."""
    _tenant_slug[:] = [find]


def resolve_tenant_slug(scaikey_tenant_id: str) -> str | None:
    return _tenant_slug[0](scaikey_tenant_id) if _tenant_slug else None


def register_health_check(check: Check) -> None:
    """Give `scaiwave doctor` a check of the app's own."""
    _health_checks[check.name] = check


def get_health_checks() -> list[Check]:
    """Every registered check, in the order of the installed apps."""
    return list(_health_checks.values())
