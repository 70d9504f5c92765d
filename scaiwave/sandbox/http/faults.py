"""Faults on demand: rules that say which request goes wrong, and how.

A rule as JSON, all members but `action` optional:
`{"action": "status", "method": "GET", "path": "/api/v1/admin/users/*", "query": {"page": "3"},
"after": 1, "times": 2, "status": 503, "headers": {"Retry-After": "1"}}`. `path` is a shell
pattern over the path; `nth` picks one of the matching requests, `after` lets so many pass first,
`times` ends the rule. The first rule that takes a request decides.
"""

from __future__ import annotations

import threading
from fnmatch import fnmatchcase
from typing import Any, Literal

import msgspec

from scaiwave.msgspec_decoders import register_structs
from scaiwave.sandbox.http.routing import Request, Response, json_response

Action = Literal[
    "status",  # answer `status` with `body` and `headers`
    "redirect",  # answer `status` (307 unless told) to `location`
    "not_json",  # 200 with an HTML page
    "wrong_shape",  # 200 with JSON that is no list of anything
    "drop",  # close the connection without an answer
    "cut",  # close it in the middle of the body
    "wrong_length",  # announce more body than there is, then close
    "hang",  # wait `seconds`, then answer as if nothing were
    "malformed_row",  # a row of the page is not an object of its kind
    "empty_page",  # no rows, while the total says there are
    "total",  # the total is `total`, or `rows` less than it should be
    "duplicate",  # the first `rows` rows stand on the page twice
    "shift",  # the page begins `rows` rows later (earlier when negative)
]
ON_THE_WIRE = ("drop", "cut", "wrong_length")


class Rule(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    action: Action
    method: str = "*"
    path: str = "*"
    query: dict[str, str] = {}
    nth: int | None = None
    after: int = 0
    times: int | None = None
    status: int | None = None
    headers: dict[str, str] = {}
    body: Any = None
    location: str = "/"
    seconds: float = 1.0
    rows: int = 1
    total: int | None = None
    seen: int = 0
    fired: int = 0

    def takes(self, request: Request) -> bool:
        """Whether this request is one of ours; counts it."""
        if not self._matches(request):
            return False
        self.seen += 1
        due = self.seen == self.nth if self.nth is not None else self.seen > self.after
        if not due or (self.times is not None and self.fired >= self.times):
            return False
        self.fired += 1
        return True

    def _matches(self, request: Request) -> bool:
        return (
            self.method in ("*", request.method)
            and fnmatchcase(request.path, self.path)
            and self.query.items() <= request.query.items()
        )

    def instead(self) -> Response | None:
        """The answer that takes the place of the real one; None when there is none."""
        if self.action == "status":
            return self._status()
        if self.action == "redirect":
            return json_response(
                None, status=self.status or 307, headers={"Location": self.location}
            )
        if self.action == "not_json":
            page = b"<html><body><h1>Bad gateway</h1></body></html>"
            return Response(body=page, content_type="text/html")
        if self.action == "wrong_shape":
            return json_response(
                {"results": "all good", "count": {}} if self.body is None else self.body
            )
        return None

    def _status(self) -> Response:
        status = self.status or 503
        body = {"detail": f"Fault {status}"} if self.body is None else self.body
        return json_response(body, status=status, headers=dict(self.headers))

    def shift_offset(self, offset: int) -> int:
        return max(0, offset + self.rows) if self.action == "shift" else offset

    def edit_page(self, rows: list[str], total: int) -> tuple[list[str], int]:
        """Spoil a page: rows as JSON text, and the total that is reported."""
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
    """The rules in force, in the order in which they are asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def add(self, action: Action, **settings: Any) -> Rule:
        """Add a rule. Raises msgspec.ValidationError for settings that no rule has."""
        return self.add_json({"action": action, **settings})

    def add_json(self, settings: dict[str, Any]) -> Rule:
        rule = msgspec.convert(settings, Rule)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def rules(self) -> list[Rule]:
        with self._lock:
            return list(self._rules)

    def take(self, request: Request) -> Rule | None:
        """The fault that befalls this request."""
        if not self._rules:
            return None
        with self._lock:
            return next((rule for rule in self._rules if rule.takes(request)), None)
