"""The index in Weaviate, over real HTTP; vectors come from the ScaiGrid of the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings

from rooms.models import RemoteState, SearchDocument
from rooms.queries.search_plan import search_plan
from rooms.search import documents
from rooms.search.base import EventRange
from rooms.search.weaviate import object_id
from rooms.services.search.runs import BackfillOptions
from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.weaviate import WeaviateClient
from scaiwave.config import Configuration
from scaiwave.errors import (
    SettingInvalid,
    UpstreamInvalidResponse,
    UpstreamUnauthorized,
    UpstreamUnreachable,
)
from scaiwave.sandbox import Sandbox
from tests.rooms.search.places import backfill, edit, found, lobby, redact, say
from tests.rooms.search.weaviate_server import Weaviate
from tests.tenants.people import HOST
from tests.tenants.scaikey import registered

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(people=3, tenants=2, partners=1, groups=1),
]


@pytest.fixture
def weaviate() -> Weaviate:
    return Weaviate(key="weaviate-key")


@pytest.fixture
def server(weaviate: Weaviate, sandbox: Sandbox) -> Iterator[Weaviate]:
    """Configured, and with vectors."""
    with weaviate.serving() as loopback:
        configure(sandbox, loopback.origin)
        yield weaviate


@pytest.fixture(autouse=True)
def _own_configuration(settings: Any) -> None:
    """What the tests set is gone after each."""
    settings.CONFIG = settings.CONFIG


def configure(sandbox: Sandbox, url: str, **changes: str) -> Configuration:
    values = {
        "SCAIWAVE_WEAVIATE_URL": url,
        "SCAIWAVE_WEAVIATE_API_KEY": "weaviate-key",
        "SCAIWAVE_SCAIGRID_URL": sandbox.url,
        **changes,
    }
    config = registered(sandbox, **values)
    settings.CONFIG = config
    return config


def test_success_messages_are_objects_with_vectors(server: Weaviate) -> None:
    room = lobby()
    said = say(room, "launch on friday")
    say(room, "hidden launch", do_not_index=True)
    backfill()
    (kept,) = server.tenants[room.tenant_id.hex].values()
    assert kept["id"] == object_id(said.pk)
    assert kept["properties"] == {
        "body": "launch on friday",
        "event_id": str(said.pk),
        "room_id": str(room.pk),
    }
    assert len(kept["vector"]) == 384
    assert server.classes["ScaiwaveMessage"]["multiTenancyConfig"] == {"enabled": True}
    assert found("launch") == [said.pk]
    assert "hybrid: {" in server.queries[-1]
    assert SearchDocument.objects.get().remote == RemoteState.VECTOR


def test_success_edits_replace_and_redactions_remove(server: Weaviate) -> None:
    room = lobby()
    edited, redacted, deleted, kept = (say(room, f"word {number}") for number in range(4))
    backfill()
    edit(edited, "other")
    redact(redacted)
    deleted.delete()
    assert found("word") == [kept.pk]
    (row,) = backfill().tenants
    assert (row["written"], row["removed"], row["stale"]) == (1, 2, 0)
    assert server.bodies(room.tenant_id.hex) == {"other", "word 3"}
    assert found("other") == [edited.pk]


def test_success_tenants_are_apart(server: Weaviate) -> None:
    ours, theirs = lobby(), lobby("globex")
    mine, yours = say(ours, "the same words"), say(theirs, "the same words")
    backfill()
    assert found("same") == [mine.pk]
    assert found("same", tenant="globex") == [yours.pk]
    # Even if Weaviate answered with another tenant's object.
    server.tenants[ours.tenant_id.hex] |= server.tenants[theirs.tenant_id.hex]
    assert found("same") == [mine.pk]


def test_success_in_a_room(server: Weaviate) -> None:
    first, second = lobby(), lobby(room_alias="second")
    say(first, "report")
    said = say(second, "report")
    backfill()
    assert found("report", room="second") == [said.pk]


def test_success_nothing_was_indexed(server: Weaviate) -> None:
    lobby()
    assert found("anything") == []


def test_success_found_by_words_where_embedding_fails(
    server: Weaviate, sandbox: Sandbox, weaviate: Weaviate
) -> None:
    """And with a vector as soon as it works again."""
    with weaviate.serving() as loopback:
        configure(sandbox, loopback.origin, SCAIWAVE_SCAIGRID_EMBEDDING_MODEL="gone")
        said = say(lobby(), "launch")
        assert backfill().wrong == []
        (kept,) = server.tenants[said.tenant_id.hex].values()
        assert "vector" not in kept
        assert SearchDocument.objects.get().remote == RemoteState.TEXT
        assert found("launch") == [said.pk]
        assert "bm25: {" in server.queries[-1]
        configure(sandbox, loopback.origin)
        backfill()
        assert SearchDocument.objects.get().remote == RemoteState.VECTOR


def test_success_without_scaigrid(server: Weaviate, sandbox: Sandbox) -> None:
    with server.serving() as loopback:
        configure(sandbox, loopback.origin, SCAIWAVE_SCAIGRID_URL="")
        said = say(lobby(), 'say "launch"')
        backfill()
        assert found('say "launch"') == [said.pk]


def test_success_what_weaviate_has_lost_is_missing_and_comes_back(server: Weaviate) -> None:
    room = lobby()
    for number in range(3):
        say(room, f"word {number}")
    backfill()
    server.tenants[room.tenant_id.hex].popitem()
    assert backfill().wrong == ["acme"]
    assert backfill(restart=True).wrong == []
    assert len(server.tenants[room.tenant_id.hex]) == 3


def test_success_many_batches(server: Weaviate) -> None:
    room = lobby()
    for number in range(150):
        say(room, f"word {number}")
    backfill()
    assert len(server.tenants[room.tenant_id.hex]) == 150


def test_fail_an_object_is_not_taken(server: Weaviate) -> None:
    server.refused = {"bad"}
    room = lobby()
    say(room, "bad")
    with pytest.raises(UpstreamInvalidResponse, match=r"has not taken all: .*it does not please"):
        backfill()
    assert SearchDocument.objects.get().remote == RemoteState.NOTHING
    server.refused = set()
    done = backfill()
    assert (done.resumed, done.wrong) == (True, [])
    assert server.bodies(room.tenant_id.hex) == {"bad"}


def test_success_an_old_text_goes_although_the_new_one_was_not_taken(server: Weaviate) -> None:
    """Or what was redacted would stay in Weaviate with nothing to tell of it."""
    room = lobby()
    said = say(room, "secret plan")
    backfill()
    edit(said, "bad")
    server.refused = {"bad"}
    with pytest.raises(UpstreamInvalidResponse):
        backfill()
    redact(said)
    backfill()
    assert server.bodies(room.tenant_id.hex) == set()


def test_success_redacted_while_the_range_is_at_work(
    server: Weaviate, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = lobby()
    said = say(room, "secret plan")
    backfill()
    really = documents.upsert

    def write(part: EventRange) -> int:
        redact(said)
        return really(part)

    monkeypatch.setattr(documents, "upsert", write)
    assert backfill().wrong == []
    assert server.bodies(room.tenant_id.hex) == set()


def test_success_weaviate_has_lost_everything(server: Weaviate) -> None:
    room = lobby()
    kept, redacted = say(room, "kept"), say(room, "redacted")
    say(lobby("globex"), "other").delete()
    backfill()
    server.classes.clear()
    server.tenants.clear()
    redact(redacted)
    assert found("kept") == []
    assert backfill(restart=True).wrong == []
    assert found("kept") == [kept.pk]
    assert server.bodies(room.tenant_id.hex) == {"kept"}


def test_success_a_plan_makes_nothing_in_weaviate(server: Weaviate) -> None:
    say(lobby(), "word")
    assert search_plan(operator=HOST, wish=BackfillOptions()).tenants[0]["missing"] == 1
    assert found("word") == []
    assert server.classes == {}


def test_success_somebody_else_makes_class_and_tenant(server: Weaviate) -> None:
    server.overtaken = True
    said = say(lobby(), "word")
    assert backfill().wrong == []
    assert found("word") == [said.pk]


def test_fail_a_class_without_tenants(server: Weaviate) -> None:
    server.classes["ScaiwaveMessage"] = {"class": "ScaiwaveMessage"}
    say(lobby(), "word")
    with pytest.raises(SettingInvalid, match=r"ScaiwaveMessage of Weaviate keeps no tenants apart"):
        backfill()


def test_fail_weaviate_keeps_what_it_should_drop(server: Weaviate) -> None:
    """So the document stays too, and it is tried again."""
    said = say(lobby(), "secret plan")
    backfill()
    redact(said)
    server.clings = True
    with pytest.raises(UpstreamInvalidResponse, match=r"of 1 objects it keeps 1"):
        backfill()
    assert SearchDocument.objects.count() == 1
    assert found("secret") == []
    server.clings = False
    assert backfill().wrong == []
    assert server.bodies(said.tenant_id.hex) == set()


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"data": None},
        {"data": {"Get": None}},
        {"data": {"Get": {"ScaiwaveMessage": None}}},
        {"data": {"Get": {"ScaiwaveMessage": [{}]}}},
        {"data": {"Get": {"ScaiwaveMessage": [{"event_id": "7"}]}}},
        {"data": {}, "errors": [{"message": "no"}]},
    ],
)
def test_fail_nonsense(server: Weaviate, answer: Any) -> None:
    say(lobby(), "word")
    backfill()
    server.says = answer
    with pytest.raises(UpstreamInvalidResponse, match="Weaviate"):
        found("word")
    with pytest.raises(UpstreamInvalidResponse, match="Weaviate"):
        search_plan(operator=HOST, wish=BackfillOptions())


def test_fail_its_reason_is_repeated(server: Weaviate) -> None:
    said = say(lobby(), "word")
    backfill()
    redact(said)
    with (
        WeaviateClient(settings.CONFIG.get_url("SCAIWAVE_WEAVIATE_URL"), server.key, "X") as client,
        pytest.raises(UpstreamRejected, match=r'DELETE /v1/batch/objects: tenant not found: "x"\.'),
    ):
        client.drop("x", [])


def test_success_any_character_is_asked_for(server: Weaviate) -> None:
    """Weaviate reads no pair of surrogates as one character."""
    said = say(lobby(), '𠮷野家 👍 say "x" \\')
    backfill()
    assert found('𠮷野家 "x"') == [said.pk]
    assert 'query: "𠮷野家 \\"x\\""' in server.queries[-1]


def test_fail_key(server: Weaviate) -> None:
    say(lobby(), "word")
    server.key = "another"
    with pytest.raises(UpstreamUnauthorized, match="Weaviate"):
        backfill()


def test_fail_down(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    from scaiwave.clients.http.client import HttpClient
    from scaiwave.clients.http.retry import RetryPolicy

    defaults = HttpClient.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "patience", RetryPolicy(total=0.0, first_contact=0.0))
    configure(sandbox, "http://127.0.0.1:1")
    say(lobby(), "word")
    with pytest.raises(UpstreamUnreachable, match="Weaviate"):
        backfill()
