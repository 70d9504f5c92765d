"""Who uses the admin site, and which rows they see.

Accounts with a password have the permissions of Django, on all rows. A person who signed in with
ScaiKey has none of those: their role and scope are in the session, as verified at the sign-in.
Every list, page, search and file of the site reads rows through `limit_rows`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast
from uuid import UUID

from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from scaiwave import extensions
from scaiwave.auth.bearer import get_client_address
from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.web.session_values import OPERATOR_KEY, SIGN_IN_KEY

SCAIKEY_BACKEND = "tenants.oidc.backend.ScaiKeyBackend"

ROLES = (OperatorRole.SUPER_ADMIN, OperatorRole.PARTNER_ADMIN, OperatorRole.TENANT_ADMIN)
"""The roles that may enter the site."""

M = TypeVar("M", bound=Model)

_OPERATOR_ATTRIBUTE, _TENANTS_ATTRIBUTE = "_scaikey_operator", "_visible_tenants"

Selector = Callable[[QuerySet[Model], "VisibleTenants"], QuerySet[Model]]


def save_operator(session: SessionBase, operator: Operator, *, expires_at: float) -> None:
    """Keep the verified role and scope of a sign-in, until a time in Unix seconds."""
    session[OPERATOR_KEY] = {
        "name": operator.name,
        "role": operator.role.value,
        "partner_id": operator.partner_id,
        "tenant_id": operator.tenant_id,
        "subject": operator.subject,
        "expires_at": expires_at,
    }


def save_sign_in(request: HttpRequest) -> None:
    """Keep when and where from a session began, for the list of the sessions of an account."""
    address = get_client_address(request)
    request.session[SIGN_IN_KEY] = {"at": time.time(), "address": address}


def is_scaikey_session(request: HttpRequest) -> bool:
    """Whether the account of the session has signed in with ScaiKey, now or earlier."""
    session = getattr(request, "session", None)
    return session is not None and session.get(BACKEND_SESSION_KEY) == SCAIKEY_BACKEND


def is_expired(request: HttpRequest) -> bool:
    """Whether the sign-in with ScaiKey is too old to prove a role."""
    return float(request.session.get(OPERATOR_KEY, {}).get("expires_at", 0)) <= time.time()


def find_scaikey_operator(request: HttpRequest) -> Operator | None:
    """Return the person who signed in with ScaiKey; None for accounts with a password, and once
    the sign-in has expired.

    A request has one answer: if a sign-in expired in the middle, later parts of the page would
    take the person for an account without a limit.
    """
    if not is_scaikey_session(request):
        return None
    if not hasattr(request, _OPERATOR_ATTRIBUTE):
        setattr(request, _OPERATOR_ATTRIBUTE, _read_operator(request))
    operator: Operator | None = getattr(request, _OPERATOR_ATTRIBUTE)
    return operator


def _read_operator(request: HttpRequest) -> Operator | None:
    if is_expired(request):
        return None
    stored = request.session[OPERATOR_KEY]
    user: Any = request.user
    if not user.is_active or user.scaikey_id != stored["subject"]:
        return None
    operator = Operator(
        name=stored["name"],
        role=OperatorRole(stored["role"]),
        partner_id=stored["partner_id"],
        tenant_id=stored["tenant_id"],
        origin=f"{get_client_address(request)} via ScaiKey",
        subject=stored["subject"],
    )
    scopes = {
        OperatorRole.SUPER_ADMIN: "*",
        OperatorRole.PARTNER_ADMIN: operator.partner_id,
        OperatorRole.TENANT_ADMIN: operator.tenant_id,
    }
    if not scopes.get(operator.role):
        return None
    scope = extensions.OPERATOR_SCOPE.load()(operator)
    if scope.blocker:
        return None
    setattr(request, _TENANTS_ATTRIBUTE, VisibleTenants(operator, scope.tenant_ids))
    return operator


def has_permission(request: HttpRequest, permission: str) -> bool:
    """Whether the account has a permission of Django on all rows, such as `tenants.view_tenant`."""
    operator = find_scaikey_operator(request)
    if operator is not None:
        return operator.sees_everything
    user: Any = request.user
    return not is_scaikey_session(request) and bool(user.has_perm(permission))


def sees_everything(request: HttpRequest) -> bool:
    """Whether the account may see all of the server: a super_admin, a superuser or an auditor."""
    operator = find_scaikey_operator(request)
    if operator is not None:
        return operator.sees_everything
    user: Any = request.user
    if is_scaikey_session(request) or not user.is_active:
        return False
    return bool(user.is_superuser or user.is_auditor)


def find_limited_operator(request: HttpRequest) -> Operator | None:
    """Return the operator who sees only their tenants, or None if the account has no such limit."""
    operator = find_scaikey_operator(request)
    return None if operator is None or operator.sees_everything else operator


class VisibleTenants:
    """The tenants within an operator's scope."""

    def __init__(self, operator: Operator, keys: Sequence[UUID] | None = None) -> None:
        """`keys` are the tenants, if they are known already."""
        self.operator = operator
        self._keys = None if keys is None else list(keys)

    def list_keys(self) -> list[UUID]:
        if self._keys is None:
            tenants = extensions.VISIBLE_TENANTS.load()(self.operator)
            self._keys = list(tenants.values_list("pk", flat=True))
        return self._keys

    def select_keys(self) -> Sequence[UUID] | QuerySet[Model, dict[str, Any]]:
        """Return the keys for a condition `__in`.

        The one tenant of a tenant_admin is a value, so that indexes which begin with the tenant
        are used.
        """
        if self.operator.role is OperatorRole.TENANT_ADMIN:
            return self.list_keys()
        return extensions.VISIBLE_TENANTS.load()(self.operator).values("pk")


