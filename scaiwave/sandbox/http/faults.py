"""Fault injection: rules that select requests, and the fault of each.

A rule as JSON; only `action` is required:
`{"action": "status", "method": "GET", "path": "/api/v1/admin/users/*", "query": {"page": "3"},
"after": 1, "times": 2, "status": 503, "headers": {"Retry-After": "1"}}`. `path` is a shell
pattern for the path; `nth` selects one of the matching requests, `after` is how many of them pass
before the rule applies, `times` how often it applies. The first rule that applies is used.
"""

from __future__ import annotations

import threading
from typing import Any

import msgspec

from scaiwave.core.msgspec_decoders import register_structs
from scaiwave.sandbox.http.messages import Action, Request, Rule

CONNECTION_FAULTS = ("drop", "cut", "wrong_length")


register_structs(Rule)


class Faults:
    """The active rules, in the order in which they are tried."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[Rule] = []

    def add(self, action: Action, **settings: Any) -> Rule:
        """Add a rule. Raises msgspec.ValidationError for unknown or invalid settings."""
        return self.add_json({"action": action, **settings})

    def add_json(self, settings: dict[str, Any]) -> Rule:
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
