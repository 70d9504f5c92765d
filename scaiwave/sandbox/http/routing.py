"""Requests, responses and the routing table of the sandbox."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from scaiwave.sandbox.http.messages import Request, Response

if TYPE_CHECKING:
    from scaiwave.sandbox.clients import Client, Clients
    from scaiwave.sandbox.data.directory import Directory
    from scaiwave.sandbox.docs_pages import ScaiCms
    from scaiwave.sandbox.grants import Grants
    from scaiwave.sandbox.grid import ScaiGrid
    from scaiwave.sandbox.http.faults import Faults
    from scaiwave.sandbox.keys import KeyRing
    from scaiwave.sandbox.registrations import Registrations
    from scaiwave.sandbox.webhooks import Webhooks


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
    at_hash: bool
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