@dataclass(frozen=True)
class RowScope:
    """How an operator's scope selects the rows of a model. Without `select` it selects none.

    `roles` may see the model at all. `path` leads to the tenant. Rows of one that is being
    erased are never shown.
    """

    select: Selector | None = None
    roles: frozenset[OperatorRole] = frozenset(ROLES)
    path: str = ""

    def is_for(self, operator: Operator) -> bool:
        if operator.sees_everything:
            return True
        return self.select is not None and operator.role in self.roles


PLATFORM = RowScope()
"""The scope of rows that belong to this server, and not to a tenant."""


def by_tenant(path: str = "tenant") -> RowScope:
    """Return the scope of rows whose tenant is at this path, such as `change__tenant`."""

    def select(rows: QuerySet[Model], tenants: VisibleTenants) -> QuerySet[Model]:
        return rows.filter(**{f"{path}__in": tenants.select_keys()})

    return RowScope(select, path=path)


def by_tenant_text(field: str) -> RowScope:
    """Return the scope of rows that have the ID of their tenant as text."""

    def select(rows: QuerySet[Model], tenants: VisibleTenants) -> QuerySet[Model]:
        return rows.filter(**{f"{field}__in": [str(key) for key in tenants.list_keys()]})

    return RowScope(select)


def by_partner(field: str) -> RowScope:
    """Return the scope of rows that have the ScaiKey ID of their partner in this field.

    A partner is not part of its tenants, so their administrators do not see it.
    """

    def select(rows: QuerySet[Model], tenants: VisibleTenants) -> QuerySet[Model]:
        return rows.filter(**{field: tenants.operator.partner_id or ""})

    return RowScope(select, frozenset({OperatorRole.PARTNER_ADMIN}))


def limit_rows(request: HttpRequest, rows: QuerySet[M], scope: RowScope) -> QuerySet[M]:
    """Return the rows that the account may see."""
    operator = find_limited_operator(request)
    if operator is None:
        has_role = not is_scaikey_session(request) or find_scaikey_operator(request) is not None
        if has_role and scope.path:
            return rows.exclude(**{f"{scope.path}__in": extensions.ERASING_TENANTS.load()()})
        return rows if has_role else rows.none()
    if scope.select is None or not scope.is_for(operator):
        return rows.none()
    tenants: VisibleTenants = getattr(request, _TENANTS_ATTRIBUTE)
    return cast(QuerySet[M], scope.select(rows, tenants))
