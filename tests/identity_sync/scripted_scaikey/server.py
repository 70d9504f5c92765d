"""The server of a scripted ScaiKey."""

from __future__ import annotations

import base64
import contextlib
import socket
import socketserver
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any, Self
from urllib.parse import parse_qsl, unquote

import msgspec

from tests.identity_sync.scripted_scaikey.directory import RemoteDirectory, Size
from tests.identity_sync.scripted_scaikey.pages import (
    ServedPage,
    choose_total,
    encode_page,
    is_second_replica,
    order_keys,
    serve_page,
)
from tests.identity_sync.scripted_scaikey.reads import find_omitted_members
from tests.identity_sync.scripted_scaikey.records import COLLECTIONS, Fact, is_person
from tests.identity_sync.scripted_scaikey.script import ListBehaviour, Script

ADMIN = "/api/v1/admin/"
DISCOVERY = "/api/v1/platform/oauth/.well-known/openid-configuration"
TOKEN = "/api/v1/platform/oauth/token"


@dataclass
class _RunState:
    """The state of the server during a run."""

    script: Script
    unchanged: set[Fact]
    requests: dict[str, int] = field(default_factory=dict)
    request_number: dict[str, int] = field(default_factory=dict)
    served: dict[str, list[ServedPage]] = field(default_factory=dict)
    failures: Random = field(init=False)
    responses: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.failures = Random(self.script.failure_seed)


