"""The client for ScaiGrid, the AI gateway (ScaiGrid docs, reference)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, TypeVar, Unpack

import httpx
import msgspec

from scaiwave.clients.http.client import ClientOptions, HttpClient, Params, ServiceClient
from scaiwave.clients.scaigrid.auth import GridAccess, load_access
from scaiwave.clients.scaigrid.responses import scaigrid_error_from_response
from scaiwave.clients.scaikey.auth import send_with_token
from scaiwave.clients.scaikey.decoding import decode_answer, decode_response
from scaiwave.config import Configuration
from scaiwave.core.errors import SettingMissing, UpstreamInvalidResponse

HEALTH = "/health"
READY = "/health/ready"
MODELS = "/v1/models"
EMBED = "/v1/inference/embed"
USAGE = "/v1/accounting/usage/summary"
ME = "/v1/me"

MAX_MODELS = 500

T = TypeVar("T")

Text = Annotated[str, msgspec.Meta(max_length=1000)]
Tokens = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
"""Of some thousand tenants, the sum must fit a database's integers."""


class Model(msgspec.Struct, kw_only=True, frozen=True):
    slug: Text
    display_name: Text | None = None
    modality: Text | None = None
    status: Text | None = None
    health_status: Text | None = None


class Usage(msgspec.Struct, kw_only=True, frozen=True):
    """The usage of one group. `group_key` is the tenant's ScaiKey id if usage is grouped by tenant.

    assumption: it is that id, and None for usage outside of tenants.
    """

    group_key: Text | None = None
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    total_tokens: Tokens


class Me(msgspec.Struct, kw_only=True, frozen=True):
    """assumption: the permissions are a list of texts; no page shows the response."""

    permissions: tuple[Text, ...] = ()
    tenant_id: Text | None = None


class _Health(msgspec.Struct):
    status: Text


class _Models(msgspec.Struct):
    items: list[Model]


class _Vector(msgspec.Struct):
    index: int
    embedding: list[float]


class _Vectors(msgspec.Struct):
    data: list[_Vector]


class _Envelope(msgspec.Struct):
    data: msgspec.Raw


class ScaiGridClient(ServiceClient):
    """Threads may share an instance; close it, or use it in a `with`. It also closes `access`.

    Every method may raise what `HttpClient.request` raises, and BudgetExceeded. An error with a
    reason from ScaiGrid has `upstream_code` and `request_id` in its details.
    """

    def __init__(self, base_url: str, access: GridAccess, **options: Unpack[ClientOptions]) -> None:
        """`options` are passed to HttpClient."""
        self.access = access
        self.http = HttpClient(
            base_url, service="ScaiGrid", translate_response=scaigrid_error_from_response, **options
        )

    def __repr__(self) -> str:
        return f"<ScaiGridClient {self.http.peer.origin} with {self.access.description}>"

    def close(self) -> None:
        super().close()
        self.access.close()

    def health(self) -> str:
        """Return the status that ScaiGrid reports. Needs no credential."""
        return self._get_status(HEALTH)

    def ready(self) -> str:
        """Return the status. Raises UpstreamUnavailable if something is not ready."""
        return self._get_status(READY)

    def _get_status(self, path: str) -> str:
        response = self.http.request("GET", path, retry=False)
        return decode_answer(response, _Health, service="ScaiGrid").status

    def models(self, modality: str | None = None, limit: int = MAX_MODELS) -> list[Model]:
        query = {"limit": limit, **({"modality": modality} if modality else {})}
        return self._request("GET", MODELS, _Models, params=query).items

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """Return one vector for each text, in their order.

        Raises UpstreamInvalidResponse also unless there is one vector for each text, all of the
        same length.
        """
        document = {"model": model, "input": list(texts)}
        embedded = self._request("POST", EMBED, _Vectors, json=document).data
        vectors = {vector.index: vector.embedding for vector in embedded}
        if len(embedded) != len(texts) or vectors.keys() != set(range(len(texts))):
            problem = f"not one vector for each of {len(texts)} texts"
        elif len({len(vector) for vector in vectors.values()}) > 1:
            problem = "vectors of different lengths"
        elif not all(math.isfinite(number) for vector in vectors.values() for number in vector):
            problem = "a vector with an infinite or undefined number"
        else:
            return [vectors[index] for index in range(len(texts))]
        raise _invalid_response_error("POST", EMBED, problem)

    def usage_summary(
        self, *, start: datetime, end: datetime, group_by: str = "tenant"
    ) -> list[Usage]:
        """Return the usage from `start` until `end`, one row for each group.

        It lags by up to half a minute (ScaiGrid docs, core-concepts/accounting-and-budgets).
        """
        query = {"group_by": group_by, "start": _format_time(start), "end": _format_time(end)}
        rows = self._request("GET", USAGE, list[Usage], params=query)
        most_common = Counter(row.group_key for row in rows).most_common(1)
        if most_common and most_common[0][1] > 1:
            group = most_common[0][0]
            raise _invalid_response_error("GET", USAGE, f"group {group} occurs more than once")
        return rows

    def me(self) -> Me:
        """Return what this server's credential is allowed."""
        return self._request("GET", ME, Me)

    def _request(
        self,
        method: str,
        path: str,
        kind: type[T],
        *,
        params: Params | None = None,
        json: object = None,
    ) -> T:
        """Return the response's `data` as `kind`.

        No request changes anything in ScaiGrid, so each may be repeated. After a 401 it is repeated
        once with a new token.
        """

        def send(token: str) -> httpx.Response:
            headers = {"Authorization": f"Bearer {token}"}
            return self.http.request(
                method, path, params=params, json=json, headers=headers, retry=True
            )

        response = send_with_token(self.access, send)
        envelope = decode_answer(response, _Envelope, service="ScaiGrid")
        return decode_response(
            bytes(envelope.data), kind, source=f"{method} {path}", service="ScaiGrid"
        )


def scaigrid_client(config: Configuration, **options: Unpack[ClientOptions]) -> ScaiGridClient:
    """Build the client of this server's configuration; `options` are passed to HttpClient.

    It connects with the first request. Raises SettingMissing or SettingInvalid.
    """
    base_url = config.get_url("SCAIWAVE_SCAIGRID_URL")
    if not base_url:
        raise SettingMissing(
            "ScaiGrid is not configured: SCAIWAVE_SCAIGRID_URL is not set.",
            fix="Set SCAIWAVE_SCAIGRID_URL to something like https://scaigrid.example.org.",
        )
    return ScaiGridClient(base_url, load_access(config, **options), **options)


def _format_time(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _invalid_response_error(method: str, path: str, problem: str) -> UpstreamInvalidResponse:
    return UpstreamInvalidResponse(
        f"ScaiGrid returned an invalid response to {method} {path}: {problem}.",
        fix="Report this to the operator of ScaiGrid. No changes were made.",
    )
