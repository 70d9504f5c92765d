"""The operator of an act, and what each role may do.

Services call `operator.require(…)` in their first line, so that no command, job or view can bypass
it.
"""

from __future__ import annotations

import os
import pwd
import socket
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

from scaiwave.core.errors import InsufficientPermission


class OperatorRole(Enum):
    HOST = "host"
    SUPER_ADMIN = "super_admin"
    PARTNER_ADMIN = "partner_admin"
    TENANT_ADMIN = "tenant_admin"
    PLATFORM_READ = "platform_read"
    # An application with a PARTNER or TENANT registration that may read ScaiKey but not change it.
    SERVICE = "service"
    # A caller of the HTTP API: not an operator, and limited to their own tenant.
    PARTICIPANT = "participant"
    # An account of the admin site, and a client that tries to sign in with one. They are recorded
    # with their sign-ins and can run no operation.
    ADMINISTRATOR = "administrator"
    ANONYMOUS = "anonymous"


class Permission(Enum):
    """What an operator can be allowed; the value completes 'may not …'."""

    MANAGE_PLATFORM = "manage the platform"
    MANAGE_TENANTS = "manage tenants"
    SYNC_TENANTS = "sync tenants"
    MANAGE_ROLES = "manage roles"
    EXPORT_ROOMS = "export rooms"
    IMPORT_ROOMS = "import rooms"
    READ_MESSAGES = "read the messages of rooms"
    VIEW = "view tenants"
    VIEW_PLATFORM = "view this server's configuration"


_ALL_PERMISSIONS = frozenset(Permission)
_ROOMS = frozenset({Permission.EXPORT_ROOMS, Permission.IMPORT_ROOMS})
ROLE_PERMISSIONS: dict[OperatorRole, frozenset[Permission]] = {
    OperatorRole.HOST: _ALL_PERMISSIONS,
    OperatorRole.SUPER_ADMIN: _ALL_PERMISSIONS,
    OperatorRole.PARTNER_ADMIN: _ROOMS
    | {
        Permission.MANAGE_TENANTS,
        Permission.SYNC_TENANTS,
        Permission.MANAGE_ROLES,
        Permission.VIEW,
    },
    OperatorRole.TENANT_ADMIN: _ROOMS | {Permission.SYNC_TENANTS, Permission.VIEW},
    OperatorRole.PLATFORM_READ: frozenset({Permission.VIEW, Permission.VIEW_PLATFORM}),
    OperatorRole.SERVICE: frozenset({Permission.SYNC_TENANTS, Permission.VIEW}),
    OperatorRole.PARTICIPANT: _ROOMS,
    OperatorRole.ADMINISTRATOR: frozenset(),
    OperatorRole.ANONYMOUS: frozenset(),
}

ROOM_SCOPES = {
    "rooms:export": Permission.EXPORT_ROOMS,
    "rooms:import": Permission.IMPORT_ROOMS,
}
"""Scopes of tokens. assumption: ScaiKey issues them to applications that may request them; its docs
name no scope for rooms."""


def find_room_permissions(scopes: Collection[str]) -> frozenset[Permission] | None:
    """Return the permissions for rooms of a token's scopes; None if they do not name it."""
    return frozenset(ROOM_SCOPES[scope] for scope in scopes if scope in ROOM_SCOPES) or None


@dataclass(frozen=True)
class Operator:
    """The caller of an act.

    `partner_id` and `tenant_id` are ScaiKey ids that limit the scope. `subject` is the ScaiKey id
    of the token's owner. `is_own_application` is true for the token that this server itself gets
    by its client credentials. `granted` are permissions that the operator has beside the role's.
    `room_permissions` are named by the scopes of the token, in place of the role's.
    """

    name: str
    role: OperatorRole
    partner_id: str | None = None
    tenant_id: str | None = None
    origin: str = ""
    subject: str = ""
    is_own_application: bool = False
    granted: frozenset[Permission] = frozenset()
    room_permissions: frozenset[Permission] | None = None

    def require(self, permission: Permission) -> None:
        """Raise InsufficientPermission unless the role grants this permission."""
        if not self.has_permission(permission):
            message = f"{self.name} ({self.role.value}) may not {permission.value}."
            if self.room_permissions is not None and permission in _ROOMS:
                scope = next(scope for scope, each in ROOM_SCOPES.items() if each is permission)
                raise InsufficientPermission(message, fix=f"Use a token with the scope {scope}.")
            raise InsufficientPermission(
                message,
                fix="Ask an operator with one of these roles: "
                + ", ".join(
                    role.value
                    for role, granted in ROLE_PERMISSIONS.items()
                    if permission in granted
                    and role not in (OperatorRole.PARTICIPANT, OperatorRole.SERVICE)
                )
                + ".",
            )

    def has_permission(self, permission: Permission) -> bool:
        if self.room_permissions is not None and permission in _ROOMS:
            return permission in self.room_permissions
        return permission in ROLE_PERMISSIONS[self.role] or permission in self.granted

    @property
    def sees_everything(self) -> bool:
        return self.role in (
            OperatorRole.HOST,
            OperatorRole.SUPER_ADMIN,
            OperatorRole.PLATFORM_READ,
        )


def get_host_operator() -> Operator:
    # Ask the process itself: the variables USER and LOGNAME can be set to anything.
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # The uid has no name, as in many containers.
        user = f"uid {os.geteuid()}"
    return Operator(user, OperatorRole.HOST, origin=socket.gethostname())
