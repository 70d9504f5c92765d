"""What ScaiGrid says when it says no (ScaiGrid docs, reference/error-codes).

The body is `{"status": "error", "error": {"code", "message", "retry_after"?}, "meta":
{"request_id"}}`. `error.code` decides, and goes with the request id into message and details, so
that whoever runs ScaiGrid can find the request. A 503 of its readiness has `checks` instead.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx
import msgspec

from scaiwave.clients.errors import BudgetExceeded
from scaiwave.clients.http.exceptions import TranslatedError, UpstreamServer
from scaiwave.clients.http.responses import error_from_response, redact
from scaiwave.errors import ScaiWaveError, UpstreamInvalidResponse
from scaiwave.msgspec_decoders import get_decoder

_CREDENTIAL = (
    "Make a new API key and set SCAIWAVE_SCAIGRID_API_KEY, or unset it to use a service token."
)
_PERMISSION = "Have whoever runs ScaiGrid give our credential the permission: "

MEANINGS: dict[str, str] = {
    "AUTH_TOKEN_MISSING": "A proxy takes the Authorization header away: let it pass to ScaiGrid.",
    "AUTH_TOKEN_INVALID": f"The key is wrong, revoked or of another ScaiGrid. {_CREDENTIAL}",
    "SERVICE_TOKEN_INVALID": "ScaiGrid does not trust the token that ScaiKey gave us, or it has "
    "run out: check that both servers are of one platform and that the clocks are right.",
    "AUTH_INSUFFICIENT_SCOPE": "Have whoever runs ScaiKey give our application the scope that "
    "ScaiGrid asks for, or set SCAIWAVE_SCAIGRID_API_KEY to a key that may do this.",
    "AUTHZ_PERMISSION_DENIED": f"{_PERMISSION}models:list to list, models:use to embed, "
    "accounting:view_partner for the usage of all tenants.",
    "MODEL_NOT_FOUND": "Take a model that ScaiGrid lists: scripts/scaigrid_service_token_smoke.py "
    "counts them, and SCAIWAVE_SCAIGRID_EMBEDDING_MODEL names ours.",
    "MODEL_ACCESS_DENIED": f"{_PERMISSION}models:use for this model, or take another model.",
    "MODEL_UNAVAILABLE": "The model is known and not running now: wait, or take another model.",
    "BACKEND_ERROR": "ScaiGrid is well and what runs the model is not: try again later, or tell "
    "whoever runs ScaiGrid the request id.",
    "BACKEND_TIMEOUT": "What runs the model took too long: send less at once, or try again later.",
    "RATE_LIMITED": "Wait, then run it again; a key may call 60 times a minute, a user 120.",
    "BACKEND_RATE_LIMITED": "What runs the model is busy: wait, then run it again.",
    "BUDGET_EXCEEDED": "The budget for this month is used up: raise it in ScaiGrid, or wait for "
    "the next month. Trying again does not help.",
    "VALIDATION_ERROR": "This suite and ScaiGrid disagree about a request: update this suite, and "
    "report it if that does not help.",
}
"""What an operator can do about each code."""


class _Told(msgspec.Struct):
    code: str = ""
    message: str | None = None
    retry_after: float | str | None = None


class _Meta(msgspec.Struct):
    request_id: str | None = None


class _Body(msgspec.Struct):
    error: _Told | None = None
    meta: _Meta | None = None
    checks: dict[str, Any] | None = None


def scaigrid_error_from_response(response: httpx.Response, peer: UpstreamServer) -> TranslatedError:
    """As `answers.refusal`, with what ScaiGrid's own body says."""
    fault = error_from_response(response, peer)
    body = _read(response.content)
    if response.status_code < 400:
        return fault
    if body is not None and body.checks is not None:
        return _not_ready(fault, body.checks, response.request)
    if body is None or body.error is None or not body.error.code:
        return _elsewhere(response, peer) if response.status_code == 404 else fault
    return _told(fault, body.error, body.meta or _Meta(), response.request)


def _read(content: bytes) -> _Body | None:
    try:
        body: _Body = get_decoder(_Body).decode(content)
    except (ValueError, RecursionError):
        return None
    return body


def _elsewhere(response: httpx.Response, peer: UpstreamServer) -> TranslatedError:
    """ScaiGrid gives a code for what it does not have, so this 404 is somebody else's."""
    path = response.request.url.path
    return TranslatedError(
        error=UpstreamInvalidResponse(
            f"There is nothing at {peer.origin}{path} (404), where ScaiGrid has something.",
            fix=f"Set {peer.setting} to the address of ScaiGrid, without /v1 or any other path.",
        )
    )


def _not_ready(
    fault: TranslatedError, checks: dict[str, Any], request: httpx.Request
) -> TranslatedError:
    bad = [name for name, state in checks.items() if state not in ("ok", True)]
    fault.error.message = _with(fault.error, redact(f"not ready: {', '.join(bad)}", request))
    fault.error.args = (fault.error.message,)
    return fault


def _told(
    fault: TranslatedError, told: _Told, meta: _Meta, request: httpx.Request
) -> TranslatedError:
    code, request_id = redact(told.code, request), redact(meta.request_id or "", request)
    words = redact(told.message or "", request).rstrip(".")
    text = f"{code}, {words}" if words else code
    if request_id:
        text = f"{text} (request {request_id})"
    error = fault.error
    if code == "BUDGET_EXCEEDED":
        error = BudgetExceeded("ScaiGrid's budget is used up.")
    error.message = _with(error, text)
    error.args = (error.message,)
    error.fix = MEANINGS.get(code, error.fix)
    error.details |= {"upstream_code": code, "request_id": request_id}
    if isinstance(told.retry_after, float) and told.retry_after >= 0:
        error.details.setdefault("retry_after", told.retry_after)
    return replace(fault, error=error, transient=fault.transient and error is fault.error)


def _with(error: ScaiWaveError, words: str) -> str:
    return f"{error.message.rstrip('.')}: {words}."
