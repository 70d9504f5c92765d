"""Requests, responses and the routing table of the sandbox."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from scaiwave.sandbox.api.registration import Registrations
    from scaiwave.sandbox.api.scaicms import ScaiCms
    from scaiwave.sandbox.api.scaigrid import ScaiGrid
    from scaiwave.sandbox.clients import Client, Clients
    from scaiwave.sandbox.data.directory import Directory
    from scaiwave.sandbox.grants import Grants
    from scaiwave.sandbox.http.faults import Faults, Rule
    from scaiwave.sandbox.keys import KeyRing
    from scaiwave.sandbox.webhooks import Webhooks

JSON = "application/json"


@dataclass(slots=True)
class Request:
    """One request; `target` is path and query as sent, header names are in lower case.

    `rule` is the fault that applies to it.
    """

    method: str
    target: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    params: dict[str, str] = field(default_factory=dict)
    rule: Rule | None = None


@dataclass(slots=True)
class Response:
    """`connection_fault` is what the server does wrong when sending: drop, cut, wrong_length."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    connection_fault: str | None = None


class HTTPError(Exception):
    """A response that ends the handler: a status, and a body in FastAPI's form."""

    def __init__(self, status: int, detail: Any, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status}")
        self.response = json_response({"detail": detail}, status=status, headers=headers)


def json_response(
    value: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(status=status, body=msgspec.json.encode(value), headers=headers or {})


def validation_error(loc: list[str], msg: str, error_type: str, value: Any = None) -> HTTPError:
    """Return a 422 for one field, in FastAPI's form."""
    return HTTPError(422, [{"type": error_type, "loc": loc, "msg": msg, "input": value}])


def parse_json_body(request: Request) -> dict[str, Any]:
    """Return the body as a JSON object; an empty body is an empty object. Raises HTTPError 422."""
    try:
        value = msgspec.json.decode(request.body or b"{}")
    except msgspec.DecodeError:
        raise validation_error(["body"], "JSON decode error", "json_invalid") from None
    if not isinstance(value, dict):
        raise validation_error(["body"], "Input should be a valid dictionary", "dict_type", value)
    return value


class SandboxState(Protocol):
    """The sandbox as its handlers see it.

    With it they don't import `Sandbox`, which imports them.
    """

    seed: int
    envelope: str
    per_page: int
    max_per_page: int
    refuse_per_page: int | None
    scim: bool
    scim_cursors: bool
    token_lifetime: int
    directory: Directory
    keys: KeyRing
    clients: Clients
    grants: Grants
    registrations: Registrations
    faults: Faults
    scaicms: ScaiCms
    scaigrid: ScaiGrid
    webhooks: Webhooks

    @property
    def url(self) -> str: ...

    def get_issuer(self, tenant_id: str | None) -> str: ...

    def is_trusted_issuer(self, issuer: str) -> bool: ...

    def issue_client(self, **fields: Any) -> Client: ...

    def list_applications(self, client_id: str) -> list[dict[str, Any]]: ...

    def mutate(self, operation: str, **arguments: Any) -> Any: ...

    def get_summary(self) -> dict[str, Any]: ...


Handler = Callable[[SandboxState, Request], Response]


class Route(NamedTuple):
    template: str
    pattern: re.Pattern[str]
    handlers: dict[str, Handler]


ROUTES: dict[str, Route] = {}


def route(method: str, template: str) -> Callable[[Handler], Handler]:
    """Register a handler; `{name}` in the template is one path segment, `{name:path}` several."""

    def register(handler: Handler) -> Handler:
        escaped = re.sub(r"\\{(\w+):path\\}", r"(?P<\1>.+)", re.escape(template))
        pattern = re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", escaped))
        entry = ROUTES.setdefault(template, Route(template, pattern, {}))
        entry.handlers[method] = handler
        return handler

    return register


@functools.lru_cache(maxsize=4096)
def find_route(path: str) -> tuple[Route, dict[str, str]] | None:
    for entry in ROUTES.values():
        match = entry.pattern.fullmatch(path)
        if match:
            return entry, match.groupdict()
    return None
