"""Requests and responses of the sandbox, and fault injection: rules that select requests.

A rule as JSON; only `action` is required:
`{"action": "status", "method": "GET", "path": "/api/v1/admin/users/*", "query": {"page": "3"},
"after": 1, "times": 2, "status": 503, "headers": {"Retry-After": "1"}}`. `path` is a shell
pattern for the path; `nth` selects one of the matching requests, `after` is how many of them pass
before the rule applies, `times` how often it applies. The first rule that applies is used.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from scaiwave.core.msgspec_decoders import register_structs

CONNECTION_FAULTS = ("drop", "cut", "wrong_length")
Action = Literal[
    "status",  # respond with `status`, `body` and `headers`
    "redirect",  # redirect to `location` with `status` (default 307)
    "not_json",  # 200 with an HTML page
    "wrong_shape",  # 200 with JSON that is not a list envelope
    "drop",  # close the connection without a response
    "cut",  # close the connection in the middle of the body
    "wrong_length",  # send a Content-Length above the body's length, then close
    "hang",  # wait `seconds`, then respond as usual
    "malformed_row",  # replace the last row of the page by an invalid one
    "empty_page",  # return no rows, but the real total
    "total",  # report `total`, or the real total less `rows`
    "duplicate",  # repeat the first `rows` rows of the page
    "shift",  # start the page `rows` rows later (earlier if negative)
]

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

    @property
    def bearer(self) -> str:
        """The credential of the Bearer scheme, or an empty text."""
        scheme, _, credential = self.headers.get("authorization", "").partition(" ")
        return credential if scheme.lower() == "bearer" else ""


@dataclass(slots=True)
class Response:
    """`connection_fault` is the server's fault when sending: drop, cut, wrong_length."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    connection_fault: str | None = None


class HTTPError(Exception):
    """A response that ends the handler: by default a status, and a body in FastAPI's form."""

    def __init__(
        self,
        status: int,
        detail: object = None,
        *,
        headers: dict[str, str] | None = None,
        response: Response | None = None,
    ) -> None:
        super().__init__(f"{status}")
        self.response = response or json_response({"detail": detail}, status, headers)


def json_response(
    value: object, status: int = 200, headers: dict[str, str] | None = None, kind: str = JSON
) -> Response:
    return Response(status, msgspec.json.encode(value), kind, {**(headers or {})})


def validation_error(loc: list[str], msg: str, error_type: str, value: object = None) -> HTTPError:
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


class Rule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`seen` counts the requests that matched, `fired` the ones that it was applied to."""

    action: Action
    method: str = "*"
    path: str = "*"
    query: dict[str, str] = {}
    nth: int | None = None
    after: int = 0
    times: int | None = None
    status: int | None = None
    headers: dict[str, str] = {}
    body: object = None
    location: str = "/"
    seconds: float = 1.0
    rows: int = 1
    total: int | None = None
    seen: int = 0
    fired: int = 0

    def claim(self, request: Request) -> bool:
        """Count a matching request, and return whether the rule applies to it."""
        if not (
            self.method in ("*", request.method)
            and fnmatchcase(request.path, self.path)
            and self.query.items() <= request.query.items()
        ):
            return False
        self.seen += 1
        due = self.seen == self.nth if self.nth is not None else self.seen > self.after
        if not due or (self.times is not None and self.fired >= self.times):
            return False
        self.fired += 1
        return True

    def build_response(self) -> Response | None:
        """Return the response that replaces the real one, or None if the rule replaces none."""
        if self.action == "status":
            status = self.status or 503
            body = {"detail": f"Fault {status}"} if self.body is None else self.body
            return json_response(body, status=status, headers=dict(self.headers))
        if self.action == "redirect":
            headers = {"Location": self.location}
            return json_response(None, status=self.status or 307, headers=headers)
        if self.action == "not_json":
            page = b"<html><body><h1>Bad gateway</h1></body></html>"
            return Response(body=page, content_type="text/html")
        if self.action == "wrong_shape":
            wrong = {"results": "all good", "count": {}}
            return json_response(wrong if self.body is None else self.body)
        return None

    def shift_offset(self, offset: int) -> int:
        return max(0, offset + self.rows) if self.action == "shift" else offset

    def edit_page(self, rows: list[str], total: int) -> tuple[list[str], int]:
        """Apply the fault to a page: its rows as JSON text, and the reported total."""
        if self.action == "malformed_row":
            return [*rows[:-1], '{"id":17,"email":["no"]}'], total
        if self.action == "empty_page":
            return [], total
        if self.action == "total":
            return rows, max(0, total - self.rows) if self.total is None else self.total
        if self.action == "duplicate":
            return rows[: self.rows] + rows, total
        return rows, total


register_structs(Rule)


class Faults:
    """The active rules, in the order of trying them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def add(self, action: Action, **settings: object) -> Rule:
        """Add a rule. Raises msgspec.ValidationError for unknown or invalid settings."""
        return self.add_json({"action": action, **settings})

    def add_json(self, settings: dict[str, object]) -> Rule:
        rule = msgspec.convert(settings, Rule)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def list_rules(self) -> list[Rule]:
        with self._lock:
            return list(self._rules)

    def claim_rule(self, request: Request) -> Rule | None:
        """Return the rule that applies to the request, and count the request in the rules."""
        if not self._rules:
            return None
        with self._lock:
            return next((rule for rule in self._rules if rule.claim(request)), None)
