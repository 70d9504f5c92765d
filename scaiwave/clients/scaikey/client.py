"""The client for ScaiKey's admin API (ScaiKey docs, reference/admin-api)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal, Self, TypeVar, overload
from urllib.parse import quote

import httpx
import msgspec

from scaiwave.clients.http.client import HttpClient
from scaiwave.clients.http.prefetch import OrderedPrefetcher
from scaiwave.clients.scaikey.auth import (
    AnonymousAuth,
    BearerAuth,
    ClientCredentialsAuth,
    Endpoints,
    TokenProvider,
    discover,
    unverified_claims,
)
from scaiwave.clients.scaikey.decoding import Page, decode_answer, decode_item, decode_page
from scaiwave.clients.scaikey.pagination import MAX_PAGES, PageIterator
from scaiwave.clients.scaikey.registration import RegistrationCalls
from scaiwave.clients.scaikey.schemas import (
    BaseRecord,
    GroupRecord,
    MemberRecord,
    PartnerRecord,
    ScaiKeyRecord,
    ScaiKeyTenantRecord,
    UserRecord,
)
from scaiwave.errors import (
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamNotFound,
    UpstreamUnauthorized,
)

ADMIN = "/api/v1/admin"
PER_PAGE = 100
GROUPS_PER_THREAD = 4
"""Groups asked for ahead: a big one, which takes many pages, must not leave threads idle."""

KINDS: dict[str, type[BaseRecord]] = {
    "partners": PartnerRecord,
    "tenants": ScaiKeyTenantRecord,
    "users": UserRecord,
    "groups": GroupRecord,
}

AnyRow = TypeVar("AnyRow", bound=ScaiKeyRecord)
Item = TypeVar("Item", bound=BaseRecord)

_SCOPES = {
    "partners": "Give the application the scope admin:read and the reach GLOBAL: a PARTNER or "
    "TENANT application may not list partners.",
    "groups": "Give the application the scopes groups:read and admin:read in ScaiKey.",
}
_ANY_SCOPE = "Give the application the scope admin:read in ScaiKey."
_ROLE = "Use the token of an administrator whose role reaches this, or unset SCAIWAVE_ADMIN_TOKEN."


class _Jwks(msgspec.Struct):
    keys: list[dict[str, Any]]


class ScaiKeyClient(RegistrationCalls):
    """Reads ScaiKey. Threads may share an instance; close it, or use it in a `with`.

    With `bearer`, the operator's own token, that is sent and nothing else. With neither it nor
    client credentials only registration and keys can be asked for. Every call may raise what
    `HttpClient.request` raises.
    """

    def __init__(
        self,
        base_url: str,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        bearer: str | None = None,
        **options: Any,
    ) -> None:
        """`options` are those of HttpClient."""
        self.http = HttpClient(base_url, service="ScaiKey", **options)
        self._known_endpoints: Endpoints | None = None
        self._lock = threading.Lock()
        self._is_operator = bearer is not None
        self._access: TokenProvider = AnonymousAuth()
        if bearer is not None:
            self._access = BearerAuth(bearer)
        elif client_id and client_secret:
            self._access = ClientCredentialsAuth(
                self.http,
                client_id=client_id,
                client_secret=client_secret,
                endpoints=self.endpoints,
            )

    def __repr__(self) -> str:
        return f"<ScaiKeyClient {self.http.peer.origin} {type(self._access).__name__}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self.http.close()

    @property
    def requests(self) -> int:
        return self.http.requests

    def endpoints(self) -> Endpoints:
        with self._lock:
            if self._known_endpoints is None:
                self._known_endpoints = discover(self.http)
            return self._known_endpoints

    def claims(self) -> dict[str, Any]:
        """What our own token says of us, unverified; nothing if it is opaque."""
        return unverified_claims(self._access.bearer())

    @property
    def app_scope(self) -> str:
        """How far our credentials reach: GLOBAL, PARTNER, TENANT, or empty if not told."""
        return str(self.claims().get("app_scope") or "").upper()

    def fetch_jwks(self, tenant_slug: str | None = None) -> dict[str, Any]:
        """The keys that the platform, or one tenant, signs tokens with."""
        path = self.endpoints().jwks
        if tenant_slug is not None:
            path = f"/api/v1/auth/tenants/{quote(tenant_slug, safe='')}/.well-known/jwks.json"
        answer = self.http.request("GET", path)
        jwks: _Jwks = decode_answer(answer.content, _Jwks, called="the list of keys (JWKS)")
        return {"keys": jwks.keys}

    @overload
    def walk(
        self, collection: Literal["partners"], **options: Any
    ) -> PageIterator[PartnerRecord]: ...
    @overload
    def walk(
        self, collection: Literal["tenants"], **options: Any
    ) -> PageIterator[ScaiKeyTenantRecord]: ...
    @overload
    def walk(self, collection: Literal["users"], **options: Any) -> PageIterator[UserRecord]: ...
    @overload
    def walk(self, collection: Literal["groups"], **options: Any) -> PageIterator[GroupRecord]: ...
    def walk(self, collection: str, **options: Any) -> PageIterator[Any]:
        """Walk a whole collection; options are `params`, `per_page`, `in_flight`, `max_pages`."""
        return self._walk(f"{ADMIN}/{collection}/", KINDS[collection], collection, **options)

    def walk_members(self, group_id: str, **options: Any) -> PageIterator[MemberRecord]:
        """Walk one group's members. assumption: the path is not documented."""
        path = f"{ADMIN}/groups/{quote(group_id, safe='')}/members"
        return self._walk(path, MemberRecord, "groups", **options)

    def members_of(
        self, group_ids: Iterable[str]
    ) -> Iterator[tuple[str, list[MemberRecord] | None]]:
        """The members of many groups, in the order of the ids, several groups at a time.

        None for a group that is gone, since one may go while others are read. A truncated list
        is refused, since nobody could tell it from a group that shrank.
        """
        ids = iter(group_ids)
        workers = self.http.in_flight
        ahead = OrderedPrefetcher(self._members, workers=workers, name="members")
        try:
            for group_id in islice(ids, workers * GROUPS_PER_THREAD):
                ahead.submit(group_id)
            while len(ahead):
                yield ahead.take()
                for group_id in islice(ids, 1):
                    ahead.submit(group_id)
        finally:
            ahead.close()

    def _members(
        self, group_id: str, stop: threading.Event
    ) -> tuple[str, list[MemberRecord] | None]:
        rows: list[MemberRecord] = []
        try:
            with self.walk_members(group_id, in_flight=1) as walk:
                for page in walk:
                    rows += page
                    if stop.is_set():
                        break
        except UpstreamNotFound:
            return group_id, None
        if walk.truncated:
            raise UpstreamInvalidResponse(
                f"ScaiKey lists {walk.rows} of the {walk.reported_total} members of group "
                f"{group_id}.",
                fix="Run the command again; if it happens again, report it to who runs ScaiKey.",
            )
        return group_id, rows

    def get_partner(self, partner_id: str) -> PartnerRecord | None:
        return self._item("partners", partner_id, PartnerRecord)

    def get_tenant(self, tenant_id: str) -> ScaiKeyTenantRecord | None:
        return self._item("tenants", tenant_id, ScaiKeyTenantRecord)

    def get_user(self, user_id: str) -> UserRecord | None:
        return self._item("users", user_id, UserRecord)

    def get_group(self, group_id: str) -> GroupRecord | None:
        return self._item("groups", group_id, GroupRecord)

    def _item(self, collection: str, item_id: str, kind: type[Item]) -> Item | None:
        """None if ScaiKey knows no such id."""
        if item_id in {"", ".", ".."}:  # Would name another path.
            return None
        path = f"{ADMIN}/{collection}/{quote(item_id, safe='')}"
        try:
            answer = self._get(path, collection)
        except UpstreamNotFound:
            return None
        row = decode_item(answer.content, kind, called=f"GET {path}")
        if row.id != item_id:
            raise UpstreamInvalidResponse(
                f"ScaiKey answers GET {path} with something that has another id.",
                fix="Report this to who runs ScaiKey. Nothing was changed.",
            )
        return row

    def _walk(
        self,
        path: str,
        kind: type[AnyRow],
        collection: str,
        *,
        params: Mapping[str, Any] | None = None,
        per_page: int = PER_PAGE,
        in_flight: int | None = None,
        max_pages: int = MAX_PAGES,
    ) -> PageIterator[AnyRow]:
        def fetch(page: int, stop: threading.Event) -> Page[AnyRow]:
            query = {**(params or {}), "page": page, "per_page": per_page}
            answer = self._get(path, collection, query, stop)
            return decode_page(answer.content, kind, called=f"GET {path}", page=page)

        return PageIterator(
            fetch,
            called=f"GET {path}",
            in_flight=in_flight or self.http.in_flight,
            max_pages=max_pages,
        )

    def _get(
        self,
        path: str,
        collection: str,
        params: Mapping[str, Any] | None = None,
        stop: threading.Event | None = None,
    ) -> httpx.Response:
        def send(token: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {token}"}
            return self.http.request("GET", path, params=params, headers=headers, stop=stop)

        try:
            return self._renewing(send)
        except UpstreamForbidden as error:
            error.fix = _ROLE if self._is_operator else _SCOPES.get(collection, _ANY_SCOPE)
            raise
        except UpstreamUnauthorized as error:
            if self._is_operator:
                error.fix = (
                    "Get a new ScaiKey token and export it as SCAIWAVE_ADMIN_TOKEN, or unset "
                    "that variable."
                )
            raise

    def _renewing(self, send: Callable[[str], httpx.Response]) -> httpx.Response:
        """A token may be revoked before its time: a 401 is answered once with a new one."""
        token = self._access.bearer()
        try:
            return send(token)
        except UpstreamUnauthorized:
            if not self._access.renew(token):
                raise
        return send(self._access.bearer())
