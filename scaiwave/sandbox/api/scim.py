"""Groups by SCIM 2.0 (RFC 7643 and 7644).

ScaiKey documents only the path of the collection (docs, reference/api/scim). Everything else is
an assumption: that the server follows the standard, that a group has the same ID as in the admin
API, that a group contains its members, and that the same permissions apply as in the admin API.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from contextlib import suppress

import msgspec

from scaiwave.core.base64url import encode_base64url
from scaiwave.sandbox.api.auth import authenticate
from scaiwave.sandbox.data.population import ListFilter, decode_row
from scaiwave.sandbox.data.roster import Row
from scaiwave.sandbox.errors import UnknownEntity
from scaiwave.sandbox.http.messages import HTTPError, Request, Response, json_response
from scaiwave.sandbox.http.routing import route
from scaiwave.sandbox.state import SandboxState

BASE = "/api/v1/tenants/{tenant_id}/scim/v2"
GROUPS = f"{BASE}/Groups"
MEDIA_TYPE = "application/scim+json"
MAX_COUNT = 100
LIST_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR_SCHEMA = "urn:ietf:params:scim:api:messages:2.0:Error"
CONFIG_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"
GROUP_SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Group"


class ScimError(HTTPError):
    """An error in the form of RFC 7644, section 3.12."""

    def __init__(self, status: int, detail: str, *, scim_type: str | None = None) -> None:
        body = {"schemas": [ERROR_SCHEMA], "status": str(status), "detail": detail}
        if scim_type:
            body["scimType"] = scim_type
        super().__init__(status, response=json_response(body, status, kind=MEDIA_TYPE))


@route("GET", f"{BASE}/ServiceProviderConfig")
def get_config(sandbox: SandboxState, request: Request) -> Response:
    _get_visible_tenant_id(sandbox, request)
    unsupported = {"supported": False}
    max_count = _get_max_count(sandbox)
    config = {
        "schemas": [CONFIG_SCHEMA],
        **dict.fromkeys(("patch", "changePassword", "sort", "etag"), unsupported),
        "bulk": {**unsupported, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {**unsupported, "maxResults": 0},
        "authenticationSchemes": [],
        "pagination": {
            "cursor": sandbox.scim_cursors,
            "index": True,
            "defaultPaginationMethod": "index",
            "defaultPageSize": max_count,
            "maxPageSize": max_count,
        },
    }
    return json_response(config, kind=MEDIA_TYPE)


@route("GET", GROUPS)
def list_groups(sandbox: SandboxState, request: Request) -> Response:
    """List at most `count` of the tenant's groups, from `startIndex` on or with a `cursor`.

    Indexes start at 1. A server without cursors ignores them, as any unknown parameter.
    """
    tenant_id = _get_visible_tenant_id(sandbox, request)
    # RFC 7644, section 3.4.2.4: a start below 1 means 1, a negative count means 0.
    start = max(1, _parse_integer(request, "startIndex", 1))
    limit = _get_max_count(sandbox)
    count = min(max(0, _parse_integer(request, "count", limit)), limit)
    cursor = request.query.get("cursor") if sandbox.scim_cursors else None
    if cursor:
        start = _parse_cursor(cursor, tenant_id)
    offset = request.rule.shift_offset(start - 1) if request.rule else start - 1
    with sandbox.directory.lock:
        list_filter = ListFilter(tenant_id=tenant_id)
        rows, total = sandbox.directory.list_groups(list_filter, offset, count)
        resources = [
            msgspec.json.encode(_build_group(sandbox, tenant_id, decode_row(row))).decode()
            for row in rows
        ]
    if request.rule:
        resources, total = request.rule.edit_page(resources, total)
    page = {
        "schemas": [LIST_SCHEMA],
        "totalResults": total,
        "itemsPerPage": len(resources),
        "Resources": [msgspec.Raw(resource.encode()) for resource in resources],
    }
    if cursor is None:
        page["startIndex"] = start
    elif start + len(rows) <= total:
        # Its characters need no escapes in a URL (RFC 9865, section 2).
        following = f"{start + len(rows)} {tenant_id}".encode()
        page["nextCursor"] = encode_base64url(following)
    return json_response(page, kind=MEDIA_TYPE)


def _get_max_count(sandbox: SandboxState) -> int:
    return min(MAX_COUNT, sandbox.max_per_page)


def _parse_cursor(cursor: str, tenant_id: str) -> int:
    """Return where a page starts. A cursor of another list is invalid."""
    try:
        start, owner = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode().split(" ")
        if owner == tenant_id:
            return int(start)
    except ValueError:
        pass
    raise ScimError(400, "The cursor is invalid", scim_type="invalidCursor")


@route("GET", GROUPS + "/{group_id}")
def get_group(sandbox: SandboxState, request: Request) -> Response:
    tenant_id, group_id = _get_visible_tenant_id(sandbox, request), request.params["group_id"]
    with sandbox.directory.lock, suppress(UnknownEntity):
        row = sandbox.directory.get("group", group_id)
        if row["tenant_id"] == tenant_id:
            return json_response(_build_group(sandbox, tenant_id, row), kind=MEDIA_TYPE)
    raise ScimError(404, f"Resource {group_id} not found")


def _get_visible_tenant_id(sandbox: SandboxState, request: Request) -> str:
    """Return the id of the path's tenant if the caller may list its groups."""
    if not sandbox.scim:
        raise HTTPError(404, "Not Found")
    principal, tenant_id = authenticate(sandbox, request), request.params["tenant_id"]
    tenant = sandbox.directory.tenants.get(tenant_id)
    if tenant is None or not principal.scope.admits(tenant):
        raise ScimError(404, f"Tenant {tenant_id} not found")
    return tenant_id


def _parse_integer(request: Request, name: str, default: int) -> int:
    text = request.query.get(name)
    try:
        return default if text is None else int(text)
    except ValueError:
        raise ScimError(400, f"{name} is not an integer", scim_type="invalidValue") from None


def _build_group(sandbox: SandboxState, tenant_id: str, group_row: Row) -> Row:
    base = f"{sandbox.url}/api/v1/tenants/{tenant_id}/scim/v2"
    nested, people = sandbox.directory.direct_members(group_row["id"])
    members = [_build_member(base, "Group", row["id"], row["name"]) for row in nested]
    members += [_build_member(base, "User", row["id"], row.get("display_name")) for row in people]
    return {
        "schemas": [GROUP_SCHEMA],
        "id": group_row["id"],
        "displayName": group_row["name"],
        "members": members,
        "meta": {"resourceType": "Group", "location": f"{base}/Groups/{group_row['id']}"},
    }


def _build_member(base: str, kind: str, member_id: str, display: str | None) -> Row:
    member = {"value": member_id, "type": kind, "$ref": f"{base}/{kind}s/{member_id}"}
    # An attribute without a value is left out (RFC 7643, section 2.5).
    return {**member, "display": display} if display else member
