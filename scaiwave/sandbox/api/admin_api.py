"""What an admin token may read (ScaiKey docs, reference/admin-api).

Something outside the caller's scope is answered like something that isn't there, which is an
assumption: the vendor's page is silent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scaiwave.sandbox.api.auth import Principal, caller, super_admin
from scaiwave.sandbox.api.pagination import encode_rows, paginate
from scaiwave.sandbox.data.population import ListFilter, Row
from scaiwave.sandbox.errors import UnknownEntity
from scaiwave.sandbox.http.routing import HTTPError, Request, Response, json_response, route

if TYPE_CHECKING:
    from scaiwave.sandbox.server import Sandbox

ADMIN = "/api/v1/admin"


def _where(request: Request, who: Principal, *, kind: str | None = "status") -> ListFilter:
    """The filters of the query; `kind` is the parameter that selects a status or a type."""
    query = request.query
    return ListFilter(
        tenant_id=query.get("tenant_id"),
        partner_id=query.get("partner_id"),
        kind=query.get(kind) if kind else None,
        search=query.get("search"),
        scope_partner_id=who.partner_id,
        scope_tenant_id=who.tenant_id,
    )


@route("GET", ADMIN + "/partners/")
def partners(sandbox: Sandbox, request: Request) -> Response:
    where = _where(request, super_admin(sandbox, request))
    return paginate(sandbox, request, lambda o, n: sandbox.directory.partner_list(where, o, n))


@route("GET", ADMIN + "/tenants/")
def tenants(sandbox: Sandbox, request: Request) -> Response:
    where = _where(request, caller(sandbox, request))
    return paginate(sandbox, request, lambda o, n: sandbox.directory.tenant_list(where, o, n))


@route("GET", ADMIN + "/users/")
def users(sandbox: Sandbox, request: Request) -> Response:
    where = _where(request, caller(sandbox, request))
    return paginate(sandbox, request, lambda o, n: sandbox.directory.user_list(where, o, n))


@route("GET", ADMIN + "/groups/")
def groups(sandbox: Sandbox, request: Request) -> Response:
    where = _where(request, caller(sandbox, request), kind="group_type")
    return paginate(sandbox, request, lambda o, n: sandbox.directory.group_list(where, o, n))


@route("GET", ADMIN + "/partners/{partner_id}")
def partner(sandbox: Sandbox, request: Request) -> Response:
    super_admin(sandbox, request)
    return json_response(
        _found("Partner", sandbox.directory.partner_by_id, request.params["partner_id"])
    )


@route("GET", ADMIN + "/tenants/{tenant_id}")
def tenant(sandbox: Sandbox, request: Request) -> Response:
    who = caller(sandbox, request)
    row = _found("Tenant", sandbox.directory.tenant_by_id, request.params["tenant_id"])
    return json_response(_in_scope_row(who, row, tenant=row, kind="Tenant"))


@route("GET", ADMIN + "/users/{user_id}")
def user(sandbox: Sandbox, request: Request) -> Response:
    who = caller(sandbox, request)
    row = _found("User", sandbox.directory.user_by_id, request.params["user_id"])
    tenant_id = row["tenant"]["id"] if sandbox.directory.nested_tenant else row["tenant_id"]
    owner = _found("User", sandbox.directory.tenant_by_id, tenant_id)
    return json_response(_in_scope_row(who, row, tenant=owner, kind="User"))


@route("GET", ADMIN + "/groups/{group_id}")
def group(sandbox: Sandbox, request: Request) -> Response:
    who = caller(sandbox, request)
    row = _found("Group", sandbox.directory.group_by_id, request.params["group_id"])
    owner = _found("Group", sandbox.directory.tenant_by_id, row["tenant_id"])
    return json_response(_in_scope_row(who, row, tenant=owner, kind="Group"))


@route("GET", ADMIN + "/groups/{group_id}/members")
def members(sandbox: Sandbox, request: Request) -> Response:
    """The path and the form of the rows are an assumption."""
    group_id = _visible_group(sandbox, request)["id"]
    return paginate(sandbox, request, lambda o, n: sandbox.directory.member_list(group_id, o, n))


def _visible_group(sandbox: Sandbox, request: Request) -> Row:
    who = caller(sandbox, request)
    row = _found("Group", sandbox.directory.group, request.params["group_id"])
    _visible_tenant(sandbox, who, row["tenant_id"], "Group")
    return row


def _found(kind: str, find: Callable[[str], Row], entity_id: str) -> Row:
    try:
        return find(entity_id)
    except UnknownEntity:
        raise HTTPError(404, f"{kind} not found") from None


def _visible_tenant(sandbox: Sandbox, who: Principal, tenant_id: str, kind: str) -> Row:
    """Return the tenant if it lies in the caller's scope; `kind` is what was asked for."""
    row = _found(kind, sandbox.directory.tenant, tenant_id)
    return _in_scope_row(who, row, tenant=row, kind=kind)


