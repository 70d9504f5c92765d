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
            for key in body["match"]["where"]["valueTextArray"]:
                self.tenants[asked.query["tenant"]].pop(key, None)
            return say({})
        return say(self.ask(body["query"]))

    def schema(self, method: str, place: list[str], body: Any) -> Said:
        match method, place:
            case "GET", [name]:
                there = self.classes.get(name)
                return say(there) if there else say({}, status=404)
            case "GET", [_, "tenants"]:
                return say([{"name": name} for name in self.tenants])
            case "POST", []:
                self.classes[body["class"]] = body
            case _:
                self.tenants |= {one["name"]: self.tenants.get(one["name"], {}) for one in body}
        return say(body)

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


def _failed(why: str) -> dict[str, Any]:
    return {"result": {"status": "FAILED", "errors": {"error": [{"message": why}]}}}