class ScriptedScaiKey:
    """Serves in background threads as a context manager; `begin_run` sets the script of a run."""

    client_id, client_secret = "scripted", "a-secret"

    def __init__(self) -> None:
        self._server = _Server(("127.0.0.1", 0), self)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.directory = RemoteDirectory(Size())
        self.past_facts: set[Fact] = set()
        self.problems: list[BaseException | None] = []
        self._state = _RunState(Script(), set())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.close_connections()
        self._server.server_close()
        self._thread.join()

    def load(self, directory: RemoteDirectory) -> None:
        """Start over with this directory."""
        with self._lock:
            self.directory, self.past_facts = directory, set()

    def begin_run(self, script: Script) -> None:
        """Start a run, and record which facts stay unchanged during it.

        `past_facts` has all facts at the beginning of a run or during one since `load`.
        """
        with self._lock:
            self._state = _RunState(script, self.directory.collect_facts())
            self.past_facts |= self._state.unchanged

    @property
    def unchanged(self) -> set[Fact]:
        """The facts that have been true since the run began."""
        with self._lock:
            return set(self._state.unchanged)

    @property
    def responses(self) -> Counter[int]:
        """How many requests of this run ended with a 500 of the script, and how many (200) not."""
        with self._lock:
            return Counter(self._state.responses)

    def find_undetectable_facts(self) -> set[Fact]:
        """Return the memberships that two complete reads of this run omitted."""
        with self._lock:
            return {
                ("member", group, member_id)
                for group, served in self._state.served.items()
                if group in self.directory.members
                for member_id in find_omitted_members(
                    served, set(self.directory.members[group].rows)
                )
            }

    def respond(self, method: str, target: str, *, is_authenticated: bool) -> tuple[int, bytes]:
        """Respond to one request; `is_authenticated` is true if it has a token."""
        path, _, query = target.partition("?")
        with self._lock:
            if self._state.failures.random() < self._state.script.failures:
                self._state.responses[500] += 1
                return 500, _encode_detail("Internal server error")
            self._state.responses[200] += 1
            if method == "POST" and path == TOKEN:
                return 200, self._build_token()
            if path == DISCOVERY and not self._state.script.without_discovery:
                return 200, msgspec.json.encode({"token_endpoint": self.url + TOKEN})
            if path.startswith(ADMIN) and not is_authenticated:
                return 401, _encode_detail("Not authenticated")
            parts = [unquote(part) for part in path.split("/")]
            return self._route(parts, dict(parse_qsl(query, keep_blank_values=True))) or (
                404,
                _encode_detail("Not found"),
            )

    def _route(self, parts: list[str], params: dict[str, str]) -> tuple[int, bytes] | None:
        match parts:
            case ["", "api", "v1", "admin", name, ""] if name in COLLECTIONS:
                return self._respond_with_list(name, "", params)
            case ["", "api", "v1", "admin", "groups", group, "members"]:
                return self._respond_with_list("members", group, params)
            case ["", "api", "v1", "admin", name, key] if name in COLLECTIONS:
                return self._respond_with_item(name, key)
            case ["", "api", "v1", "tenants", _, "scim", "v2", "ServiceProviderConfig"]:
                return self._respond_with_scim_config()
            case ["", "api", "v1", "tenants", tenant, "scim", "v2", "Groups"]:
                return self._respond_with_scim(tenant, params)
            case ["", "api", "v1", "tenants", tenant, "scim", "v2", "Groups", group]:
                return self._respond_with_scim_item(tenant, group)
        return None

    def _build_token(self) -> bytes:
        claims = {"app_scope": "GLOBAL", "client_id": self.client_id, "platform_token": True}
        parts = (msgspec.json.encode({"alg": "RS256"}), msgspec.json.encode(claims), b"signature")
        token = ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)
        if not self._state.script.token_with_claims:
            token = "an-opaque-token"
        grant = {"access_token": token, "token_type": "Bearer", "expires_in": 3600}
        return msgspec.json.encode(grant)

    def _interrupt(self, name: str) -> None:
        """Apply the changes of the script before the response to this request."""
        state = self._state
        number = state.requests[name] = state.requests.get(name, 0) + 1
        for list_name, request_number, change in state.script.interruptions:
            if (list_name, request_number) == (name, number):
                self.directory.apply(change)
                facts = self.directory.collect_facts()
                state.unchanged &= facts
                self.past_facts |= facts

    def _respond_with_list(
        self, name: str, group: str, params: dict[str, str]
    ) -> tuple[int, bytes]:
        per_page, page = int(params.get("per_page", 25)), int(params.get("page", 1))
        if per_page > 100 and self._state.script.strict_pages:
            problem = {"loc": ["query", "per_page"], "type": "less_than_equal"}
            message = "Input should be less than or equal to 100"
            return 422, msgspec.json.encode({"detail": [problem | {"msg": message}]})
        self._interrupt(name)
        if name == "members" and group not in self.directory.members:
            return 404, _encode_detail("Not found")
        listing = self.directory.members[group] if name == "members" else self.directory.lists[name]
        behaviour = self._state.script.get_behaviour(name, group)
        request_number = self._count(f"{name} {group}", page, behaviour)
        served = serve_page(
            listing, behaviour, page=page, per_page=per_page, request_number=request_number
        )
        if name == "members":
            self._state.served.setdefault(group, []).append(served)
        stale = behaviour.stale and not is_second_replica(behaviour, page, request_number)
        rows = [
            (listing.previous.get(key) if stale else None) or listing.encoded[key]
            for key in served.keys
        ]
        return 200, encode_page(rows, served.total, page, behaviour)

    def _count(self, list_name: str, start: int, behaviour: ListBehaviour) -> int:
        """Return how many pages of this list were requested before, in this read or in all.

        A read begins with the first page, or row.
        """
        if start == 1 and not behaviour.continuing:
            self._state.request_number[list_name] = 0
        request_number = self._state.request_number.get(list_name, 0)
        self._state.request_number[list_name] = request_number + 1
        return request_number

    def _respond_with_item(self, name: str, key: str) -> tuple[int, bytes]:
        self._interrupt("items")
        listing = self.directory.lists[name]
        if key in listing.rows:
            return 200, listing.encoded[key]
        if row := self.directory.deleted.get((name, key)):
            return 200, msgspec.json.encode(row | {"status": "DELETED"})
        return 404, _encode_detail("Not found")

    def _respond_with_scim(self, tenant: str, params: dict[str, str]) -> tuple[int, bytes]:
        """Return correct groups with their members by SCIM, in a list that behaves like theirs."""
        if not self._state.script.scim or tenant not in self.directory.lists["tenants"].rows:
            return 404, _encode_detail("Not found")
        self._interrupt("scim")
        behaviour, cursors = self._state.script.groups, self._state.script.scim_cursors
        start, count = int(params.get("startIndex", 1)), int(params.get("count", 100))
        is_by_cursor = "cursor" in params and cursors not in ("none", "ignored")
        if is_by_cursor:
            start = int(params["cursor"] or 1)
        if is_by_cursor and start > 1 and self._is_expired(cursors, tenant):
            return 400, msgspec.json.encode({"scimType": "expiredCursor", "status": "400"})
        request_number = self._count(f"scim {tenant}", start, behaviour)
        groups = order_keys(
            self.directory.list_contained("groups", tenant), behaviour, request_number
        )
        count = min(count, behaviour.caps[request_number % len(behaviour.caps)])
        resources = [self._build_resource(key) for key in groups[start - 1 : start - 1 + count]]
        total = choose_total(len(groups), behaviour, request_number)
        document = {
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
            "totalResults": len(groups) if total is None else total,
            "startIndex": start,
            "itemsPerPage": len(resources),
            "Resources": resources,
        }
        if is_by_cursor and cursors == "short":
            del document["totalResults"]
        elif is_by_cursor and start + len(resources) <= len(groups):
            document["nextCursor"] = "1" if cursors == "repeated" else str(start + len(resources))
        return 200, msgspec.json.encode(document)

    def _respond_with_scim_config(self) -> tuple[int, bytes] | None:
        script = self._state.script
        if not script.scim or script.scim_cursors == "none":
            return None
        return 200, msgspec.json.encode({"pagination": {"cursor": True, "index": True}})

    def _is_expired(self, cursors: str, tenant: str) -> bool:
        if not cursors.startswith("expired"):
            return False
        name = f"expired {tenant}"
        self._state.requests[name] = self._state.requests.get(name, 0) + 1
        return cursors == "expired" or self._state.requests[name] == 1

    def _respond_with_scim_item(self, tenant: str, group: str) -> tuple[int, bytes]:
        row = self.directory.lists["groups"].rows.get(group)
        if not self._state.script.scim or row is None or row["tenant_id"] != tenant:
            return 404, _encode_detail("Not found")
        self._interrupt("scim")
        if group not in self.directory.lists["groups"].rows:
            return 404, _encode_detail("Not found")
        return 200, msgspec.json.encode(self._build_resource(group))

    def _build_resource(self, group: str) -> dict[str, Any]:
        return {
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"],
            "id": group,
            "displayName": self.directory.lists["groups"].rows[group]["name"],
            "members": [
                {"value": member_id, "type": "User" if is_person(member_id) else "Group"}
                for member_id in self.directory.members[group].keys
            ],
        }


