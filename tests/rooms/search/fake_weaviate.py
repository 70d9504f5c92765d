"""A fake Weaviate server on loopback: classes, tenants, objects, and a search by words.

It understands the few queries of the suite, and refuses what Weaviate refuses: an unknown class or
tenant, an object without a tenant, vectors of another length.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tests.scaiwave.clients.raw_socket_server import (
    RawRequest,
    RawResponse,
    RawServer,
    make_response,
)

# Commas and spaces are as good as nothing in GraphQL.
_TENANT = re.compile(r'tenant: *"(.*?)"')
_QUERY = re.compile(r'query: *("(?:[^"\\]|\\.)*")')
_ROOM = re.compile(r'path: *\["room_id"\][,\s]*operator: *Equal[,\s]*valueText: *"(.*?)"')
_LIMIT = re.compile(r"limit: *(\d+)")


@dataclass
class FakeWeaviate:
    key: str = ""
    classes: dict[str, Any] = field(default_factory=dict)
    tenants: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    """Bodies that it does not accept."""
    keeps_deleted: bool = False
    """It reports that deletions failed."""
    response: Any = None
    """Its response to every query, if not None."""
    has_competitor: bool = False
    """Another client creates each class and tenant a moment before us."""
    queries: list[str] = field(default_factory=list)

    def serve(self) -> RawServer:
        return RawServer(self.respond)

    def respond(self, request: RawRequest) -> RawResponse:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return make_response(
                {"code": 401, "message": "anonymous access not enabled"}, status=401
            )
        body: Any = json.loads(request.body) if request.body else None
        path = request.path.removeprefix("/v1/")
        if path in (".well-known/ready", ".well-known/live"):
            return make_response(b"")
        if path == "meta":
            return make_response({"hostname": "http://127.0.0.1", "version": "1.40.0"})
        if path.startswith("objects"):
            return self.read_objects(request.query["tenant"], path.split("/")[1:])
        if path.startswith("schema"):
            return self.handle_schema(request.method, path.split("/")[1:], body)
        if (request.method, path) == ("POST", "batch/objects"):
            return make_response([self.store(item) for item in body["objects"]])
        if (request.method, path) == ("DELETE", "batch/objects"):
            return self.delete(request.query["tenant"], body["match"]["where"]["valueTextArray"])
        return make_response(self.search(body["query"]) if self.response is None else self.response)

    def handle_schema(self, method: str, path: list[str], body: Any) -> RawResponse:
        match method, path:
            case "GET", [name]:
                stored = self.classes.get(name)
                return make_response(stored) if stored else make_response({}, status=404)
            case "GET", [name, "tenants"]:
                if name not in self.classes:
                    return _build_error(f'class "{name}" not found')
                return make_response([{"name": name} for name in self.tenants])
            case "DELETE", [name, "tenants"]:
                for tenant in body:
                    del self.tenants[tenant]
            case "POST", []:
                existing, self.classes[body["class"]] = self.classes.get(body["class"]), body
                if existing or self.has_competitor:
                    return _build_error(f"class name {body['class']} already exists")
            case _:
                self.tenants |= {item["name"]: self.tenants.get(item["name"], {}) for item in body}
                if self.has_competitor:
                    return _build_error("tenant already exists")
        return make_response(body)

    def read_objects(self, tenant: str, path: list[str]) -> RawResponse:
        """Return an object by class and id, or all of a tenant."""
        objects = self.tenants.get(tenant, {})
        if not path:
            stored = list(objects.values())
            return make_response({"objects": stored, "totalResults": len(stored)})
        found = objects.get(path[-1])
        return make_response(found) if found else make_response(b"", status=404)

    def delete(self, tenant: str, keys: list[str]) -> RawResponse:
        if tenant not in self.tenants:
            return _build_error(f'tenant not found: "{tenant}"')
        matches = [key for key in keys if key in self.tenants[tenant]]
        for key in () if self.keeps_deleted else matches:
            del self.tenants[tenant][key]
        failed = len(matches) if self.keeps_deleted else 0
        results = {"matches": len(matches), "failed": failed, "successful": len(matches) - failed}
        return make_response({"results": {**results, "limit": 10000}})

    def store(self, item: dict[str, Any]) -> dict[str, Any]:
        objects = self.tenants.get(item["tenant"])
        if objects is None or item["class"] not in self.classes:
            return _build_failure("tenant not found")
        if item["properties"]["body"] in self.refused:
            return _build_failure("not accepted")
        lengths = {len(stored["vector"]) for stored in objects.values() if stored.get("vector")}
        if item.get("vector") and lengths - {len(item["vector"])}:
            return _build_failure("vector lengths don't match")
        objects[item["id"]] = item
        return {"result": {"status": "SUCCESS"}}

    def search(self, query: str) -> dict[str, Any]:
        self.queries.append(query)
        (name,) = self.classes
        tenant = _TENANT.search(query)
        if tenant is None or tenant[1] not in self.tenants:
            operation = "Aggregate" if "Aggregate" in query else "Get"
            return {"data": {operation: {name: None}}, "errors": [{"message": "tenant not found"}]}
        objects = self.tenants[tenant[1]].values()
        if "Aggregate" in query:
            return {"data": {"Aggregate": {name: [{"meta": {"count": len(objects)}}]}}}
        words = set(json.loads(_QUERY.search(query)[1]).lower().split())  # type: ignore[index]
        room, limit = _ROOM.search(query), int(_LIMIT.search(query)[1])  # type: ignore[index]
        rows = [
            item["properties"]
            for item in objects
            if words & set(item["properties"]["body"].lower().split())
            and (room is None or item["properties"]["room_id"] == room[1])
        ]
        return {"data": {"Get": {name: rows[:limit]}}}

    def get_bodies(self, tenant: str) -> set[str]:
        return {item["properties"]["body"] for item in self.tenants.get(tenant, {}).values()}


def _build_error(reason: str) -> RawResponse:
    return make_response({"error": [{"message": reason}]}, status=422)


def _build_failure(reason: str) -> dict[str, Any]:
    return {"result": {"status": "FAILED", "errors": {"error": [{"message": reason}]}}}
