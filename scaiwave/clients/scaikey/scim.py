"""Read groups by SCIM (RFC 7643 and 7644), where a group and its members are one document.

ScaiKey documents the path of the collection (ScaiKey docs, reference/api/scim). assumption: the
rest follows the standard, and ids are the same as in the admin API. The credentials may be
refused, so every caller needs an alternative.

Lists are read by cursor (RFC 9865) where the server offers it: no group moves between two pages. A
list that a cursor does not read completely is read again by index.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from scaiwave.clients.errors import ResponseTooLarge, UpstreamRejected
from scaiwave.clients.scaikey.decoding import decode_response
from scaiwave.clients.scaikey.pagination import MAX_LIST_SECONDS
from scaiwave.clients.scaikey.schemas import MAX_ID_CHARS
from scaiwave.core.errors import (
    UpstreamError,
    UpstreamForbidden,
    UpstreamNotFound,
    UpstreamUnauthorized,
)

ACCEPT = "application/scim+json, application/json"

UNAVAILABLE = (UpstreamError, UpstreamForbidden, UpstreamNotFound, UpstreamRejected)
"""Errors that mean that groups can't be read by SCIM now; a rejected token is not one of them."""

MIN_GROUPS_PER_PAGE = 20
MAX_GROUPS_PER_PAGE = 500
MAX_GROWING_PAGE_BYTES = 512 * 1024
"""A page holds all members of its groups, so how large it is depends on them. The first page of a
list has few groups; while pages are small, each next one has twice as many."""

GROUPS_PER_CURSOR_PAGE = 100
"""All pages of one cursor have the same size (RFC 9865, section 2)."""

MAX_PAGES = 5000
"""A hundred thousand groups of one tenant; a longer list is read from the admin API instead."""

Get = Callable[[str, dict[str, object]], httpx.Response]


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
    total: int | None = msgspec.field(name="totalResults", default=None)
    next_cursor: str | None = msgspec.field(name="nextCursor", default=None)
    resources: list[_Group] = msgspec.field(name="Resources", default_factory=list)


class Paging(msgspec.Struct, frozen=True):
    """How a server pages its lists (RFC 9865, section 4): by default only by index."""

    cursor: bool = False
    index: bool = True
    max_size: int | None = msgspec.field(name="maxPageSize", default=None)

    def limit(self, count: int) -> int:
        """Return how many of `count` records the server puts on one page."""
        return min(count, self.max_size) if self.max_size and self.max_size > 0 else count


class _ServiceProviderConfig(msgspec.Struct):
    pagination: Paging | None = None


def _base_path(tenant_id: str) -> str:
    return f"/api/v1/tenants/{quote(tenant_id, safe='')}/scim/v2"


def groups_path(tenant_id: str) -> str:
    return f"{_base_path(tenant_id)}/Groups"


def read_paging(get: Get, tenant_id: str) -> Paging:
    """Read how the server pages its lists. Raises `UpstreamUnauthorized`."""
    path = f"{_base_path(tenant_id)}/ServiceProviderConfig"
    try:
        body = get(path, {}).content
        config = decode_response(body, _ServiceProviderConfig, source=f"GET {path}")
    except UpstreamUnauthorized:
        raise
    except UNAVAILABLE:
        return Paging()
    return config.pagination or Paging()


def read_groups(get: Get, tenant_id: str, paging: Paging) -> list[ScimGroup] | None:
    """Read all groups of a tenant, page by page; return None if they can't be read completely.

    A cursor may expire, and a page may be too large, so reading starts again once, with smaller
    pages.
    """
    if paging.cursor:
        for count in (GROUPS_PER_CURSOR_PAGE, MIN_GROUPS_PER_PAGE):
            query = {"cursor": "", "count": paging.limit(count)}
            try:
                groups = _read_pages(get, tenant_id, query, paging)
            except (UpstreamRejected, ResponseTooLarge):
                continue
            if groups is not None:
                return groups
            break
        if not paging.index:
            return None
    query = {"startIndex": 1, "count": paging.limit(MIN_GROUPS_PER_PAGE)}
    return _read_pages(get, tenant_id, query, paging)


def _read_pages(
    get: Get, tenant_id: str, query: dict[str, Any], paging: Paging
) -> list[ScimGroup] | None:
    """Read pages up to the last one; return None unless each group came once, up to the total.

    A server may return fewer groups than requested, so each page begins where the last one ended. A
    server may also continue with a cursor that was not requested. With a cursor it may omit the
    total.
    """
    path = groups_path(tenant_id)
    groups: dict[str, ScimGroup] = {}
    cursors: set[str] = set()
    deadline = time.monotonic() + MAX_LIST_SECONDS
    for _ in range(MAX_PAGES):
        if time.monotonic() > deadline:
            return None
        body = get(path, query).content
        page = decode_response(body, _Groups, source=f"GET {path}")
        number, expected = len(page.resources), len(groups) + len(page.resources)
        page.resources.reverse()  # The members of a group exist twice only until its turn.
        while page.resources:
            group = _convert(page.resources.pop())
            groups[group.id] = group
        if len(groups) < expected:
            return None
        count = query["count"]
        if page.next_cursor:
            if page.next_cursor in cursors or not number:
                return None
            cursors.add(page.next_cursor)
            query = {"cursor": page.next_cursor, "count": count}
        elif "cursor" in query:
            return list(groups.values()) if page.total in (None, len(groups)) else None
        elif not number or page.total is None or len(groups) >= page.total:
            return list(groups.values()) if page.total == len(groups) else None
        else:
            if number >= count and len(body) <= MAX_GROWING_PAGE_BYTES:
                count = paging.limit(min(2 * count, MAX_GROUPS_PER_PAGE))
            query = {"startIndex": len(groups) + 1, "count": count}
    return None


def read_group(get: Get, tenant_id: str, group_id: str) -> ScimGroup | None:
    """Read one group by its id; return None if the response is about another one."""
    path = f"{groups_path(tenant_id)}/{quote(group_id, safe='')}"
    group = decode_response(get(path, {}).content, _Group, source=f"GET {path}")
    return _convert(group) if group.id == group_id else None


def _convert(group: _Group) -> ScimGroup:
    if group.members is None or any(
        not (0 < len(member.value) <= MAX_ID_CHARS and member.value.isprintable())
        for member in group.members
    ):
        return ScimGroup(group.id, None, [])
    ids: tuple[dict[str, None], dict[str, None]] = {}, {}
    for member in group.members:
        is_group = (
            member.type.lower() == "group" if member.type else b"/Groups/" in bytes(member.ref)
        )
        ids[is_group][member.value] = None
    people, groups = map(list, ids)
    return ScimGroup(group.id, people, groups)
