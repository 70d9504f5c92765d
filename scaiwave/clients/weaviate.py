"""The client for Weaviate, the search server (Weaviate docs, api/rest and api/graphql).

One class with multi-tenancy: every request names the tenant, and Weaviate stores each tenant in its
own shard.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, Unpack

import httpx
import msgspec

from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.http.client import ClientOptions, HttpClient, ServiceClient
from scaiwave.clients.http.exceptions import TranslatedError, UpstreamServer
from scaiwave.clients.http.responses import (
    add_detail,
    error_from_response,
    redact,
    wrong_path_error,
)
from scaiwave.clients.scaikey.decoding import decode_answer
from scaiwave.config import Configuration
from scaiwave.core.errors import SettingInvalid, UpstreamInvalidResponse, UpstreamNotFound

META = "/v1/meta"
SCHEMA = "/v1/schema"
OBJECTS = "/v1/batch/objects"
GRAPHQL = "/v1/graphql"
ROUTES = (META, SCHEMA, OBJECTS, GRAPHQL)
"""Every Weaviate has these."""


class WeaviateObject(msgspec.Struct, kw_only=True, frozen=True):
    """An object to store; without a vector it is found by its words alone."""

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
    errors: object = None


class _UpsertedObject(msgspec.Struct):
    result: _Result = msgspec.field(default_factory=_Result)


class _DeleteCounts(msgspec.Struct):
    failed: int = 0


class _DeleteResponse(msgspec.Struct):
    results: _DeleteCounts


class _GraphQLResponse(msgspec.Struct):
    data: dict[str, Any] | None = None
    errors: object = None


class _Meta(msgspec.Struct):
    count: int


class _AggregateRow(msgspec.Struct):
    meta: _Meta


class _ErrorMessage(msgspec.Struct):
    message: str


class _ErrorBody(msgspec.Struct):
    error: list[_ErrorMessage]


class WeaviateClient(ServiceClient):
    """Close it, or use it in a `with`. Methods may raise what `HttpClient.request` raises."""

    def __init__(
        self, base_url: str, api_key: str, class_name: str, **options: Unpack[ClientOptions]
    ) -> None:
        """`class_name` is Weaviate's class of all objects; `options` are passed to HttpClient."""
        self.class_name = class_name
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.http = HttpClient(
            base_url, service="Weaviate", translate_response=_error_from_response, **options
        )

    def ensure_class(self, properties: Sequence[Mapping[str, object]]) -> None:
        """Create the class unless it exists. Raises SettingInvalid if it has no multi-tenancy."""
        if self._class_exists():
            return
        definition = {
            "class": self.class_name,
            "vectorizer": "none",
            "multiTenancyConfig": {"enabled": True},
            "properties": list(properties),
        }
        try:
            self._request("POST", SCHEMA, definition)
        except UpstreamRejected:
            if not self._class_exists():  # Another process may have created it.
                raise

    def _class_exists(self) -> bool:
        try:
            response = self._request("GET", f"{SCHEMA}/{self.class_name}")
        except UpstreamNotFound:
            self._request("GET", META)  # Raises UpstreamInvalidResponse if not Weaviate answers.
            return False
        schema: _Class = _decode(response, _Class)
        if schema.multi_tenancy_config is None or not schema.multi_tenancy_config.enabled:
            raise SettingInvalid(
                f"The Weaviate class {self.class_name} has no multi-tenancy.",
                fix="Delete the class in Weaviate, since this can't be changed, or set "
                "SCAIWAVE_WEAVIATE_URL to another Weaviate.",
            )
        return True

    def list_tenants(self) -> set[str]:
        """Return the names of the tenants; none if the class does not exist.

        For a class that does not exist, Weaviate's description of its API has no 404 here, but 422
        (Weaviate docs, api/rest, schema.objects.tenants.get).
        """
        try:
            response = self._request("GET", f"{SCHEMA}/{self.class_name}/tenants")
        except UpstreamNotFound:
            self._request("GET", META)
            return set()
        except UpstreamRejected:
            if self._class_exists():
                raise
            return set()
        return {tenant.name for tenant in _decode(response, list[_Tenant])}

    def add_tenant(self, name: str) -> None:
        try:
            self._request("POST", f"{SCHEMA}/{self.class_name}/tenants", [{"name": name}])
        except UpstreamRejected:
            if name not in self.list_tenants():  # Another process may have created it.
                raise

    def remove_tenant(self, name: str) -> None:
        """Delete a tenant with its objects (Weaviate docs, api/rest, schema.tenants.delete)."""
        self._request("DELETE", f"{SCHEMA}/{self.class_name}/tenants", [name])

    def upsert(self, tenant: str, objects: Sequence[WeaviateObject]) -> None:
        """Store objects, and replace those with the same ids.

        Raises UpstreamInvalidResponse if one was not stored: Weaviate responds with 200 then.
        """
        documents = [
            {
                "class": self.class_name,
                "tenant": tenant,
                "id": item.id,
                "properties": item.properties,
                **({} if item.vector is None else {"vector": item.vector}),
            }
            for item in objects
        ]
        response = self._request("POST", OBJECTS, {"objects": documents})
        results = _decode(response, list[_UpsertedObject])
        failed = [item for item in results if item.result.status != "SUCCESS" or item.result.errors]
        if failed or len(results) != len(objects):
            reason = json.dumps(failed[0].result.errors)[:200] if failed else "fewer results"
            raise _invalid_response_error(
                f"not all of {len(objects)} objects were stored: {reason}"
            )

    def delete(self, tenant: str, ids: Sequence[str]) -> None:
        """Delete objects, and ignore IDs that do not exist.

        Raises UpstreamInvalidResponse if one was not deleted: Weaviate responds with 200 then.
        """
        where = {"path": ["id"], "operator": "ContainsAny", "valueTextArray": list(ids)}
        response = self._request(
            "DELETE", OBJECTS, {"match": {"class": self.class_name, "where": where}}, tenant=tenant
        )
        deletion: _DeleteResponse = _decode(response, _DeleteResponse)
        if deletion.results.failed:
            raise _invalid_response_error(
                f"{deletion.results.failed} of {len(ids)} objects were not deleted"
            )

    def count(self, tenant: str) -> int:
        source = f"{self.class_name}(tenant: {_quote(tenant)})"
        query = f"{{ Aggregate {{ {source} {{ meta {{ count }} }} }} }}"
        rows = self._query(query, "Aggregate", _AggregateRow)
        if len(rows) != 1:
            raise _invalid_response_error(f"{len(rows)} counts instead of one")
        return rows[0].meta.count

    def search(
        self,
        tenant: str,
        words: str,
        vector: Sequence[float] | None,
        *,
        limit: int,
        row: type[Row],
        where: tuple[str, str] | None = None,
    ) -> list[Row]:
        """Return the best matches, with the properties that are fields of `row`.

        `where` is a property and the text that it must be.
        """
        by_words = f"bm25: {{query: {_quote(words)}}}"
        by_both = f"hybrid: {{query: {_quote(words)}, vector: {json.dumps(vector)}}}"
        terms = [f"tenant: {_quote(tenant)}", f"limit: {limit}", by_both if vector else by_words]
        if where is not None:
            path, value = where
            terms.append(
                f"where: {{path: [{_quote(path)}], operator: Equal, valueText: {_quote(value)}}}"
            )
        fields = " ".join(row.__struct_fields__)
        query = f"{{ Get {{ {self.class_name}({', '.join(terms)}) {{ {fields} }} }} }}"
        return self._query(query, "Get", row)

    def _query(self, query: str, operation: str, row: type[Row]) -> list[Row]:
        response: _GraphQLResponse = _decode(
            self._request("POST", GRAPHQL, {"query": query}), _GraphQLResponse
        )
        if response.errors:
            raise _invalid_response_error(
                f"a query was rejected: {json.dumps(response.errors)[:200]}"
            )
        try:
            return msgspec.convert((response.data or {})[operation][self.class_name], list[row])  # type: ignore[valid-type]
        except (KeyError, TypeError, msgspec.ValidationError):
            raise _invalid_response_error(f"{operation} has rows of another form") from None

    def _request(
        self, method: str, path: str, body: object = None, *, tenant: str | None = None
    ) -> httpx.Response:
        """Send a request. All may be repeated: they state what should exist, or not."""
        return self.http.request(
            method,
            path,
            params={"tenant": tenant} if tenant else None,
            json=body,
            headers=self._headers,
            retry=True,
        )


