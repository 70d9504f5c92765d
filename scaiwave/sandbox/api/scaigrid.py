"""ScaiGrid, on ScaiKey's port (ScaiGrid docs, reference).

It accepts the sandbox's own tokens and one API key; each permission can be revoked. The figures are
derived from the seed. The scope of a tenant's token, the rate limits and the response of `/v1/me`
are assumptions.
"""

from __future__ import annotations

from datetime import datetime

import jwt

from scaiwave.sandbox.data.ids import derive_key, scramble
from scaiwave.sandbox.data.population import EVERYTHING, ListFilter
from scaiwave.sandbox.http.messages import (
    HTTPError,
    Request,
    Response,
    json_response,
    parse_json_body,
)
from scaiwave.sandbox.http.routing import route
from scaiwave.sandbox.state import SandboxState

MODELS: tuple[dict[str, object], ...] = (
    {"slug": "chat-small", "display_name": "Chat Small", "modality": "text"},
    {"slug": "chat-large", "display_name": "Chat Large", "modality": "text"},
    {"slug": "embed-small", "display_name": "Embed Small", "modality": "embedding"},
    {"slug": "embed-large", "display_name": "Embed Large", "modality": "embedding"},
)
DIMENSIONS = {"embed-small": 384, "embed-large": 1024}
MAX_TEXTS = 256
UNUSED_ROUND, UNUSED_TENANT = 4, 3
"""One tenant in four, the fourth, has no usage and so no row."""


def _build_error(
    sandbox: SandboxState, status: int, code: str, message: str, *, retry_after: int = 0
) -> HTTPError:
    """Return an error in ScaiGrid's form; `retry_after` is sent as a header too."""
    details = {"retry_after": retry_after} if retry_after else {}
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    body = {
        "status": "error",
        "error": {"code": code, "message": message, **details},
        "meta": {"request_id": sandbox.scaigrid.create_request_id()},
    }
    return HTTPError(status, response=json_response(body, status, headers))


def _build_invalid(sandbox: SandboxState, message: str) -> HTTPError:
    return _build_error(sandbox, 422, "VALIDATION_ERROR", message)


def _authenticate(
    sandbox: SandboxState, request: Request, permission: str | None = None
) -> ListFilter:
    """Return the caller's scope and count the call. Raises HTTPError 401, 403 or 429."""
    grid, credential = sandbox.scaigrid, request.bearer
    if not credential:
        raise _build_error(sandbox, 401, "AUTH_TOKEN_MISSING", "No bearer token")
    caller = _identify_caller(sandbox, credential)
    limit = grid.key_limit if credential.startswith("sgk_") else grid.user_limit
    calls, seconds_left = grid.count_call(credential)
    if calls > limit:
        wait = max(1, round(seconds_left))
        raise _build_error(sandbox, 429, "RATE_LIMITED", "Too many requests", retry_after=wait)
    if permission is not None:
        _require_permission(sandbox, permission)
    return caller


def _require_permission(sandbox: SandboxState, permission: str) -> None:
    """Raise HTTPError 403 if the permission was revoked."""
    if permission not in sandbox.scaigrid.permissions:
        raise _build_error(
            sandbox, 403, "AUTHZ_PERMISSION_DENIED", f"Permission {permission} required"
        )


def _identify_caller(sandbox: SandboxState, credential: str) -> ListFilter:
    if credential.startswith("sgk_"):
        if credential != sandbox.scaigrid.api_key:
            raise _build_error(sandbox, 401, "AUTH_TOKEN_INVALID", "Unknown or revoked API key")
        return EVERYTHING
    try:
        claims = sandbox.keys.verify(credential, is_trusted_issuer=sandbox.is_trusted_issuer)
    except jwt.InvalidTokenError as error:
        raise _build_error(sandbox, 401, "SERVICE_TOKEN_INVALID", str(error)) from None
    return ListFilter(partner_id=claims.get("partner_id"), tenant_id=claims.get("tenant_id"))


@route("GET", "/health")
def get_health(sandbox: SandboxState, request: Request) -> Response:
    return json_response({"status": "ok"})


@route("GET", "/health/ready")
def get_readiness(sandbox: SandboxState, request: Request) -> Response:
    return json_response({"status": "ready", "checks": {"database": "ok", "redis": "ok"}})


