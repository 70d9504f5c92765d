"""ScaiGrid beside ScaiKey, on the same port (ScaiGrid docs, reference).

It lets in the sandbox's own tokens and one API key; every permission may be taken away. The
figures follow from the seed. Where a tenant ends, limits and the answer of `/v1/me` are
assumptions.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import jwt

from scaiwave.sandbox.data.ids import derive_key, scramble
from scaiwave.sandbox.http.routing import (
    HTTPError,
    Request,
    Response,
    json_response,
    parse_json_body,
    route,
)

if TYPE_CHECKING:
    from scaiwave.sandbox.server import Sandbox

PERMISSIONS = ("models:list", "models:use", "accounting:view_tenant", "accounting:view_partner")
MODELS: tuple[dict[str, Any], ...] = (
    {"slug": "chat-small", "display_name": "Chat Small", "modality": "text"},
    {"slug": "chat-large", "display_name": "Chat Large", "modality": "text"},
    {"slug": "embed-small", "display_name": "Embed Small", "modality": "embedding"},
    {"slug": "embed-large", "display_name": "Embed Large", "modality": "embedding"},
)
DIMENSIONS = {"embed-small": 384, "embed-large": 1024}
MOST_TEXTS = 256
WINDOW = 60.0
"""Seconds for which calls are counted against the limit."""
SILENT_ROUND, SILENT_TENANT = 4, 3
"""Of every four tenants one has used nothing, and no row."""


@dataclass(kw_only=True)
class ScaiGrid:
    """What may be changed while the sandbox runs; limits are calls a minute."""

    seed: int
    permissions: set[str] = field(default_factory=lambda: set(PERMISSIONS))
    key_limit: int = 60
    user_limit: int = 120

    def __post_init__(self) -> None:
        self.api_key = (
            f"sgk_{derive_key(self.seed, 'scaigrid'):016x}{derive_key(self.seed, 'key'):016x}"
        )
        self._lock = threading.Lock()
        self._calls: Counter[str] = Counter()
        self._window_ends: dict[str, float] = {}
        self._requests = 0

    def request_id(self) -> str:
        with self._lock:
            self._requests += 1
            return f"req_{scramble(self._requests ^ derive_key(self.seed, 'requests')):016x}"

    def count(self, credential: str) -> tuple[int, float]:
        """How many calls this credential has made of late, and in how many seconds that ends."""
        now = time.monotonic()
        with self._lock:
            if now >= self._window_ends.get(credential, 0.0):
                self._calls[credential] = 0
                self._window_ends[credential] = now + WINDOW
            self._calls[credential] += 1
            return self._calls[credential], self._window_ends[credential] - now


@dataclass(frozen=True, kw_only=True)
class GridCaller:
    """Whom a credential lets in: without partner and tenant, all tenants."""

    partner_id: str | None = None
    tenant_id: str | None = None


def refused(
    sandbox: Sandbox, status: int, code: str, message: str, *, retry_after: int | None = None
) -> HTTPError:
    """An error as ScaiGrid writes it."""
    error: dict[str, Any] = {"code": code, "message": message}
    headers = {}
    if retry_after is not None:
        error["retry_after"] = retry_after
        headers["Retry-After"] = str(retry_after)
    refusal = HTTPError(status, None)
    meta = {"request_id": sandbox.scaigrid.request_id()}
    refusal.response = json_response(
        {"status": "error", "error": error, "meta": meta}, status=status, headers=headers
    )
    return refusal


def admitted(sandbox: Sandbox, request: Request, permission: str | None = None) -> GridCaller:
    """Who calls, counted against the limit. Raises Refusal 401, 403 or 429."""
    scheme, _, credential = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not credential:
        raise refused(sandbox, 401, "AUTH_TOKEN_MISSING", "No bearer token")
    caller = _caller(sandbox, credential)
    grid = sandbox.scaigrid
    limit = grid.key_limit if credential.startswith("sgk_") else grid.user_limit
    calls, rest = grid.count(credential)
    if calls > limit:
        raise refused(
            sandbox, 429, "RATE_LIMITED", "Too many requests", retry_after=max(1, round(rest))
        )
    if permission is not None:
        needs(sandbox, permission)
    return caller


def needs(sandbox: Sandbox, permission: str) -> None:
    """Raises Refusal 403."""
    if permission not in sandbox.scaigrid.permissions:
        raise refused(sandbox, 403, "AUTHZ_PERMISSION_DENIED", f"Permission {permission} required")


def _caller(sandbox: Sandbox, credential: str) -> GridCaller:
    if credential.startswith("sgk_"):
        if credential != sandbox.scaigrid.api_key:
            raise refused(sandbox, 401, "AUTH_TOKEN_INVALID", "Unknown or revoked API key")
        return GridCaller()
    try:
        claims = sandbox.keys.verify(credential, trusts=sandbox.trusts)
    except jwt.InvalidTokenError as error:
        raise refused(sandbox, 401, "SERVICE_TOKEN_INVALID", str(error)) from None
    return GridCaller(partner_id=claims.get("partner_id"), tenant_id=claims.get("tenant_id"))


@route("GET", "/health")
def health(sandbox: Sandbox, request: Request) -> Response:
    return json_response({"status": "ok"})


@route("GET", "/health/ready")
def ready(sandbox: Sandbox, request: Request) -> Response:
    return json_response({"status": "ready", "checks": {"database": "ok", "redis": "ok"}})


@route("GET", "/v1/me")
def me(sandbox: Sandbox, request: Request) -> Response:
    caller = admitted(sandbox, request)
    permissions = sorted(sandbox.scaigrid.permissions)
    return _ok({"permissions": permissions, "tenant_id": caller.tenant_id})


@route("GET", "/v1/models")
def models(sandbox: Sandbox, request: Request) -> Response:
    admitted(sandbox, request, "models:list")
    wanted = request.query.get("modality")
    rows = [{**row, "health_status": "healthy"} for row in MODELS]
    found = [row for row in rows if wanted in (None, row["modality"])]
    limit = request.query.get("limit", "100")
    if not limit.isdecimal():
        raise refused(sandbox, 422, "VALIDATION_ERROR", "limit is not a number")
    return _ok({"items": found[: int(limit)]})


@route("POST", "/v1/inference/embed")
def embed(sandbox: Sandbox, request: Request) -> Response:
    """The vectors come last first: `index` says which text each belongs to."""
    admitted(sandbox, request, "models:use")
    asked = parse_json_body(request)
    model, texts = asked.get("model"), asked.get("input")
    if model not in {row["slug"] for row in MODELS}:
        raise refused(sandbox, 404, "MODEL_NOT_FOUND", f"No model {model}")
    if model not in DIMENSIONS:
        raise refused(sandbox, 422, "VALIDATION_ERROR", f"{model} makes no vectors")
    if not isinstance(texts, list) or not 0 < len(texts) <= MOST_TEXTS:
        raise refused(sandbox, 422, "VALIDATION_ERROR", f"input is 1 to {MOST_TEXTS} texts")
    size = asked.get("dimensions") or DIMENSIONS[model]
    vectors = [
        {"index": place, "embedding": vector(sandbox.seed, f"{model}/{text}", size)}
        for place, text in enumerate(texts)
    ]
    return _ok({"model": model, "data": vectors[::-1]})


def vector(seed: int, text: str, size: int) -> list[float]:
    """A direction that depends on seed and text alone, of length 1."""
    key = derive_key(seed, f"vector/{text}")
    numbers = [scramble(key ^ place) / 2**63 - 1 for place in range(1, size + 1)]
    length = sum(number * number for number in numbers) ** 0.5
    return [round(number / length, 6) for number in numbers]


@route("GET", "/v1/accounting/usage/summary")
def usage_summary(sandbox: Sandbox, request: Request) -> Response:
    caller = admitted(sandbox, request, "accounting:view_tenant")
    if caller.tenant_id is None:
        needs(sandbox, "accounting:view_partner")
    if request.query.get("group_by") != "tenant":
        raise refused(sandbox, 422, "VALIDATION_ERROR", "group_by: only tenant is known here")
    month = _start(sandbox, request).strftime("%Y-%m")
    rows = [
        usage_row(sandbox.seed, tenant_id, month)
        for place, (tenant_id, tenant) in enumerate(list(sandbox.directory.tenants.items()))
        if place % SILENT_ROUND != SILENT_TENANT and _sees(caller, tenant)
    ]
    return _ok(rows)


def usage_row(seed: int, tenant_id: str, month: str) -> dict[str, Any]:
    luck = scramble(derive_key(seed, f"usage/{tenant_id}/{month}"))
    taken, given = luck % 900_000 + 1000, (luck >> 32) % 90_000
    return {
        "group_key": tenant_id,
        "request_count": given // 100 + 1,
        "input_tokens": taken,
        "output_tokens": given,
        "total_tokens": taken + given,
        "total_cost": f"{(taken + given) / 1_000_000:.4f}",
        "backend_cost": "0.0000",
    }


def _start(sandbox: Sandbox, request: Request) -> datetime:
    try:
        start, end = (datetime.fromisoformat(request.query[name]) for name in ("start", "end"))
        if start <= end:
            return start
    except (KeyError, ValueError, TypeError):  # TypeError: one has a zone, the other none
        raise refused(
            sandbox, 422, "VALIDATION_ERROR", "start and end are ISO 8601 times"
        ) from None
    raise refused(sandbox, 422, "VALIDATION_ERROR", "start is after end")


def _sees(caller: GridCaller, tenant: dict[str, Any]) -> bool:
    return caller.tenant_id in (None, tenant["id"]) and caller.partner_id in (
        None,
        tenant["partner_id"],
    )


def _ok(data: Any) -> Response:
    return json_response({"status": "ok", "data": data})