def weaviate_client(
    config: Configuration, class_name: str, **options: Unpack[ClientOptions]
) -> WeaviateClient:
    """Build the client of this server's configuration. Raises SettingInvalid."""
    url = config.get_url("SCAIWAVE_WEAVIATE_URL")
    return WeaviateClient(url, config.get_str("SCAIWAVE_WEAVIATE_API_KEY"), class_name, **options)


def _quote(text: str) -> str:
    """Return a string literal of GraphQL: a JSON string, but without surrogate pairs, which
    Weaviate does not combine."""
    return json.dumps(text, ensure_ascii=False)


def _error_from_response(response: httpx.Response, peer: UpstreamServer) -> TranslatedError:
    """Extend `error_from_response` by the reason that Weaviate's body states.

    A 404 for a path that names no class means that the configured address is wrong.
    """
    if response.status_code == 404 and response.request.url.path.endswith(ROUTES):
        return TranslatedError(error=wrong_path_error(response, peer))
    fault = error_from_response(response, peer)
    try:
        body = msgspec.json.decode(response.content, type=_ErrorBody)
    except (ValueError, RecursionError):
        return fault
    detail = redact("; ".join(reason.message for reason in body.error), response.request)
    if detail:
        add_detail(fault.error, detail)
    return fault


_decode = partial(decode_answer, service="Weaviate")


def _invalid_response_error(problem: str) -> UpstreamInvalidResponse:
    return UpstreamInvalidResponse(
        f"Weaviate returned an invalid response: {problem}.",
        fix="Check the version and the log of Weaviate. Indexed events remain.",
    )
