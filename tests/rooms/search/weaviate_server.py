"""A Weaviate of our own on loopback: classes, tenants, objects, and a search by words.

It reads the few queries that we send, and refuses what the real one would: an unknown class or
tenant, an object without a tenant, vectors of another length.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from tests.scaiwave.clients.loopback import Asked, Loopback, Said, say

_TENANT = re.compile(r'tenant: "(.*?)"')
_QUERY = re.compile(r'query: ("(?:[^"\\]|\\.)*")')
_ROOM = re.compile(r'path: \["room_id"\], operator: Equal, valueText: "(.*?)"')
_LIMIT = re.compile(r"limit: (\d+)")


@dataclass
class Weaviate:
    key: str = ""
    classes: dict[str, Any] = field(default_factory=dict)
    tenants: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    """Bodies that it does not take."""
    clings: bool = False
    """It keeps what it should drop."""
    says: Any = None
    """Its answer to every query, whatever that is."""
    overtaken: bool = False
    """Somebody else makes each class and tenant a moment before us."""
    queries: list[str] = field(default_factory=list)

    def serving(self) -> Loopback:
        return Loopback(self.answer)

    def answer(self, asked: Asked) -> Said:
        if self.key and asked.headers.get("authorization") != f"Bearer {self.key}":
            return say({"error": [{"message": "anonymous access not enabled"}]}, status=401)
        body: Any = json.loads(asked.body) if asked.body else None
        place = asked.path.removeprefix("/v1/")
        if place.startswith("schema"):
            return self.schema(asked.method, place.split("/")[1:], body)
        if (asked.method, place) == ("POST", "batch/objects"):
            return say([self.take(one) for one in body["objects"]])
        if (asked.method, place) == ("DELETE", "batch/objects"):
            return self.drop(asked.query["tenant"], body["match"]["where"]["valueTextArray"])
        return say(self.ask(body["query"]) if self.says is None else self.says)

    def schema(self, method: str, place: list[str], body: Any) -> Said:
        match method, place:
            case "GET", [name]:
                there = self.classes.get(name)
                return say(there) if there else say({}, status=404)
            case "GET", [name, "tenants"]:
                if name not in self.classes:
                    return say({}, status=404)
                return say([{"name": name} for name in self.tenants])
            case "POST", []:
                there, self.classes[body["class"]] = self.classes.get(body["class"]), body
                if there or self.overtaken:
                    return _no(f"class name {body['class']} already exists")
            case _:
                self.tenants |= {one["name"]: self.tenants.get(one["name"], {}) for one in body}
                if self.overtaken:
                    return _no("tenant already exists")
        return say(body)

    def drop(self, tenant: str, keys: list[str]) -> Said:
        if tenant not in self.tenants:
            return _no(f'tenant not found: "{tenant}"')
        there = [key for key in keys if key in self.tenants[tenant]]
        for key in () if self.clings else there:
            del self.tenants[tenant][key]
        failed = len(there) if self.clings else 0
        results = {"matches": len(there), "failed": failed, "successful": len(there) - failed}
        return say({"results": {**results, "limit": 10000, "objects": None}})

    def take(self, one: dict[str, Any]) -> dict[str, Any]:
        objects = self.tenants.get(one["tenant"])
        if objects is None or one["class"] not in self.classes:
            return _failed("tenant not found")
        if one["properties"]["body"] in self.refused:
            return _failed("it does not please")
        lengths = {len(there["vector"]) for there in objects.values() if there.get("vector")}
        if one.get("vector") and lengths - {len(one["vector"])}:
            return _failed("vector lengths don't match")
        objects[one["id"]] = one
        return {"result": {"status": "SUCCESS"}}

    def ask(self, query: str) -> dict[str, Any]:
        self.queries.append(query)
        (name,) = self.classes
        tenant = _TENANT.search(query)
        if tenant is None or tenant[1] not in self.tenants:
            return {"data": None, "errors": [{"message": "tenant not found"}]}
        objects = self.tenants[tenant[1]].values()
        if "Aggregate" in query:
            return {"data": {"Aggregate": {name: [{"meta": {"count": len(objects)}}]}}}
        words = set(json.loads(_QUERY.search(query)[1]).lower().split())  # type: ignore[index]
        room, limit = _ROOM.search(query), int(_LIMIT.search(query)[1])  # type: ignore[index]
        rows = [
            one["properties"]
            for one in objects
            if words & set(one["properties"]["body"].lower().split())
            and (room is None or one["properties"]["room_id"] == room[1])
        ]
        return {"data": {"Get": {name: rows[:limit]}}}

    def bodies(self, tenant: str) -> set[str]:
        return {one["properties"]["body"] for one in self.tenants.get(tenant, {}).values()}


def _no(why: str) -> Said:
    return say({"error": [{"message": why}]}, status=422)


def _failed(why: str) -> dict[str, Any]:
    return {"result": {"status": "FAILED", "errors": {"error": [{"message": why}]}}}