def _encode_detail(text: str) -> bytes:
    return msgspec.json.encode({"detail": text})


class _Connection(socketserver.StreamRequestHandler):
    """The connection of one client, with all its requests."""

    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        self.server.connections.add(self.request)
        with contextlib.suppress(ConnectionError):
            while line := self.rfile.readline(65536):
                self._serve(line.decode("latin-1").split(" "))
        self.server.connections.discard(self.request)

    def _serve(self, words: list[str]) -> None:
        length, is_authenticated = 0, False
        while (header := self.rfile.readline(65536)).strip():
            name, _, value = header.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
            is_authenticated = is_authenticated or name.lower() == b"authorization"
        self.rfile.read(length)
        status, body = self.server.scaikey.respond(
            words[0], words[1], is_authenticated=is_authenticated
        )
        head = f"HTTP/1.1 {status} Scripted\r\nContent-Type: application/json\r\n"
        self.request.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], scaikey: ScriptedScaiKey) -> None:
        super().__init__(address, _Connection)
        self.scaikey = scaikey
        self.connections: set[socket.socket] = set()

    def handle_error(self, request: object, client_address: object) -> None:
        """Save the error for the test, which would otherwise see only a network failure."""
        self.scaikey.problems.append(sys.exception())

    def close_connections(self) -> None:
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
