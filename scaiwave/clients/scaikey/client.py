"""Client for ScaiKey's admin API (ScaiKey docs, reference/admin-api)."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from itertools import islice
from typing import Any, TypeVar, Unpack
from urllib.parse import quote

import httpx
import msgspec

from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.http.client import ClientOptions, HttpClient, Params, ServiceClient
from scaiwave.clients.http.prefetch import OrderedPrefetcher
from scaiwave.clients.registration import get_missing_registration
from scaiwave.clients.scaikey import scim
from scaiwave.clients.scaikey.auth import (
    AnonymousAuth,
    BearerAuth,
    ClientCredentialsAuth,
    Endpoints,
    TokenProvider,
    discover,
    send_with_token,
    unverified_claims,
)
from scaiwave.clients.scaikey.decoding import RecordPage, decode_item, decode_page, decode_response
from scaiwave.clients.scaikey.pagination import MAX_LIST_SECONDS, MAX_PAGES, PageIterator
from scaiwave.clients.scaikey.registration import RegistrationCalls
from scaiwave.clients.scaikey.responses import ADMIN, RECORDS, error_from_scaikey_response
from scaiwave.clients.scaikey.results import Lookup, MemberList, PartialList, UnreadableList
from scaiwave.clients.scaikey.schemas import (
    BaseRecord,
    GroupRecord,
    MemberRecord,
    PartnerRecord,
    ScaiKeyRecord,
    ScaiKeyTenantRecord,
    UserRecord,
)
from scaiwave.clients.scaikey.scim import ScimGroup
from scaiwave.config import Configuration
from scaiwave.core.errors import (
    ScaiWaveError,
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamNotFound,
    UpstreamUnauthorized,
)

PER_PAGE = 500
SAFE_PER_PAGE = 100
"""Page size to request, and the one to use if the server rejects that without naming its maximum.
ScaiKey documents none (assumption: a server with a lower one responds with 422, or sends fewer
records)."""

_STATED_MAXIMUM = re.compile(r"\bper_page: .*?less than or equal to (\d{1,9})\b")
"""In the words of FastAPI."""

KEYS_AHEAD_PER_THREAD = 4
"""Groups that are prefetched, so that one with many pages does not leave the other threads idle."""

_UNSAFE_IN_PATH = re.compile(r"[/\\\\%?#\x00-\x20\x7f-\x9f\ud800-\udfff]|^\.{0,2}$")
"""Servers and proxies decode, cut or resolve these, and the path would then name something else."""

Key = TypeVar("Key")
Result = TypeVar("Result")
Item = TypeVar("Item", bound=BaseRecord)

_FORBIDDEN_FIXES = {
    "partners": "Give the application the scope admin:read and make it GLOBAL in ScaiKey: one that "
    "is PARTNER or TENANT can't list partners.",
    "groups": "Give the application the scopes groups:read and admin:read in ScaiKey.",
}
_DEFAULT_FIX = "Give the application the scope admin:read in ScaiKey."
_OPERATOR_FIX = (
    "Use the token of a ScaiKey administrator with access, or unset SCAIWAVE_ADMIN_TOKEN."
)
_EXPIRED_FIX = (
    "Get a new ScaiKey token and export it as SCAIWAVE_ADMIN_TOKEN, or unset that variable."
)


class _Jwks(msgspec.Struct):
    keys: list[dict[str, object]]


MAX_SLOW_LISTS = 3
SLOW_SECONDS = 10.0
HASTY_SECONDS = 5.0
"""After so many lists that failed after so long, others get one attempt of HASTY_SECONDS: 500 of
them must not take a minute each."""


def _find_smaller_page_size(error: UpstreamRejected, size: int) -> int | None:
    """Return the page size to try after `size` was rejected: the server's maximum, if stated.

    Returns None if there is no smaller one to try.
    """
    stated = _STATED_MAXIMUM.search(error.details.get("answer", ""))
    if stated and 0 < int(stated[1]) < size:
        return int(stated[1])
    return SAFE_PER_PAGE if size > SAFE_PER_PAGE else None


def is_path_segment(text: str) -> bool:
    """Return whether an id keeps its meaning as part of a URL path."""
    return _UNSAFE_IN_PATH.search(text) is None


class ScaiKeyClient(RegistrationCalls, ServiceClient):
    """Reads from ScaiKey. Threads may share an instance; close it, or use it in a `with`.

    `bearer` is the operator's own token; then client credentials are not used. Without a token and
    client credentials only registration and keys are available. Every call may raise what
    `HttpClient.request` raises.
    """

    def __init__(
        self,
        base_url: str,
        *,
        client_id: str | None = None,
        client_secret: str | None = None,
        bearer: str | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        """`options` are passed to HttpClient."""
        self.http = HttpClient(
            base_url, service="ScaiKey", translate_response=error_from_scaikey_response, **options
        )
        self._per_page = PER_PAGE
        self._has_scim = True
        self._scim_paging: scim.Paging | None = None
        self._scim_lock = threading.Lock()
        self._slow_lists = 0
        self._known_endpoints: Endpoints | None = None
        self._lock = threading.Lock()
        self._is_operator = bearer is not None
        self.auth: TokenProvider = AnonymousAuth()
        if bearer is not None:
            self.auth = BearerAuth(bearer)
        elif client_id and client_secret:
            self.auth = ClientCredentialsAuth(
                self.http,
                client_id=client_id,
                client_secret=client_secret,
                endpoints=self.endpoints,
            )

    def __repr__(self) -> str:
        return f"<ScaiKeyClient {self.http.peer.origin} {type(self.auth).__name__}>"

    @property
    def requests(self) -> int:
        return self.http.requests

    def endpoints(self) -> Endpoints:
        with self._lock:
            if self._known_endpoints is None:
                self._known_endpoints = discover(self.http)
            return self._known_endpoints

    def claims(self) -> dict[str, object]:
        """Return the unverified claims of this server's own token; empty if it is opaque."""
        return unverified_claims(self.auth.bearer())

    @property
    def app_scope(self) -> str:
        """The scope of the credentials: GLOBAL, PARTNER, TENANT, or empty if not stated."""
        return str(self.claims().get("app_scope") or "").upper()

    def fetch_jwks(self, tenant_slug: str | None = None) -> dict[str, object]:
        """Fetch the keys of the platform, or of one tenant, that sign tokens."""
        path = self.endpoints().jwks
        if tenant_slug is not None:
            path = f"/api/v1/auth/tenants/{quote(tenant_slug, safe='')}/.well-known/jwks.json"
        response = self.http.request("GET", path)
        jwks = decode_response(response.content, _Jwks, source="the list of keys (JWKS)")
        return {"keys": jwks.keys}

    def iter_pages(
        self,
        collection: str,
        *,
        members_of: str = "",
        params: Params | None = None,
        per_page: int | None = None,
        in_flight: int | None = None,
        max_pages: int = MAX_PAGES,
        max_seconds: float = MAX_LIST_SECONDS,
        to_end: bool = False,
        seconds: float | None = None,
    ) -> PageIterator[Any]:
        """Iterate over the pages of a collection, or over the members of a group.

        With `seconds`, each request is sent once. assumption: the path of members is not
        documented.
        """
        path = f"{ADMIN}/{collection}/"
        kind: type[ScaiKeyRecord] = RECORDS[collection]
        if members_of:
            path, kind = f"{path}{quote(members_of, safe='')}/members", MemberRecord
        size = per_page or self._per_page

        def request(page: int, stop: threading.Event) -> httpx.Response:
            query = {**(params or {}), "page": page, "per_page": size}
            return self._get(path, collection, query, stop, seconds=seconds)

        def fetch(page: int, stop: threading.Event) -> RecordPage[Any]:
            nonlocal size
            while True:
                try:
                    response = request(page, stop)
                except UpstreamRejected as error:
                    smaller = _find_smaller_page_size(error, size)
                    if page > 1 or smaller is None:
                        raise
                    self._per_page = size = smaller  # For every list from now on.
                else:
                    return decode_page(response.content, kind, source=f"GET {path}", number=page)

        return PageIterator(
            fetch,
            source=f"GET {path}",
            in_flight=in_flight or self.http.max_concurrent_requests,
            max_pages=max_pages,
            max_seconds=max_seconds,
            to_end=to_end,
        )

    def iter_members(
        self,
        group_ids: Iterable[str],
        *,
        to_end: bool = False,
        per_page: Mapping[str, int] | None = None,
    ) -> Generator[tuple[str, MemberList | UnreadableList | None]]:
        """Yield the members of many groups, in the order of the ids, several groups at a time.

        Yields None for a group that ScaiKey no longer has, or whose id can't be part of a path.
        With `to_end` lists are read to an empty page. `per_page` has page sizes by group. Raises
        `UpstreamUnauthorized`. Close it or read it to its end, because it owns threads.
        """
        sizes = per_page or {}

        def read(group_id: str, stop: threading.Event, seconds: float | None) -> MemberList | None:
            size = sizes.get(group_id)
            return self._fetch_members(
                group_id, stop, to_end=to_end, per_page=size, seconds=seconds
            )

        yield from self._iter_lists(read, group_ids)

    def iter_parts(
        self, collection: str, parameter: str, keys: Iterable[str]
    ) -> Generator[tuple[str, PartialList | UnreadableList]]:
        """Yield the parts of a collection that a query parameter selects, several at a time.

        Each part is in memory as a whole. Raises and owns what `iter_members` does.
        """

        def read(key: str, stop: threading.Event, seconds: float | None) -> PartialList:
            with self.iter_pages(
                collection, params={parameter: key}, in_flight=1, seconds=seconds
            ) as pages:
                records = [record for page in pages if not stop.is_set() for record in page]
            return PartialList(records, pages)

        yield from self._iter_lists(read, keys)

    def _iter_lists(
        self,
        read: Callable[[str, threading.Event, float | None], Result],
        keys: Iterable[str],
    ) -> Generator[tuple[str, Result | UnreadableList]]:
        def fetch(key: str, stop: threading.Event) -> tuple[str, Result | UnreadableList]:
            started = time.monotonic()
            seconds = HASTY_SECONDS if self._slow_lists >= MAX_SLOW_LISTS else None
            try:
                return key, read(key, stop, seconds)
            except UpstreamUnauthorized:
                raise
            except ScaiWaveError as error:
                # Threads may count at the same moment, and then lose one: a later list counts.
                self._slow_lists += time.monotonic() - started >= SLOW_SECONDS
                return key, UnreadableList(error)

        yield from self._prefetch(fetch, keys, name="lists")

    def _prefetch(
        self,
        work: Callable[[Key, threading.Event], Result],
        keys: Iterable[Key],
        *,
        name: str,
        ahead: int = KEYS_AHEAD_PER_THREAD,
    ) -> Generator[Result]:
        remaining = iter(keys)
        workers = self.http.max_concurrent_requests
        prefetcher = OrderedPrefetcher(work, workers=workers, name=name)
        try:
            for key in islice(remaining, workers * ahead):
                prefetcher.submit(key)
            while len(prefetcher):
                yield prefetcher.take()
                for key in islice(remaining, 1):
                    prefetcher.submit(key)
        finally:
            prefetcher.close()

    def _fetch_members(
        self,
        group_id: str,
        stop: threading.Event,
        *,
        to_end: bool,
        per_page: int | None,
        seconds: float | None,
    ) -> MemberList | None:
        if not is_path_segment(group_id):
            return None
        members: dict[tuple[str, ...], MemberRecord] = {}
        try:
            with self.iter_pages(
                "groups",
                members_of=group_id,
                in_flight=1,
                to_end=to_end,
                per_page=per_page,
                seconds=seconds,
            ) as pages:
                for page in pages:
                    members.update((record.key, record) for record in page)
                    if stop.is_set():
                        break
        except UpstreamNotFound:
            return None
        repeated = pages.row_count - len(pages.unusable) - len(members)
        return MemberList(
            records=list(members.values()),
            repeated=repeated,
            unusable=len(pages.unusable),
            page_size=pages.page_size,
            is_complete=pages.is_complete and not repeated,
        )

    def iter_scim_groups(
        self, tenant_ids: Iterable[str]
    ) -> Generator[tuple[str, list[ScimGroup] | None]]:
        """Yield the groups of many tenants with their members, in the order of the ids.

        Yields None for a tenant whose groups can't be read by SCIM. After the first such tenant the
        others are not requested. Raises `UpstreamUnauthorized`. Close it, or read it to its end.
        """

        def fetch(tenant_id: str, stop: threading.Event) -> tuple[str, list[ScimGroup] | None]:
            if not self._has_scim or not is_path_segment(tenant_id):
                return tenant_id, None
            try:
                with self._scim_lock:  # Lists are paged alike for all tenants.
                    if self._scim_paging is None:
                        self._scim_paging = scim.read_paging(self._get_scim, tenant_id)
                return tenant_id, scim.read_groups(self._get_scim, tenant_id, self._scim_paging)
            except UpstreamUnauthorized:
                raise
            except scim.UNAVAILABLE:
                self._has_scim = False
                return tenant_id, None

        # A result has all members of all groups of a tenant, so few of them wait to be taken.
        yield from self._prefetch(fetch, tenant_ids, name="scim", ahead=1)

    def get_scim_group(self, tenant_id: str, group_id: str) -> ScimGroup | None:
        """Return one group with its members by SCIM; None if it can't be read that way.

        Raises `UpstreamUnauthorized`.
        """
        if not (is_path_segment(tenant_id) and is_path_segment(group_id)):
            return None
        try:
            return scim.read_group(self._get_scim, tenant_id, group_id)
        except UpstreamUnauthorized:
            raise
        except scim.UNAVAILABLE:
            return None

    def _get_scim(self, path: str, params: Params) -> httpx.Response:
        return self._get(path, "groups", params, accept=scim.ACCEPT)

    def look_up_all(self, collection: str, ids: Iterable[str]) -> Generator[tuple[str, Lookup]]:
        """Look up many records by id, in the order of the ids, several at a time; see `look_up`."""

        def fetch(record_id: str, stop: threading.Event) -> tuple[str, Lookup]:
            return record_id, self.look_up(collection, record_id)

        yield from self._prefetch(fetch, ids, name="lookups")

    def look_up(self, collection: str, record_id: str) -> Lookup:
        """Look up one record by its id.

        Only ScaiKey's own 404 proves that it is missing. Raises `UpstreamUnauthorized`; any other
        error becomes the reason of a look-up that proves nothing.
        """
        if not is_path_segment(record_id):
            return Lookup(reason="its ID can't be part of a URL path")
        try:
            record = self._fetch_item(collection, record_id, RECORDS[collection])
        except UpstreamUnauthorized:
            raise
        except UpstreamForbidden as error:
            return Lookup(reason=error.message, is_forbidden="from_gateway" not in error.details)
        except ScaiWaveError as error:
            return Lookup(reason=error.message)
        return Lookup(record=record, is_missing=record is None)

    def get_partner(self, partner_id: str) -> PartnerRecord | None:
        return self._get_item("partners", partner_id, PartnerRecord)

    def get_tenant(self, tenant_id: str) -> ScaiKeyTenantRecord | None:
        return self._get_item("tenants", tenant_id, ScaiKeyTenantRecord)

    def get_user(self, user_id: str) -> UserRecord | None:
        return self._get_item("users", user_id, UserRecord)

    def get_group(self, group_id: str) -> GroupRecord | None:
        return self._get_item("groups", group_id, GroupRecord)

    def _get_item(self, collection: str, item_id: str, kind: type[Item]) -> Item | None:
        """Return None if ScaiKey has no such id."""
        return self._fetch_item(collection, item_id, kind) if is_path_segment(item_id) else None

    def _fetch_item(self, collection: str, item_id: str, kind: type[Item]) -> Item | None:
        path = f"{ADMIN}/{collection}/{quote(item_id, safe='')}"
        try:
            response = self._get(path, collection)
        except UpstreamNotFound:
            return None
        record = decode_item(response.content, kind, source=f"GET {path}")
        if record.id != item_id:
            raise UpstreamInvalidResponse(
                f"ScaiKey responded to GET {path} with a record that has a different ID.",
                fix="Report this to the operators of ScaiKey.",
            )
        return record

    def _get(
        self,
        path: str,
        collection: str,
        params: Params | None = None,
        stop: threading.Event | None = None,
        *,
        accept: str = "application/json",
        seconds: float | None = None,
    ) -> httpx.Response:
        """Send a GET; with `seconds` only once, and for so long at most."""

        def send(token: str) -> httpx.Response:
            return self.http.request(
                "GET",
                path,
                params=params,
                headers={"Authorization": f"Bearer {token}", "Accept": accept},
                retry=seconds is None,
                stop=stop,
                seconds=seconds,
            )

        try:
            return send_with_token(self.auth, send)
        except UpstreamForbidden as error:
            own_fix = _FORBIDDEN_FIXES.get(collection, _DEFAULT_FIX)
            error.fix = _OPERATOR_FIX if self._is_operator else own_fix
            raise
        except UpstreamUnauthorized as error:
            if self._is_operator:
                error.fix = _EXPIRED_FIX
            raise


def scaikey_client(config: Configuration) -> ScaiKeyClient:
    """Build the client of this server's configuration. It connects with the first request.

    It uses the operator's own token if there is one, else the client credentials of the server.
    Raises NotRegistered without both.
    """
    base_url = config.get_url("SCAIWAVE_SCAIKEY_URL")
    if not base_url:
        raise get_missing_registration(config)
    if token := config.get_str("SCAIWAVE_ADMIN_TOKEN"):
        return ScaiKeyClient(base_url, bearer=token)
    return own_scaikey_client(config)


def own_scaikey_client(config: Configuration, **options: Unpack[ClientOptions]) -> ScaiKeyClient:
    """Build the client that uses this server's credentials, even if the operator has a token.

    `options` are passed to HttpClient.

    Raises NotRegistered if there are none.
    """
    base_url = config.get_url("SCAIWAVE_SCAIKEY_URL")
    client_id = config.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID")
    client_secret = config.get_str("SCAIWAVE_SCAIKEY_CLIENT_SECRET")
    if not (base_url and client_id and client_secret):
        raise get_missing_registration(config)
    return ScaiKeyClient(base_url, client_id=client_id, client_secret=client_secret, **options)
