from __future__ import annotations

from scaiwave.auth.operators import Operator, Permission
from scaiwave.console.output import strip_control_chars
from tenants.errors import AmbiguousName, ParticipantNotFound, RoleNotFound
from tenants.models import Participant, Role, RoleGrant, Tenant
from tenants.queries.resolve import resolve_participant, resolve_tenant
from tenants.queries.role_paths import assignment_row, effective_roles, role_holders
from tenants.queries.roles import find_role, grant_row, resolve_role, role_row
from tenants.queries.serializers import Row, get_server_name, participant_row


def show_role(*, operator: Operator, name: str, tenant: str, of: str | None = None) -> Row:
    """A role with everybody who holds it, as {"role": …}; or a participant with every role they
    hold, as {"participant": …}. Each says by which way through the groups.

    `of` is "role" or "participant" and says what the name is of; without it a name that is both
    is refused. Raises RoleNotFound, ParticipantNotFound, TenantNotFound or AmbiguousName.
    """
    operator.require(Permission.VIEW)
    within = resolve_tenant(operator, tenant)
    found = _meant(operator, name, within, of)
    if isinstance(found, Role):
        return {"role": _role(found)}
    return {"participant": _participant(found)}


def _meant(operator: Operator, name: str, tenant: Tenant, of: str | None) -> Role | Participant:
    if of == "role":
        return resolve_role(tenant, name)
    if of == "participant":
        return resolve_participant(operator, name, tenant=tenant)
    role = find_role(tenant, name)
    person = _participant_called(operator, name, tenant, besides=role)
    if role is not None and person is not None:
        raise AmbiguousName(
            f"{strip_control_chars(name)!r} is both a role of tenant {tenant.slug} and a "
            f"participant ({person.fqid(get_server_name())}).",
            fix="Add --role or --participant to say which is meant.",
        )
    if found := role or person:
        return found
    raise RoleNotFound(
        f"There is neither a role nor a participant {strip_control_chars(name)!r} in tenant "
        f"{tenant.slug}.",
        fix=f"`scaiwave role list --tenant {tenant.slug}` shows the roles, "
        f"`scaiwave admin list-participants --tenant {tenant.slug} --search <name>` finds people.",
    )


def _participant_called(
    operator: Operator, name: str, tenant: Tenant, *, besides: Role | None
) -> Participant | None:
    try:
        return resolve_participant(operator, name, tenant=tenant)
    except ParticipantNotFound:
        return None
    except AmbiguousName as error:
        if besides is not None:
            error.fix = f"--role means the role of that name. {error.fix}"
        raise


def _role(role: Role) -> Row:
    server = get_server_name()
    return {
        **role_row(role),
        "tenant": role.tenant.slug,
        "grants": _grants(role),
        "holders": [
            {
                **participant_row(held.participant, server_name=server),
                "group": held.grant.group.name if held.grant.group else None,
                "path": held.names,
                "source": held.grant.source,
                "granted_by": held.grant.granted_by,
                "granted_at": held.grant.created_at,
            }
            for held in role_holders(role)
        ],
    }


def _grants(role: Role) -> list[Row]:
    """To whom it was granted, people before groups; a group may be gone or empty."""
    if role._state.adding:
        return []
    server = get_server_name()
    grants = RoleGrant.objects.filter(role=role).select_related("participant", "group")
    rows = [
        {
            **grant_row(grant),
            "participant": grant.participant.fqid(server) if grant.participant else None,
            "group": grant.group.name if grant.group else None,
            "group_id": grant.group_id,
            "group_absent_since": grant.group.absent_since if grant.group else None,
        }
        for grant in grants.order_by("pk")
    ]
    return sorted(rows, key=lambda row: (row["group"] or "", row["participant"] or ""))


def _participant(person: Participant) -> Row:
    return {
        **participant_row(person, server_name=get_server_name()),
        "tenant": person.tenant.slug,
        "roles": [assignment_row(held) for held in effective_roles(person)],
    }
