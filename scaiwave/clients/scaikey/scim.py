"""Read groups by SCIM (RFC 7643 and 7644), where a group and its members are one document.

ScaiKey documents the path of the collection (ScaiKey docs, reference/api/scim). assumption: the
rest follows the standard, and ids are those of the admin API. The credentials may be refused, so
every caller needs an alternative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.scaikey.decoding import decode_response
from scaiwave.clients.scaikey.schemas import MAX_ID_CHARS, MemberRecord
from scaiwave.errors import UpstreamError, UpstreamForbidden, UpstreamNotFound

ACCEPT = "application/scim+json, application/json"

UNAVAILABLE = (UpstreamError, UpstreamForbidden, UpstreamNotFound, UpstreamRejected)
"""Errors that mean that groups can't be read by SCIM now; a rejected token is not one of them."""

Get = Callable[[str, dict[str, int]], httpx.Response]


@dataclass(frozen=True)
class ScimGroup:
    """One group; `members` is None if the document has none: an empty group, or omitted members."""

    id: str
    members: list[MemberRecord] | None


class _Member(msgspec.Struct):
    value: str
    type: str | None = None
    ref: str | None = msgspec.field(name="$ref", default=None)


class _Group(msgspec.Struct):
    id: str
    members: list[_Member] | None = None


class _Groups(msgspec.Struct):
    total: int = msgspec.field(name="totalResults")
    resources: list[_Group] = msgspec.field(name="Resources", default_factory=list)


def groups_path(tenant_id: str) -> str:
    return f"/api/v1/tenants/{quote(tenant_id, safe='')}/scim/v2/Groups"


def read_groups(get: Get, tenant_id: str, *, count: int) -> list[ScimGroup] | None:
    """Read all groups of a tenant, page by page; return None if they can't be read completely.

    A server may return fewer than `count` groups, so each page begins where the last one ended.
    """
    path = groups_path(tenant_id)
    groups: list[ScimGroup] = []
    while True:
        response = get(path, {"startIndex": len(groups) + 1, "count": count})
        page: _Groups = decode_response(response.content, _Groups, source=f"GET {path}")
        groups += map(_convert, page.resources)
        if len(groups) >= page.total:
            return groups if len({group.id for group in groups}) == page.total else None
        if not page.resources:
            return None


def read_group(get: Get, tenant_id: str, group_id: str) -> ScimGroup | None:
    """Read one group by its id; return None if the response is about another one."""
    path = f"{groups_path(tenant_id)}/{quote(group_id, safe='')}"
    group: _Group = decode_response(get(path, {}).content, _Group, source=f"GET {path}")
    return _convert(group) if group.id == group_id else None


def _convert(group: _Group) -> ScimGroup:
    if group.members is None or any(not _is_usable(member) for member in group.members):
        return ScimGroup(group.id, None)
    members = {
        (record.user_id, record.member_group_id): record
        for record in map(_convert_member, group.members)
    }
    return ScimGroup(group.id, list(members.values()))


def _is_usable(member: _Member) -> bool:
    return 0 < len(member.value) <= MAX_ID_CHARS and member.value.isprintable()


def _convert_member(member: _Member) -> MemberRecord:
    member_type = (member.type or "").lower()
    options: dict[str, Any] = {"user_id": member.value}
    if member_type == "group" or (not member_type and "/Groups/" in (member.ref or "")):
        options = {"member_group_id": member.value}
    return MemberRecord(**options)
