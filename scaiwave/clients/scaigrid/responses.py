"""ScaiGrid's error responses (ScaiGrid docs, reference/error-codes).

The body is `{"status": "error", "error": {"code", "message", "retry_after"?}, "meta":
{"request_id"}}`. `error.code` decides. It is shown with the request id, so that ScaiGrid's
operator can find the request. A 503 of the readiness check has `checks` instead.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import httpx
import msgspec

from scaiwave.clients.errors import BudgetExceeded
from scaiwave.clients.http.exceptions import TranslatedError, UpstreamServer
from scaiwave.clients.http.responses import (
    add_detail,
    error_from_response,
    redact,
    wrong_path_error,
)
from scaiwave.core.msgspec_decoders import get_decoder

_CREDENTIAL = (
    "Create a new API key and set SCAIWAVE_SCAIGRID_API_KEY, or unset it to use a service token."
)
_PERMISSION = "Ask the operator of ScaiGrid to give this server's credential the permission: "

FIXES: dict[str, str] = {
    "AUTH_TOKEN_MISSING": "A proxy removes the Authorization header: make it pass the "
    "header to ScaiGrid.",
    "AUTH_TOKEN_INVALID": f"The key is wrong, revoked or from another ScaiGrid. {_CREDENTIAL}",
    "SERVICE_TOKEN_INVALID": "ScaiGrid does not trust ScaiKey's token, or the token has expired: "
    "check that both servers are of the same platform, and that their clocks are correct.",
    "AUTH_INSUFFICIENT_SCOPE": "Ask the operator of ScaiKey to give this server's application the "
    "scope that ScaiGrid requires, or set SCAIWAVE_SCAIGRID_API_KEY to a key that has it.",
    "AUTHZ_PERMISSION_DENIED": f"{_PERMISSION}models:list to list, models:use to embed, "
    "accounting:view_partner for the usage of all tenants.",
    "MODEL_NOT_FOUND": "Set SCAIWAVE_SCAIGRID_EMBEDDING_MODEL to a model that ScaiGrid lists; "
    "`scaiwave scaigrid check` counts them.",
    "MODEL_ACCESS_DENIED": f"{_PERMISSION}models:use for this model, or choose another model.",
    "MODEL_UNAVAILABLE": "The model is not running: wait, or choose another model.",
    "BACKEND_ERROR": "ScaiGrid works, but its model server failed: try again later, or report the "
    "request id to the operator of ScaiGrid.",
    "BACKEND_TIMEOUT": "The model server took too long: try again later.",
    "RATE_LIMITED": "Wait, then run it again. The limit is 60 requests a minute for a key, "
    "120 for a user.",
    "BACKEND_RATE_LIMITED": "The model server is busy: wait, then run it again.",
    "BUDGET_EXCEEDED": "This month's budget is used up: raise it in ScaiGrid, or wait for the next "
    "month.",
    "VALIDATION_ERROR": "ScaiGrid does not accept the format of a request: update this suite, and "
    "report it if that does not help.",
}
"""The fix of each code."""


class _ErrorDetail(msgspec.Struct):
    code: str = ""
    message: str | None = None
    retry_after: float | str | None = None


class _Meta(msgspec.Struct):
    request_id: str | None = None


class _ErrorBody(msgspec.Struct):
    error: _ErrorDetail | None = None
    meta: _Meta | None = None
    checks: dict[str, object] | None = None


def scaigrid_error_from_response(response: httpx.Response, peer: UpstreamServer) -> TranslatedError:
    """Extend `error_from_response` by what ScaiGrid's body states."""
    fault = error_from_response(response, peer)
    body: _ErrorBody | None = None
    with suppress(ValueError, RecursionError):
        body = get_decoder(_ErrorBody).decode(response.content)
    if response.status_code < 400:
        return fault
    if body is not None and body.checks is not None:
        failing = [name for name, state in body.checks.items() if state not in ("ok", True)]
        add_detail(fault.error, redact(f"not ready: {', '.join(failing)}", response.request))
        return fault
    if body is None or body.error is None or not body.error.code:
        if response.status_code == 404:  # ScaiGrid itself would have sent a code.
            return TranslatedError(error=wrong_path_error(response, peer))
        return fault
    return _describe_error(fault, body.error, body.meta or _Meta(), response.request)


def _describe_error(
    fault: TranslatedError, detail: _ErrorDetail, meta: _Meta, request: httpx.Request
) -> TranslatedError:
    code, request_id = redact(detail.code, request), redact(meta.request_id or "", request)
    message = redact(detail.message or "", request).rstrip(".")
    text = f"{code}, {message}" if message else code
    if request_id:
        text = f"{text} (request {request_id})"
    error = fault.error
    if code == "BUDGET_EXCEEDED":
        error = BudgetExceeded("ScaiGrid's budget is used up.")
    add_detail(error, text)
    error.fix = FIXES.get(code, error.fix)
    error.details |= {"upstream_code": code, "request_id": request_id}
    if isinstance(detail.retry_after, float) and detail.retry_after >= 0:
        error.details.setdefault("retry_after", detail.retry_after)
    return replace(fault, error=error, transient=fault.transient and error is fault.error)