@route("GET", "/v1/me")
def get_me(sandbox: SandboxState, request: Request) -> Response:
    caller = _authenticate(sandbox, request)
    permissions = sorted(sandbox.scaigrid.permissions)
    data = {"permissions": permissions, "tenant_id": caller.tenant_id}
    return json_response({"status": "ok", "data": data})


@route("GET", "/v1/models")
def list_models(sandbox: SandboxState, request: Request) -> Response:
    _authenticate(sandbox, request, "models:list")
    modality = request.query.get("modality")
    rows = [
        {**row, "health_status": "healthy"} for row in MODELS if modality in (None, row["modality"])
    ]
    limit = request.query.get("limit", "100")
    if not limit.isdecimal():
        raise _build_invalid(sandbox, "limit is not a number")
    return json_response({"status": "ok", "data": {"items": rows[: int(limit)]}})


@route("POST", "/v1/inference/embed")
def create_embeddings(sandbox: SandboxState, request: Request) -> Response:
    """Return the vectors in reverse order: `index` says which text each belongs to."""
    _authenticate(sandbox, request, "models:use")
    body = parse_json_body(request)
    model, texts = body.get("model"), body.get("input")
    if model not in {row["slug"] for row in MODELS}:
        raise _build_error(sandbox, 404, "MODEL_NOT_FOUND", f"No model {model}")
    if model not in DIMENSIONS:
        raise _build_invalid(sandbox, f"{model} is not an embedding model")
    if not isinstance(texts, list) or not 0 < len(texts) <= MAX_TEXTS:
        raise _build_invalid(sandbox, f"input must be 1 to {MAX_TEXTS} texts")
    size = body.get("dimensions") or DIMENSIONS[model]
    vectors = [
        {"index": index, "embedding": build_vector(sandbox.seed, f"{model}/{text}", size)}
        for index, text in enumerate(texts)
    ]
    return json_response({"status": "ok", "data": {"model": model, "data": vectors[::-1]}})


def build_vector(seed: int, text: str, size: int) -> list[float]:
    """Return a vector of length 1 that depends on seed and text only."""
    key = derive_key(seed, f"vector/{text}")
    numbers = [scramble(key ^ position) / 2**63 - 1 for position in range(1, size + 1)]
    length = sum(number * number for number in numbers) ** 0.5
    return [round(number / length, 6) for number in numbers]


@route("GET", "/v1/accounting/usage/summary")
def get_usage_summary(sandbox: SandboxState, request: Request) -> Response:
    caller = _authenticate(sandbox, request, "accounting:view_tenant")
    if caller.tenant_id is None:
        _require_permission(sandbox, "accounting:view_partner")
    if request.query.get("group_by") != "tenant":
        raise _build_invalid(sandbox, "group_by must be tenant")
    try:
        start, end = (datetime.fromisoformat(request.query[name]) for name in ("start", "end"))
        is_ordered = start <= end
    except (KeyError, ValueError, TypeError):  # TypeError: only one of them has a time zone
        raise _build_invalid(sandbox, "start and end are ISO 8601 times") from None
    if not is_ordered:
        raise _build_invalid(sandbox, "start is after end")
    month = start.strftime("%Y-%m")
    rows = [
        build_usage_row(sandbox.seed, tenant_id, month)
        for index, (tenant_id, tenant) in enumerate(list(sandbox.directory.tenants.items()))
        if index % UNUSED_ROUND != UNUSED_TENANT and caller.admits(tenant)
    ]
    return json_response({"status": "ok", "data": rows})


def build_usage_row(seed: int, tenant_id: str, month: str) -> dict[str, object]:
    random_bits = scramble(derive_key(seed, f"usage/{tenant_id}/{month}"))
    input_tokens, output_tokens = random_bits % 900_000 + 1000, (random_bits >> 32) % 90_000
    total_tokens = input_tokens + output_tokens
    return {
        "group_key": tenant_id,
        "request_count": output_tokens // 100 + 1,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": total_tokens,
        "total_cost": f"{total_tokens / 1_000_000:.4f}",
        "backend_cost": "0.0000",
    }
