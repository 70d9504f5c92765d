"""Errors of other servers, beyond the common branches of `scaiwave.core.errors`.

UpstreamInvalidResponse (2)
├── UpstreamRedirect       a redirect, which is never followed
│   └── TrailingSlashRedirect       the same address with a slash at its end, or without one
└── ResponseTooLarge         more bytes than are accepted
UpstreamRejected (1)       400 or 422: the server rejects the content of the request
UpstreamConflict (1)       409: the object exists already, or it is too late
BudgetExceeded (1)         429 with BUDGET_EXCEEDED: waiting does not help
"""

from __future__ import annotations

from scaiwave.core.errors import ConflictError, RefusedError, UpstreamInvalidResponse


class UpstreamRedirect(UpstreamInvalidResponse):
    """Redirects are not followed: the Authorization header would be sent along, or lost."""

    code = "SW_UPSTREAM_REDIRECT"
    remedy = (
        "Set the setting that the error names to the address that the server itself answers at."
    )


class TrailingSlashRedirect(UpstreamRedirect):
    """ScaiKey's collections end in a slash, its items don't (ScaiKey docs, reference/admin-api)."""


class ResponseTooLarge(UpstreamInvalidResponse):
    """The response is far larger than any valid one."""

    code = "SW_UPSTREAM_TOO_LARGE"
    remedy = "Check the setting with that server's address."


class UpstreamRejected(RefusedError):
    """Another server rejected the request (4xx)."""

    code = "SW_UPSTREAM_REJECTED"
    remedy = "Correct the value that the error names, then try again."


class UpstreamConflict(ConflictError):
    """Another server already has an object that conflicts with the request."""

    code = "SW_UPSTREAM_CONFLICT"
    remedy = "Compare the two, and decide which one is correct."


class BudgetExceeded(RefusedError):
    """This month's budget at ScaiGrid is used up. The request is not repeated."""

    code = "SW_AI_BUDGET_EXCEEDED"
    http_status = 429
    remedy = "Raise the budget in ScaiGrid, or wait for the next month."
