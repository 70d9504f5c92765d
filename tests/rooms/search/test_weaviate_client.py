"""Our fake Weaviate, and what we send to it, judged by Weaviate's own client for Python.

The client is of version 3, the last one that searches by GraphQL, as the suite does: later ones use
gRPC. What one of the two writes the other must find.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from rooms.models import Event
from rooms.search.weaviate import PROPERTIES, FoundMessage, get_object_id
from scaiwave.clients.weaviate import WeaviateClient
from scaiwave.sandbox import Sandbox
from tests.rooms.search.factories import backfill, find_event_ids, make_lobby, make_message
from tests.rooms.search.fake_weaviate import FakeWeaviate
from tests.rooms.search.test_weaviate import configure

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(people=3, tenants=2, partners=1, groups=1),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:weaviate"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
CLASS = "ScaiwaveMessage"
KEY = "weaviate-key"


@pytest.fixture(autouse=True)
def _own_configuration(settings: Any) -> None:
    """Restore the configuration after each test."""
    settings.CONFIG = settings.CONFIG


@pytest.fixture
def origin(sandbox: Sandbox) -> Iterator[str]:
    with FakeWeaviate(key=KEY).serve() as loopback:
        configure(sandbox, loopback.origin)
        yield loopback.origin


@pytest.fixture
def official(origin: str) -> Any:
    import weaviate

    return weaviate.Client(origin, auth_client_secret=weaviate.AuthApiKey(KEY))


def list_ids(response: dict[str, Any]) -> set[str]:
    assert "errors" not in response, response
    return {row["event_id"] for row in response["data"]["Get"][CLASS]}


def test_success_the_official_client_finds_what_the_suite_wrote(official: Any) -> None:
    room, other = make_lobby(), make_lobby(room_alias="second")
    message = make_message(room, "launch on friday")
    second = make_message(other, "launch of another room")
    backfill()
    tenant = room.tenant_id.hex
    assert official.schema.exists(CLASS)
    assert official.schema.get(CLASS)["multiTenancyConfig"]["enabled"] is True
    assert [each.name for each in official.schema.get_class_tenants(CLASS)] == [tenant]
    stored = official.data_object.get_by_id(
        get_object_id(message.pk), class_name=CLASS, tenant=tenant, with_vector=True
    )
    assert stored["properties"]["body"] == "launch on friday"
    assert len(stored["vector"]) == 384
    search = official.query.get(CLASS, ["event_id"]).with_tenant(tenant).with_limit(10)
    both = {str(message.pk), str(second.pk)}
    assert list_ids(search.with_bm25("launch").do()) == both
    in_room = {"path": ["room_id"], "operator": "Equal", "valueText": str(room.pk)}
    search = official.query.get(CLASS, ["event_id"]).with_tenant(tenant).with_limit(10)
    found = search.with_hybrid("launch", vector=stored["vector"]).with_where(in_room).do()
    assert list_ids(found) == {str(message.pk)}
    counted = official.query.aggregate(CLASS).with_tenant(tenant).with_meta_count().do()
    assert counted["data"]["Aggregate"][CLASS] == [{"meta": {"count": 2}}]


def write_with_official(official: Any, event: Event, body: str) -> None:
    import weaviate

    tenant = event.tenant_id.hex
    official.schema.create_class(
        {
            "class": CLASS,
            "vectorizer": "none",
            "multiTenancyConfig": {"enabled": True},
            "properties": [dict(each) for each in PROPERTIES],
        }
    )
    official.schema.add_class_tenants(CLASS, [weaviate.Tenant(name=tenant)])
    # Without a thread that asks for the state of nodes.
    with official.batch.configure(batch_size=1, dynamic=False) as batch:
        batch.add_data_object(
            {"body": body, "event_id": str(event.pk), "room_id": str(event.room_id)},
            CLASS,
            uuid=get_object_id(event.pk),
            vector=[0.5] * 384,
            tenant=tenant,
        )


def test_success_the_suite_finds_what_the_official_client_wrote(official: Any, origin: str) -> None:
    event = make_message(make_lobby(), "launch on friday")
    tenant = event.tenant_id.hex
    write_with_official(official, event, "launch on friday")
    with WeaviateClient(origin, KEY, CLASS) as client:
        client.ensure_class(PROPERTIES)
        assert client.list_tenants() == {tenant}
        assert client.count(tenant) == 1
        rows = client.search(tenant, "launch", [0.5] * 384, limit=5, row=FoundMessage)
        assert [row.event_id for row in rows] == [event.pk]
        client.delete(tenant, [get_object_id(event.pk)])
        assert client.count(tenant) == 0
    assert official.data_object.get(class_name=CLASS, tenant=tenant)["objects"] == []


def test_success_objects_that_the_official_client_deletes_are_written_again(official: Any) -> None:
    event = make_message(make_lobby(), "launch on friday")
    backfill()
    where = {"path": ["id"], "operator": "ContainsAny", "valueTextArray": [get_object_id(event.pk)]}
    result = official.batch.delete_objects(CLASS, where, tenant=event.tenant_id.hex)
    assert result["results"]["successful"] == 1
    assert find_event_ids("launch") == []
    (row,) = backfill(restart=True).figures["tenants"]
    assert row["missing"] == 0
    assert find_event_ids("launch") == [event.pk]


def test_fail_a_tenant_that_does_not_exist(official: Any) -> None:
    make_message(make_lobby(), "launch on friday")
    backfill()
    response = official.query.get(CLASS, ["event_id"]).with_tenant("x").with_bm25("launch").do()
    assert response["errors"][0]["message"] == "tenant not found"
