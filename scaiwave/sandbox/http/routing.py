"""Requests and responses as the sandbox's handlers see them, and the table of routes."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from scaiwave.sandbox.http.faults import Rule
    from scaiwave.sandbox.server import Sandbox

JSON = "application/json"


@dataclass(slots=True)
class Request:
    """One request; `target` is path and query as sent, header names are in lower case.

    `rule` is the fault that befalls it.
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
    """`wire` says how the transport is to spoil it: drop, cut or wrong_length."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    wire: str | None = None


class HTTPError(Exception):
    """An answer that ends the handler: a status with a body as FastAPI writes it."""

    def __init__(self, status: int, detail: Any, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status}")
        self.response = json_response({"detail": detail}, status=status, headers=headers)


def json_response(
    value: Any, *, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(status=status, body=msgspec.json.encode(value), headers=headers or {})


def validation_error(loc: list[str], msg: str, kind: str, value: Any = None) -> HTTPError:
    """422 as FastAPI words it, for one field."""
    return HTTPError(422, [{"type": kind, "loc": loc, "msg": msg, "input": value}])


def parse_json_body(request: Request) -> dict[str, Any]:
    """The body as a JSON object; an empty body is an empty object. Raises Refusal 422."""
    try:
        value = msgspec.json.decode(request.body or b"{}")
    except msgspec.DecodeError:
        raise validation_error(["body"], "JSON decode error", "json_invalid") from None
    if not isinstance(value, dict):
        raise validation_error(["body"], "Input should be a valid dictionary", "dict_type", value)
    return value


Handler = Callable[["Sandbox", Request], Response]


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
