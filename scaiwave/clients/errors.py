"""What another server can answer, beyond the common branches of `scaiwave.errors`.

UpstreamInvalidResponse (2)
├── UpstreamRedirect       a redirect, which is never followed
│   └── TrailingSlashRedirect       the same address with a slash at its end, or without one
└── ResponseTooLarge         more bytes than we are willing to hold
UpstreamRejected (1)       400 or 422: the server read the request and says no to its content
UpstreamConflict (1)       409: it exists already, or it is too late
BudgetExceeded (1)         429 with BUDGET_EXCEEDED: waiting does not help
"""

from __future__ import annotations

from scaiwave.errors import ConflictError, RefusedError, UpstreamInvalidResponse


class UpstreamRedirect(UpstreamInvalidResponse):
    """Redirects are not followed: the Authorization header would go along, or get lost."""

    code = "SW_UPSTREAM_REDIRECT"


class TrailingSlashRedirect(UpstreamRedirect):
    """ScaiKey's collections end in a slash, its items don't (ScaiKey docs, reference/admin-api)."""


class ResponseTooLarge(UpstreamInvalidResponse):
    code = "SW_UPSTREAM_TOO_LARGE"


class UpstreamRejected(RefusedError):
    code = "SW_UPSTREAM_REJECTED"


class UpstreamConflict(ConflictError):
    code = "SW_UPSTREAM_CONFLICT"


class BudgetExceeded(RefusedError):
    code = "SW_AI_BUDGET_EXCEEDED"
    http_status = 429
