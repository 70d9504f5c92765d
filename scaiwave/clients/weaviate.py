"""The client for Weaviate, the search server (Weaviate docs, api/rest and api/graphql).

One class with multi-tenancy: every call names the tenant, and Weaviate keeps each in a shard of
its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar

import httpx
import msgspec

from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.http.client import HttpClient
from scaiwave.clients.http.exceptions import TranslatedError, UpstreamServer
from scaiwave.clients.http.responses import error_from_response, redact
from scaiwave.clients.scaikey.decoding import decode_response
from scaiwave.config import Configuration
from scaiwave.errors import SettingInvalid, UpstreamInvalidResponse, UpstreamNotFound

SCHEMA = "/v1/schema"
OBJECTS = "/v1/batch/objects"
GRAPHQL = "/v1/graphql"


class WeaviateObject(msgspec.Struct, kw_only=True, frozen=True):
    """An object to be kept; without a vector it is found by its words alone."""

    id: str
    properties: dict[str, str]
    vector: list[float] | None = None


Row = TypeVar("Row", bound=msgspec.Struct)


class _Tenancy(msgspec.Struct):
    enabled: bool = False


class _Class(msgspec.Struct, rename="camel"):
    multi_tenancy_config: _Tenancy | None = None


class _Tenant(msgspec.Struct):
    name: str


class _Result(msgspec.Struct):
    status: str = "SUCCESS"
    errors: Any = None


class _Kept(msgspec.Struct):
    result: _Result = msgspec.field(default_factory=_Result)


class _Dropped(msgspec.Struct):
    failed: int = 0


class _Drop(msgspec.Struct):
    results: _Dropped


class _Answer(msgspec.Struct):
    data: dict[str, Any] | None = None
    errors: Any = None


class _Meta(msgspec.Struct):
    count: int


class _Counted(msgspec.Struct):
    meta: _Meta


class _Reason(msgspec.Struct):
    message: str


class _Refused(msgspec.Struct):
    error: list[_Reason]


class WeaviateClient:
    """Close it, or use it in a `with`. Every call may raise what `HttpClient.request` raises."""

    def __init__(self, base_url: str, api_key: str, kind: str, **options: Any) -> None:
        """`kind` is the class all of it is about; `options` are those of HttpClient."""
        self.kind = kind
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = HttpClient(base_url, service="Weaviate", refuse=_refusal, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def ensure_class(self, properties: Sequence[Mapping[str, Any]]) -> None:
        """Make the class unless it is there. Raises SettingInvalid where that has no tenants."""
        if self._is_there():
            return
        definition = {
            "class": self.kind,
            "vectorizer": "none",
            "multiTenancyConfig": {"enabled": True},
            "properties": list(properties),
        }
        try:
            self._call("POST", SCHEMA, definition)
        except UpstreamRejected:
            if not self._is_there():  # else somebody has made it at the same time
                raise

    def _is_there(self) -> bool:
        try:
            answer = self._call("GET", f"{SCHEMA}/{self.kind}")
        except UpstreamNotFound:
            return False
        there: _Class = _decoded(answer, _Class)
        if there.multi_tenancy_config is None or not there.multi_tenancy_config.enabled:
            raise SettingInvalid(
                f"The class {self.kind} of Weaviate keeps no tenants apart.",
                fix="Delete it there, since that can't be changed, or set SCAIWAVE_WEAVIATE_URL to "
                "another Weaviate.",
            )
        return True

    def tenants(self) -> set[str]:
        """None where there is no class either."""
        try:
            answer = self._call("GET", f"{SCHEMA}/{self.kind}/tenants")
        except UpstreamNotFound:
            return set()
        return {tenant.name for tenant in _decoded(answer, list[_Tenant])}

    def add_tenant(self, name: str) -> None:
        try:
            self._call("POST", f"{SCHEMA}/{self.kind}/tenants", [{"name": name}])
        except UpstreamRejected:
            if name not in self.tenants():  # else somebody has made it at the same time
                raise

    def keep(self, tenant: str, things: Sequence[WeaviateObject]) -> None:
        """Put objects there, in the place of those with the same ids.

        Raises UpstreamInvalidResponse where one of them is not taken: Weaviate answers 200 then.
        """
        objects = [
            {
                "class": self.kind,
                "tenant": tenant,
                "id": thing.id,
                "properties": thing.properties,
                **({} if thing.vector is None else {"vector": thing.vector}),
            }
            for thing in things
        ]
        answer = self._call("POST", OBJECTS, {"objects": objects})
        kept = _decoded(answer, list[_Kept])
        failed = [one for one in kept if one.result.status != "SUCCESS" or one.result.errors]
        if failed or len(kept) != len(things):
            told = json.dumps(failed[0].result.errors)[:200] if failed else "fewer answers"
            raise _nonsense(f"of {len(things)} objects it has not taken all: {told}")

    def drop(self, tenant: str, ids: Sequence[str]) -> None:
        """Take objects away; those that are not there are no error.

        Raises UpstreamInvalidResponse where one of them stays: Weaviate answers 200 then.
        """
        where = {"path": ["id"], "operator": "ContainsAny", "valueTextArray": list(ids)}
        answer = self._call(
            "DELETE", OBJECTS, {"match": {"class": self.kind, "where": where}}, tenant=tenant
        )
        done: _Drop = _decoded(answer, _Drop)
        if done.results.failed:
            raise _nonsense(f"of {len(ids)} objects it keeps {done.results.failed}")

    def count(self, tenant: str) -> int:
        query = f"{{ Aggregate {{ {self.kind}(tenant: {_text(tenant)}) {{ meta {{ count }} }} }} }}"
        counted = self._asked(query, "Aggregate", _Counted)
        if len(counted) != 1:
            raise _nonsense(f"it counts {len(counted)} times")
        return counted[0].meta.count

    def found(
        self,
        tenant: str,
        words: str,
        vector: Sequence[float] | None,
        *,
        limit: int,
        row: type[Row],
        where: tuple[str, str] | None = None,
    ) -> list[Row]:
        """Those that fit best, with the properties that `row` has as fields; `where` is a property
        and the text it must be."""
        words_only = f"bm25: {{query: {_text(words)}}}"
        both = f"hybrid: {{query: {_text(words)}, vector: {json.dumps(vector)}}}"
        terms = [f"tenant: {_text(tenant)}", f"limit: {limit}", both if vector else words_only]
        if where is not None:
            path, value = where
            terms.append(
                f"where: {{path: [{_text(path)}], operator: Equal, valueText: {_text(value)}}}"
            )
        fields = " ".join(row.__struct_fields__)
        query = f"{{ Get {{ {self.kind}({', '.join(terms)}) {{ {fields} }} }} }}"
        return self._asked(query, "Get", row)

    def _asked(self, query: str, act: str, row: type[Row]) -> list[Row]:
        answer: _Answer = _decoded(self._call("POST", GRAPHQL, {"query": query}), _Answer)
        if answer.errors:
            raise _nonsense(f"it refuses a query: {json.dumps(answer.errors)[:200]}")
        try:
            return msgspec.convert((answer.data or {})[act][self.kind], list[row])  # type: ignore[valid-type]
        except (KeyError, TypeError, msgspec.ValidationError):
            raise _nonsense(f"{act} has other rows than were asked for") from None

    def _call(
        self, method: str, path: str, body: Any = None, *, tenant: str | None = None
    ) -> httpx.Response:
        """Each of our calls may be repeated: it says what is to be there, or gone."""
        return self._http.request(
            method,
            path,
            params={"tenant": tenant} if tenant else None,
            json=body,
            headers=self._headers,
            retry=True,
        )


def weaviate_client(config: Configuration, kind: str, **options: Any) -> WeaviateClient:
    """The client of SCAIWAVE_WEAVIATE_URL. Raises SettingInvalid."""
    url = config.get_url("SCAIWAVE_WEAVIATE_URL")
    return WeaviateClient(url, config.get_str("SCAIWAVE_WEAVIATE_API_KEY"), kind, **options)


def _text(text: str) -> str:
    """A string of GraphQL is one of JSON, but that Weaviate reads no pair of surrogates as one
    character."""
    return json.dumps(text, ensure_ascii=False)


def _refusal(response: httpx.Response, peer: UpstreamServer) -> TranslatedError:
    """As `answers.refusal`, with the reason that Weaviate's own body gives."""
    fault = error_from_response(response, peer)
    try:
        refused = msgspec.json.decode(response.content, type=_Refused)
    except (ValueError, RecursionError):
        return fault
    said = redact("; ".join(reason.message for reason in refused.error), response.request)
    if said:
        fault.error.message = f"{fault.error.message.rstrip('.')}: {said.rstrip('.')}."
        fault.error.args = (fault.error.message,)
    return fault


def _decoded(answer: httpx.Response, kind: Any) -> Any:
    called = f"{answer.request.method} {answer.request.url.path}"
    return decode_response(answer.content, kind, source=called, service="Weaviate")


def _nonsense(what: str) -> UpstreamInvalidResponse:
    return UpstreamInvalidResponse(
        f"Weaviate's answer makes no sense: {what}.",
        fix="Check the version and the log of Weaviate; what was indexed stays so.",
    )
