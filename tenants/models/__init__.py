"""Models: partners, tenants, participants, groups, roles, audit log, usage, administrators."""

from tenants.models.admin_user import AdminUser
from tenants.models.audit import AuditEntry, TokenUsage
from tenants.models.audit_seals import AuditChain, AuditPruning, AuditSeal, AuditSealPart
from tenants.models.counters import Counter
from tenants.models.directory import (
    ACTIVE,
    Group,
    GroupMembership,
    Participant,
    ParticipantType,
    Partner,
    Tenant,
    active_q,
)
from tenants.models.doctor import DoctorRun
from tenants.models.erasure import ErasurePhase, TenantErasure
from tenants.models.holds import Hold
from tenants.models.notices import Notice
from tenants.models.overview import DailyFigures, StoredOverview
from tenants.models.restoration import Restoration
from tenants.models.roles import Role, RoleGrant, RoleSource
from tenants.models.schema import SchemaState

__all__ = [
    "ACTIVE",
    "AdminUser",
    "AuditChain",
    "AuditEntry",
    "AuditPruning",
    "AuditSeal",
    "AuditSealPart",
    "Counter",
    "DailyFigures",
    "DoctorRun",
    "ErasurePhase",
    "Group",
    "GroupMembership",
    "Hold",
    "Notice",
    "Participant",
    "ParticipantType",
    "Partner",
    "Restoration",
    "Role",
    "RoleGrant",
    "RoleSource",
    "SchemaState",
    "StoredOverview",
    "Tenant",
    "TenantErasure",
    "TokenUsage",
    "active_q",
]
