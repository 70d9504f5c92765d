"""What can go wrong with tenants, people and groups."""

from __future__ import annotations

from scaiwave.errors import (
    ConfigurationError,
    ConflictError,
    DomainError,
    NotFoundError,
    PermissionDenied,
    RefusedError,
)


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


class ScaiKeyTenantNotFound(NotFoundError):
    """ScaiKey has no such tenant, or has it outside the operator's scope."""

    code = "SW_TENANT_NOT_AT_SCAIKEY"


class AmbiguousName(DomainError):
    code = "SW_NAME_AMBIGUOUS"


class InvalidSlug(DomainError):
    code = "SW_TENANT_BAD_SLUG"


class InvalidName(DomainError):
    """A name or an id that can't be stored, or that nobody could read."""

    code = "SW_TENANT_BAD_NAME"


class TenantConflict(ConflictError):
    """The slug or the ScaiKey tenant belongs to another tenant already."""

    code = "SW_TENANT_CONFLICT"


class ScaiKeyMismatch(ConflictError):
    """What was asked for is not what ScaiKey has, and ScaiKey would win at the next sync."""

    code = "SW_TENANT_SCAIKEY_DISAGREES"


class RoleNotFound(NotFoundError):
    code = "SW_ROLE_NOT_FOUND"
    fix = "`scaiwave role list --tenant <slug>` shows the roles of a tenant."


class InvalidRoleSlug(DomainError):
    code = "SW_ROLE_BAD_SLUG"


class RoleConflict(ConflictError):
    """The slug belongs to another role of the tenant already."""

    code = "SW_ROLE_CONFLICT"


class RoleBuiltIn(RefusedError):
    """Every tenant has it: it is neither made nor deleted."""

    code = "SW_ROLE_BUILT_IN"


class RoleInUse(RefusedError):
    """It can't be deleted while somebody holds it."""

    code = "SW_ROLE_HELD"


class RoleHolderInactive(RefusedError):
    """Whom it would be granted to is gone from ScaiKey."""

    code = "SW_ROLE_HOLDER_GONE"
    fix = "Bring them back in ScaiKey and run `scaiwave sync`, then grant it."


class RoleFromScaiKey(RefusedError):
    """ScaiKey grants it, and would grant it again."""

    code = "SW_ROLE_FROM_SCAIKEY"


class LastSuperAdmin(RefusedError):
    code = "SW_ROLE_LAST_SUPER_ADMIN"


class SuperAdminOnly(PermissionDenied):
    """Only a super_admin gives and takes super_admin."""

    code = "SW_ROLE_SUPER_ADMIN_ONLY"
    fix = "Ask a super_admin, or run it on the server itself."


class SelfElevation(PermissionDenied):
    """Nobody gives a role to themselves."""

    code = "SW_ROLE_SELF_ELEVATION"
    fix = "Ask another operator who may manage roles here."


class ManagedByScaiKey(RefusedError):
    """What belongs to ScaiKey is changed there: the next sync would undo it here."""

    code = "SW_TENANT_KEPT_BY_SCAIKEY"


class InvalidLimit(DomainError):
    code = "SW_TENANT_BAD_LIMIT"


class InvalidFeature(DomainError):
    """A key or a value that can't be among a tenant's features."""

    code = "SW_TENANT_BAD_FEATURE"


class PartnerConflict(ConflictError):
    """The slug or the ScaiKey partner belongs to another partner already."""

    code = "SW_PARTNER_CONFLICT"


class AuditTriggersMissing(ConfigurationError):
    code = "SW_AUDIT_UNGUARDED"
    fix = "`scaiwave manage migrate` makes them anew. Find out who took them away."


class AdministratorConflict(ConflictError):
    code = "SW_ADMINISTRATOR_CONFLICT"


class InvalidAdministrator(DomainError):
    """A user name or an e-mail address that can't be an administrator's."""

    code = "SW_ADMINISTRATOR_BAD_NAME"


class WeakPassword(DomainError):
    code = "SW_ADMINISTRATOR_WEAK_PASSWORD"


class ModelMissing(NotFoundError):
    """ScaiGrid does not list a model that is configured here."""

    code = "SW_AI_MODEL_MISSING"
