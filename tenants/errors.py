"""What can go wrong with tenants, people and groups."""

from __future__ import annotations

from scaiwave.errors import ConflictError, DomainError, NotFoundError


class TenantNotFound(NotFoundError):
    code = "SW_TENANT_NOT_FOUND"
    fix = "`scaiwave admin list-tenants` shows those you may see; `scaiwave sync` fetches new ones."


class PartnerNotFound(NotFoundError):
    code = "SW_PARTNER_NOT_FOUND"
    fix = (
        "`scaiwave admin list-partners` shows those you may see; `scaiwave sync` fetches new ones."
    )


class ParticipantNotFound(NotFoundError):
    code = "SW_PARTICIPANT_NOT_FOUND"
    fix = "`scaiwave admin list-participants --tenant <slug> --search <name>` finds people."


class GroupNotFound(NotFoundError):
    code = "SW_GROUP_NOT_FOUND"
    fix = "`scaiwave admin list-groups --tenant <slug>` shows the groups of a tenant."


class NotAtScaiKey(NotFoundError):
    """ScaiKey has no such tenant, or has it outside the operator's scope."""

    code = "SW_TENANT_NOT_AT_SCAIKEY"


class AmbiguousName(DomainError):
    code = "SW_NAME_AMBIGUOUS"


class BadSlug(DomainError):
    code = "SW_TENANT_BAD_SLUG"


class BadName(DomainError):
    """A name or an id that can't be stored, or that nobody could read."""

    code = "SW_TENANT_BAD_NAME"


class TenantConflict(ConflictError):
    """The slug or the ScaiKey tenant belongs to another tenant already."""

    code = "SW_TENANT_CONFLICT"


class ScaiKeyDisagrees(ConflictError):
    """What was asked for is not what ScaiKey has, and ScaiKey would win at the next sync."""

    code = "SW_TENANT_SCAIKEY_DISAGREES"