def _in_scope_row(who: Principal, row: Row, *, tenant: Row, kind: str) -> Row:
    scope = ListFilter(scope_partner_id=who.partner_id, scope_tenant_id=who.tenant_id)
    if not scope.admits(tenant):
        raise HTTPError(404, f"{kind} not found")
    return row


@route("GET", ADMIN + "/auth/me")
def me(sandbox: Sandbox, request: Request) -> Response:
    who = caller(sandbox, request)
    claims = who.claims
    fields = ("client_id", "scope", "app_scope", "platform_token", "token_type")
    return json_response(
        {
            "id": claims["sub"],
            "role": who.role,
            "partner_id": who.partner_id,
            "tenant_id": who.tenant_id,
            **{name: claims[name] for name in fields if name in claims},
        }
    )


@route("GET", ADMIN + "/applications/")
def applications(sandbox: Sandbox, request: Request) -> Response:
    who, query = caller(sandbox, request), request.query
    rows = [row for row in sandbox.applications(who.client_id) if _in_scope(sandbox, who, row)]
    for name in ("tenant_id", "partner_id", "scope", "application_type"):
        rows = [row for row in rows if query.get(name) in (None, row[name])]
    search = query.get("search", "").casefold()
    texts = [encode_rows(row) for row in rows if search in row["name"].casefold()]
    return paginate(sandbox, request, lambda o, n: (texts[o : o + n], len(texts)))


def _in_scope(sandbox: Sandbox, who: Principal, row: Row) -> bool:
    if who.role == "super_admin" or row["partner_id"] == who.partner_id is not None:
        return True
    owner = sandbox.directory.tenants.get(row["tenant_id"] or "")
    scope = ListFilter(scope_partner_id=who.partner_id, scope_tenant_id=who.tenant_id)
    return owner is not None and scope.admits(owner)


@route("GET", ADMIN + "/applications/{application_id}")
def application(sandbox: Sandbox, request: Request) -> Response:
    who = caller(sandbox, request)
    row = _application(sandbox, who, request.params["application_id"])
    if not _in_scope(sandbox, who, row):
        raise HTTPError(404, "Application not found")
    return json_response(row)


def _application(sandbox: Sandbox, who: Principal, application_id: str) -> Row:
    for row in sandbox.applications(who.client_id):
        if row["id"] == application_id:
            return row
    raise HTTPError(404, "Application not found")


@route("GET", "/api/v1/tenants/{tenant_id}/applications/{application_id}/effective-users")
def effective_users(sandbox: Sandbox, request: Request) -> Response:
    """Everybody of the tenant: here each is assigned to each application (an assumption)."""
    who = caller(sandbox, request)
    tenant_id = _visible_tenant(sandbox, who, request.params["tenant_id"], "Tenant")["id"]
    _application(sandbox, who, request.params["application_id"])
    where = ListFilter(tenant_id=tenant_id)
    return paginate(sandbox, request, lambda o, n: sandbox.directory.user_list(where, o, n))
