"""The client for ScaiGrid, the AI gateway (ScaiGrid docs, reference)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Self

import httpx
import msgspec

from scaiwave.clients.http.client import HttpClient
from scaiwave.clients.scaigrid.auth import GridAccess, configured_access
from scaiwave.clients.scaigrid.responses import scaigrid_error_from_response
from scaiwave.clients.scaikey.decoding import decode_response
from scaiwave.config import Configuration
from scaiwave.errors import SettingMissing, UpstreamInvalidResponse, UpstreamUnauthorized

HEALTH = "/health"
READY = "/health/ready"
MODELS = "/v1/models"
EMBED = "/v1/inference/embed"
USAGE = "/v1/accounting/usage/summary"
ME = "/v1/me"

MOST_MODELS = 500

Text = Annotated[str, msgspec.Meta(max_length=1000)]
Tokens = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Model(msgspec.Struct, kw_only=True, frozen=True):
    slug: Text
    display_name: Text | None = None
    modality: Text | None = None
    status: Text | None = None
    health_status: Text | None = None


class Usage(msgspec.Struct, kw_only=True, frozen=True):
    """`group_key` is the tenant's id in ScaiKey where usage is grouped by tenant.

    assumption: that it is that id, and None for what no tenant used.
    """

    group_key: Text | None = None
    input_tokens: Tokens = 0
    output_tokens: Tokens = 0
    total_tokens: Tokens


class Me(msgspec.Struct, kw_only=True, frozen=True):
    """assumption: that the permissions are a list of texts; no page shows the answer."""

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


class _Answer(msgspec.Struct):
    data: msgspec.Raw


class ScaiGridClient:
    """Threads may share an instance; close it, or use it in a `with`.

    Every call may raise what `HttpClient.request` raises, and BudgetExceeded; an error that
    ScaiGrid gave a reason for has `upstream_code` and `request_id` in its details. It owns
    `access` and closes it.
    """

    def __init__(self, base_url: str, access: GridAccess, **options: Any) -> None:
        """`options` are those of HttpClient."""
        self.access = access
        self.http = HttpClient(
            base_url, service="ScaiGrid", refuse=scaigrid_error_from_response, **options
        )

    def __repr__(self) -> str:
        return f"<ScaiGridClient {self.http.peer.origin} with {self.access.described}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self.http.close()
        self.access.close()

    def health(self) -> str:
        """The status that it says it has; needs no credential."""
        return self._status(HEALTH)

    def ready(self) -> str:
        """Raises UpstreamUnavailable, which names what is not ready, at once."""
        return self._status(READY)

    def _status(self, path: str) -> str:
        answer = self.http.request("GET", path, retry=False)
        told: _Health = _decoded(answer, _Health)
        return told.status

    def models(self, modality: str | None = None, limit: int = MOST_MODELS) -> list[Model]:
        query = {"limit": limit} | ({"modality": modality} if modality else {})
        found: _Models = self._data("GET", MODELS, _Models, params=query)
        return found.items

    def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text, in their order. Repeated where it fails for a while.

        Raises UpstreamInvalidResponse too for other than one vector for each text, of equal length.
        """
        asked = {"model": model, "input": list(texts)}
        given = self._data("POST", EMBED, _Vectors, json=asked).data
        vectors = {vector.index: vector.embedding for vector in given}
        if len(given) != len(texts) or vectors.keys() != set(range(len(texts))):
            raise _nonsense("POST", EMBED, f"{len(texts)} texts have other vectors than one each")
        if len({len(vector) for vector in vectors.values()}) > 1:
            raise _nonsense("POST", EMBED, "its vectors differ in length")
        if not all(math.isfinite(number) for vector in vectors.values() for number in vector):
            raise _nonsense("POST", EMBED, "a vector holds something that is no number")
        return [vectors[place] for place in range(len(texts))]

    def usage_summary(
        self, *, start: datetime, end: datetime, group_by: str = "tenant"
    ) -> list[Usage]:
        """What was used from `start` until `end`, one row for each group.

        It lags by up to half a minute (ScaiGrid docs, core-concepts/accounting-and-budgets).
        """
        query = {"group_by": group_by, "start": _moment(start), "end": _moment(end)}
        rows: list[Usage] = self._data("GET", USAGE, list[Usage], params=query)
        most = Counter(row.group_key for row in rows).most_common(1)
        if most and most[0][1] > 1:
            raise _nonsense("GET", USAGE, f"it names the group {most[0][0]} more than once")
        return rows

    def me(self) -> Me:
        """What our credential may do."""
        found: Me = self._data("GET", ME, Me)
        return found

    def _data(
        self,
        method: str,
        path: str,
        kind: Any,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
    ) -> Any:
        """What stands under `data`, as `kind`. None of our calls changes anything over there,
        so that each may be repeated; a 401 is answered once with a new token."""
        token = self.access.bearer()
        try:
            answer = self._send(method, path, token, params, json)
        except UpstreamUnauthorized:
            if not self.access.renew(token):
                raise
            answer = self._send(method, path, self.access.bearer(), params, json)
        wrapped: _Answer = _decoded(answer, _Answer)
        return decode_response(
            bytes(wrapped.data), kind, source=f"{method} {path}", service="ScaiGrid"
        )

    def _send(
        self, method: str, path: str, token: str, params: Mapping[str, Any] | None, json: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        return self.http.request(
            method, path, params=params, json=json, headers=headers, retry=True
        )


def scaigrid_client(config: Configuration, **options: Any) -> ScaiGridClient:
    """The client of this server's configuration; `options` are those of HttpClient.

    It connects when it is first asked something. Raises SettingMissing, SettingInvalid.
    """
    base_url = config.get_url("SCAIWAVE_SCAIGRID_URL")
    if not base_url:
        raise SettingMissing(
            "There is no ScaiGrid: SCAIWAVE_SCAIGRID_URL is not set.",
            fix="Set SCAIWAVE_SCAIGRID_URL to something like https://scaigrid.example.org.",
        )
    return ScaiGridClient(base_url, configured_access(config, **options), **options)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _decoded(answer: httpx.Response, kind: Any) -> Any:
    called = f"{answer.request.method} {answer.request.url.path}"
    return decode_response(answer.content, kind, source=called, service="ScaiGrid")


def _nonsense(method: str, path: str, what: str) -> UpstreamInvalidResponse:
    return UpstreamInvalidResponse(
        f"ScaiGrid's answer to {method} {path} makes no sense: {what}.",
        fix="Report this to who runs ScaiGrid. Nothing was changed.",
    )
