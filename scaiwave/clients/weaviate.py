"""The client for Weaviate, the search server (Weaviate docs, api/rest and api/graphql).

One class with multi-tenancy: every call names the tenant, and Weaviate keeps each in a shard of
its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

import httpx
import msgspec

from scaiwave.clients.http import HttpClient
from scaiwave.clients.pages import decode_answer
from scaiwave.config import Configuration
from scaiwave.errors import UpstreamNonsense, UpstreamNotFound

SCHEMA = "/v1/schema"
OBJECTS = "/v1/batch/objects"
GRAPHQL = "/v1/graphql"


class Thing(msgspec.Struct, kw_only=True, frozen=True):
    """An object to be kept; without a vector it is found by its words alone."""

    id: str
    properties: dict[str, str]
    vector: list[float] | None = None


class _Tenant(msgspec.Struct):
    name: str


class _Result(msgspec.Struct):
    status: str = "SUCCESS"
    errors: Any = None


class _Kept(msgspec.Struct):
    result: _Result = msgspec.field(default_factory=_Result)


class _Answer(msgspec.Struct):
    data: dict[str, Any] | None = None
    errors: Any = None


class WeaviateClient:
    """Close it, or use it in a `with`. Every call may raise what `HttpClient.request` raises."""

    def __init__(self, base_url: str, api_key: str, kind: str, **options: Any) -> None:
        """`kind` is the class all of it is about; `options` are those of HttpClient."""
        self.kind = kind
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = HttpClient(base_url, service="Weaviate", **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def ensure_class(self, properties: Sequence[Mapping[str, Any]]) -> None:
        """Make the class unless it is there."""
        try:
            self._call("GET", f"{SCHEMA}/{self.kind}")
        except UpstreamNotFound:
            definition = {
                "class": self.kind,
                "vectorizer": "none",
                "multiTenancyConfig": {"enabled": True},
                "properties": list(properties),
            }
            self._call("POST", SCHEMA, definition)

    def tenants(self) -> set[str]:
        answer = self._call("GET", f"{SCHEMA}/{self.kind}/tenants")
        return {tenant.name for tenant in _decoded(answer, list[_Tenant])}

    def add_tenant(self, name: str) -> None:
        self._call("POST", f"{SCHEMA}/{self.kind}/tenants", [{"name": name}])

    def keep(self, tenant: str, things: Sequence[Thing]) -> None:
        """Put objects there, in the place of those with the same ids.

        Raises UpstreamNonsense where one of them is not taken: Weaviate answers 200 then.
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
        """Take objects away; those that are not there are no error."""
        where = {"path": ["id"], "operator": "ContainsAny", "valueTextArray": list(ids)}
        self._call(
            "DELETE", OBJECTS, {"match": {"class": self.kind, "where": where}}, tenant=tenant
        )

    def count(self, tenant: str) -> int:
        query = f"{{ Aggregate {{ {self.kind}(tenant: {_text(tenant)}) {{ meta {{ count }} }} }} }}"
        return int(self._asked(query, "Aggregate")[0]["meta"]["count"])

    def found(
        self,
        tenant: str,
        words: str,
        vector: Sequence[float] | None,
        *,
        limit: int,
        fields: Sequence[str],
        where: tuple[str, str] | None = None,
    ) -> list[dict[str, Any]]:
        """The fields of those that fit best; `where` is a property and the text it must be."""
        words_only = f"bm25: {{query: {_text(words)}}}"
        both = f"hybrid: {{query: {_text(words)}, vector: {json.dumps(vector)}}}"
        terms = [f"tenant: {_text(tenant)}", f"limit: {limit}", both if vector else words_only]
        if where is not None:
            path, value = where
            terms.append(
                f"where: {{path: [{_text(path)}], operator: Equal, valueText: {_text(value)}}}"
            )
        query = f"{{ Get {{ {self.kind}({', '.join(terms)}) {{ {' '.join(fields)} }} }} }}"
        return self._asked(query, "Get")

    def _asked(self, query: str, act: str) -> list[dict[str, Any]]:
        answer: _Answer = _decoded(self._call("POST", GRAPHQL, {"query": query}), _Answer)
        if answer.errors:
            raise _nonsense(f"it refuses a query: {json.dumps(answer.errors)[:200]}")
        try:
            rows: list[dict[str, Any]] = (answer.data or {})[act][self.kind]
        except (KeyError, TypeError):
            raise _nonsense(f"{act} has no rows") from None
        return rows

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


def connect_weaviate(config: Configuration, kind: str, **options: Any) -> WeaviateClient:
    """The client of SCAIWAVE_WEAVIATE_URL. Raises SettingInvalid."""
    url = config.url("SCAIWAVE_WEAVIATE_URL")
    return WeaviateClient(url, config.text("SCAIWAVE_WEAVIATE_API_KEY"), kind, **options)


def _text(text: str) -> str:
    """A string of GraphQL is one of JSON."""
    return json.dumps(text)


def _decoded(answer: httpx.Response, kind: Any) -> Any:
    called = f"{answer.request.method} {answer.request.url.path}"
    return decode_answer(answer.content, kind, called=called, service="Weaviate")


def _nonsense(what: str) -> UpstreamNonsense:
    return UpstreamNonsense(
        f"Weaviate's answer makes no sense: {what}.",
        fix="Check the version and the log of Weaviate; what was indexed stays so.",
    )
