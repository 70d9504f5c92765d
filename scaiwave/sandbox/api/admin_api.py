"""The admin API (ScaiKey docs, reference/admin-api).

Assumption: an entity outside the caller's scope gets the same 404 as one that does not exist. The
vendor's page does not say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from scaiwave.sandbox.api.auth import Principal, authenticate, require_super_admin
from scaiwave.sandbox.api.pagination import encode_json, paginate
from scaiwave.sandbox.data.population import ListFilter
from scaiwave.sandbox.data.roster import Row
from scaiwave.sandbox.errors import UnknownEntity
from scaiwave.sandbox.http.messages import HTTPError, Request, Response, json_response
from scaiwave.sandbox.http.routing import Handler, route
from scaiwave.sandbox.state import SandboxState

ADMIN = "/api/v1/admin"


def _authenticate(sandbox: SandboxState, request: Request, kind: str) -> Principal:
    return (require_super_admin if kind == "partner" else authenticate)(sandbox, request)


def _list(kind: str) -> Handler:
    def handle(sandbox: SandboxState, request: Request) -> Response:
        principal, query = _authenticate(sandbox, request, kind), request.query
        list_filter = replace(
            principal.scope,
            tenant_id=query.get("tenant_id"),
            partner_id=query.get("partner_id"),
            kind=query.get("group_type" if kind == "group" else "status"),
            search=query.get("search"),
        )
        list_rows = getattr(sandbox.directory, f"list_{kind}s")
        return paginate(sandbox, request, partial(list_rows, list_filter))

    return handle


def _get(kind: str) -> Handler:
    def handle(sandbox: SandboxState, request: Request) -> Response:
        principal = _authenticate(sandbox, request, kind)
        find, name = sandbox.directory.get_by_id, kind.capitalize()
        row = _find_or_404(name, partial(find, kind), request.params[f"{kind}_id"])
        if kind == "partner":
            return json_response(row)
        tenant = row
        if kind != "tenant":
            tenant_id = row["tenant"]["id"] if "tenant" in row else row["tenant_id"]
            tenant = _find_or_404(name, partial(find, "tenant"), tenant_id)
        return json_response(_require_in_scope(principal, row, tenant=tenant, kind=name))

    return handle


for _kind in ("partner", "tenant", "user", "group"):
    route("GET", f"{ADMIN}/{_kind}s/")(_list(_kind))
    route("GET", f"{ADMIN}/{_kind}s/{{{_kind}_id}}")(_get(_kind))


@route("GET", ADMIN + "/groups/{group_id}/members")
def list_members(sandbox: SandboxState, request: Request) -> Response:
    """List a group's members. The path and the form of the rows are an assumption."""
    principal = authenticate(sandbox, request)
    row = _find_or_404("Group", partial(sandbox.directory.get, "group"), request.params["group_id"])
    _get_visible_tenant(sandbox, principal, row["tenant_id"], "Group")
    return paginate(sandbox, request, partial(sandbox.directory.list_members, row["id"]))


def _find_or_404(kind: str, find: Callable[[str], Row], entity_id: str) -> Row:
    try:
        return find(entity_id)
    except UnknownEntity:
        raise HTTPError(404, f"{kind} not found") from None


def _get_visible_tenant(
    sandbox: SandboxState, principal: Principal, tenant_id: str, kind: str
) -> Row:
    """Return the tenant if it is in the caller's scope; `kind` is the requested type."""
    row = _find_or_404(kind, partial(sandbox.directory.get, "tenant"), tenant_id)
    return _require_in_scope(principal, row, tenant=row, kind=kind)


def _require_in_scope(principal: Principal, row: Row, *, tenant: Row, kind: str) -> Row:
    if not principal.scope.admits(tenant):
        raise HTTPError(404, f"{kind} not found")
    return row


@route("GET", ADMIN + "/auth/me")
def get_me(sandbox: SandboxState, request: Request) -> Response:
    principal = authenticate(sandbox, request)
    claims = principal.claims
    fields = ("client_id", "scope", "app_scope", "platform_token", "token_type")
    return json_response(
        {
            "id": claims["sub"],
            "role": principal.role,
            "partner_id": principal.partner_id,
            "tenant_id": principal.tenant_id,
            **{name: claims[name] for name in fields if name in claims},
        }
    )


@route("GET", ADMIN + "/applications/")
def list_applications(sandbox: SandboxState, request: Request) -> Response:
    principal, query = authenticate(sandbox, request), request.query
    rows = [
        row
        for row in sandbox.list_applications(principal.client_id)
        if _is_in_scope(sandbox, principal, row)
    ]
    for name in ("tenant_id", "partner_id", "scope", "application_type"):
        rows = [row for row in rows if query.get(name) in (None, row[name])]
    search = query.get("search", "").casefold()
    texts = [encode_json(row) for row in rows if search in row["name"].casefold()]
    return paginate(sandbox, request, lambda o, n: (texts[o : o + n], len(texts)))


def _is_in_scope(sandbox: SandboxState, principal: Principal, row: Row) -> bool:
    if principal.role == "super_admin" or row["partner_id"] == principal.partner_id is not None:
        return True
    owner = sandbox.directory.tenants.get(row["tenant_id"] or "")
    return owner is not None and principal.scope.admits(owner)


@route("GET", ADMIN + "/applications/{application_id}")
def get_application(sandbox: SandboxState, request: Request) -> Response:
    principal = authenticate(sandbox, request)
    row = _find_application(sandbox, principal, request.params["application_id"])
    if not _is_in_scope(sandbox, principal, row):
        raise HTTPError(404, "Application not found")
    return json_response(row)


def _find_application(sandbox: SandboxState, principal: Principal, application_id: str) -> Row:
    for row in sandbox.list_applications(principal.client_id):
        if row["id"] == application_id:
            return row
    raise HTTPError(404, "Application not found")


@route("GET", "/api/v1/tenants/{tenant_id}/applications/{application_id}/effective-users")
def list_effective_users(sandbox: SandboxState, request: Request) -> Response:
    """List everyone in the tenant: here all are assigned to all applications (an assumption)."""
    principal = authenticate(sandbox, request)
    tenant_id = _get_visible_tenant(sandbox, principal, request.params["tenant_id"], "Tenant")["id"]
    _find_application(sandbox, principal, request.params["application_id"])
    list_filter = ListFilter(tenant_id=tenant_id)
    return paginate(sandbox, request, partial(sandbox.directory.list_users, list_filter))
