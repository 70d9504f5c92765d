"""Factories for partners, tenants, people and groups, and operators."""

from __future__ import annotations

from datetime import UTC, datetime
from io import StringIO
from itertools import count
from typing import Any

from django.core.management import call_command

from scaiwave.cli.django_entry import CommandFailed
from scaiwave.core.operators import Operator, OperatorRole
from tenants.models import Group, GroupMembership, Participant, Partner, Tenant

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
EARLIER = datetime(2026, 11, 1, 8, 30, tzinfo=UTC)

HOST_OPERATOR = Operator("root", OperatorRole.HOST)
READ_ONLY_OPERATOR = Operator("monitor", OperatorRole.PLATFORM_READ)

_numbers = count(1)


def make_partner_admin(partner: Partner) -> Operator:
    return Operator("paula", OperatorRole.PARTNER_ADMIN, partner_id=partner.scaikey_id)


def make_tenant_admin(tenant: Tenant) -> Operator:
    return Operator("tom", OperatorRole.TENANT_ADMIN, tenant_id=tenant.scaikey_tenant_id)


def make_partner(slug: str = "northwind", **fields: Any) -> Partner:
    values = {"name": slug.title(), "scaikey_id": f"prt_{slug}", **_timestamps(), **fields}
    return Partner.objects.create(slug=slug, **values)


def make_tenant(slug: str = "acme", **fields: Any) -> Tenant:
    values = {"name": slug.title(), "scaikey_tenant_id": f"tnt_{slug}", **_timestamps(), **fields}
    return Tenant.objects.create(slug=slug, **values)


def make_person(tenant: Tenant, name: str = "anna", **fields: Any) -> Participant:
    values = {
        "local_id": f"{name}.{tenant.slug}",
        "scaikey_id": f"usr_{name}_{next(_numbers)}",
        "display_name": name.title(),
        "email": f"{name}@{tenant.slug}.example",
        **_timestamps(),
        **fields,
    }
    return Participant.objects.create(tenant=tenant, **values)


def make_group(tenant: Tenant, name: str = "Engineering", **fields: Any) -> Group:
    values = {"scaikey_id": f"grp_{next(_numbers)}", **_timestamps(), **fields}
    return Group.objects.create(tenant=tenant, name=name, **values)


def add_members(group: Group, *members: Participant | Group, **fields: Any) -> None:
    for member in members:
        side = "member_group" if isinstance(member, Group) else "member_participant"
        GroupMembership.objects.create(
            tenant=group.tenant, group=group, **{side: member}, **_timestamps(), **fields
        )


def run_command(command: str, *words: str) -> str:
    """Return what the command prints on stdout. Raises its own error, not Django's."""
    return read_outputs(command, *words)[0]


def read_outputs(command: str, *words: str) -> tuple[str, str]:
    """Return what the command prints on stdout and on stderr."""
    out, err = StringIO(), StringIO()
    try:
        call_command(command, *words, stdout=out, stderr=err)
    except CommandFailed as failed:
        raise failed.error from failed
    return out.getvalue(), err.getvalue()


def _timestamps() -> dict[str, datetime]:
    return {"created_at": EARLIER, "updated_at": EARLIER}
