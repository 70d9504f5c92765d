"""Read groups by SCIM (RFC 7643 and 7644), where a group and its members are one document.

ScaiKey documents the path of the collection (ScaiKey docs, reference/api/scim). assumption: the
rest follows the standard, and ids are those of the admin API. The credentials may be refused, so
every caller needs an alternative.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import quote

import httpx
import msgspec

from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.scaikey.decoding import decode_response
from scaiwave.clients.scaikey.pagination import MAX_LIST_SECONDS
from scaiwave.clients.scaikey.schemas import MAX_ID_CHARS
from scaiwave.errors import UpstreamError, UpstreamForbidden, UpstreamNotFound

ACCEPT = "application/scim+json, application/json"

UNAVAILABLE = (UpstreamError, UpstreamForbidden, UpstreamNotFound, UpstreamRejected)
"""Errors that mean that groups can't be read by SCIM now; a rejected token is not one of them."""

MAX_GROUPS_PER_PAGE = 20
"""A page holds all members of its groups, so its size depends on how few groups are requested."""

MAX_PAGES = 5000
"""A hundred thousand groups of one tenant; a longer list is read from the admin API instead."""

Get = Callable[[str, dict[str, int]], httpx.Response]


@dataclass(frozen=True, slots=True)
class ScimGroup:
    """One group with the ids of its direct members.

    `people` is None if the document has no members: an empty group, or omitted members.
    """

    id: str
    people: list[str] | None
    groups: list[str]

    def iter_memberships(self) -> Iterator[tuple[str, int]]:
        """Yield the members as (ScaiKey id, 1 for a group)."""
        for person_id in self.people or ():
            yield person_id, 0
        for group_id in self.groups:
            yield group_id, 1


class _Member(msgspec.Struct):
    value: str
    type: str | None = None
    ref: msgspec.Raw = msgspec.field(name="$ref", default=msgspec.Raw(b""))


class _Group(msgspec.Struct):
    id: str
    members: list[_Member] | None = None


class _Groups(msgspec.Struct):
    total: int = msgspec.field(name="totalResults")
    resources: list[_Group] = msgspec.field(name="Resources", default_factory=list)


def groups_path(tenant_id: str) -> str:
    return f"/api/v1/tenants/{quote(tenant_id, safe='')}/scim/v2/Groups"


def read_groups(get: Get, tenant_id: str) -> list[ScimGroup] | None:
    """Read all groups of a tenant, page by page; return None if they can't be read completely.

    A server may return fewer groups than requested, so each page begins where the last one ended.
    """
    path = groups_path(tenant_id)
    groups: list[ScimGroup] = []
    seen: set[str] = set()
    deadline = time.monotonic() + MAX_LIST_SECONDS
    for _ in range(MAX_PAGES):
        if time.monotonic() > deadline:
            return None
        params = {"startIndex": len(groups) + 1, "count": MAX_GROUPS_PER_PAGE}
        page: _Groups = decode_response(get(path, params).content, _Groups, source=f"GET {path}")
        is_last = not page.resources
        # The members of a large group exist twice only until its turn has come.
        page.resources.reverse()
        while page.resources:
            groups.append(_convert(page.resources.pop()))
            seen.add(groups[-1].id)
        if is_last or len(seen) < len(groups) or len(groups) >= page.total:
            return groups if len(seen) == len(groups) == page.total else None
    return None


def read_group(get: Get, tenant_id: str, group_id: str) -> ScimGroup | None:
    """Read one group by its id; return None if the response is about another one."""
    path = f"{groups_path(tenant_id)}/{quote(group_id, safe='')}"
    group: _Group = decode_response(get(path, {}).content, _Group, source=f"GET {path}")
    return _convert(group) if group.id == group_id else None


def _convert(group: _Group) -> ScimGroup:
    if group.members is None or any(not _is_usable(member) for member in group.members):
        return ScimGroup(group.id, None, [])
    ids: tuple[dict[str, None], dict[str, None]] = {}, {}
    for member in group.members:
        ids[_is_group(member)][member.value] = None
    people, groups = map(list, ids)
    return ScimGroup(group.id, people, groups)


def _is_usable(member: _Member) -> bool:
    return 0 < len(member.value) <= MAX_ID_CHARS and member.value.isprintable()


def _is_group(member: _Member) -> bool:
    return member.type.lower() == "group" if member.type else b"/Groups/" in bytes(member.ref)
