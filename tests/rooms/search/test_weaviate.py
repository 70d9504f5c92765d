"""The index in Weaviate, over real HTTP; vectors come from the sandbox's ScaiGrid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from rooms.erasure.places import STORES
from rooms.errors import SearchNotIndexed
from rooms.lifecycle.delete_room import delete_room
from rooms.models import Event, RemoteState, SearchDocument
from rooms.moves.abort_import import abort_tenant_import
from rooms.people.erase_messages import erase_messages
from rooms.retention.policies import PolicyValues, set_retention
from rooms.retention.run_retention import run_retention
from rooms.search import documents
from rooms.search.base import EventRange
from rooms.search.queries import BackfillOptions, get_search_plan, search_rooms
from rooms.search.weaviate import get_object_id
from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.weaviate import WeaviateClient
from scaiwave.config import Configuration, load
from scaiwave.core.errors import (
    ScaiWaveError,
    SettingInvalid,
    UpstreamInvalidResponse,
    UpstreamUnauthorized,
    UpstreamUnreachable,
)
from scaiwave.core.mentions import ErasedTenant, Mentions
from scaiwave.operations.doctor.rooms import judge_backlog
from scaiwave.sandbox import Sandbox
from tenants.models import Tenant
from tests.rooms.moves.factories import bring, export, leave, make_moving_tenant
from tests.rooms.search.factories import (
    NOW,
    backfill,
    edit_message,
    find_event_ids,
    list_mismatched,
    make_lobby,
    make_message,
    redact_message,
)
from tests.rooms.search.fake_weaviate import FakeWeaviate
from tests.scaiwave.row_factories import make_participant
from tests.tenants.factories import HOST_OPERATOR
from tests.tenants.fake_scaikey import make_config

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.sandbox(people=3, tenants=2, partners=1, groups=1),
]


@pytest.fixture
def weaviate() -> FakeWeaviate:
    return FakeWeaviate(key="weaviate-key")


@pytest.fixture
def server(weaviate: FakeWeaviate, sandbox: Sandbox) -> Iterator[FakeWeaviate]:
    """Configure Weaviate, with vectors."""
    with weaviate.serve() as loopback:
        configure(sandbox, loopback.origin)
        yield weaviate


@pytest.fixture(autouse=True)
def _own_configuration(settings: Any) -> None:
    """Restore the configuration after each test."""
    settings.CONFIG = settings.CONFIG


def configure(sandbox: Sandbox, url: str, **variables: str) -> Configuration:
    values = {
        "SCAIWAVE_WEAVIATE_URL": url,
        "SCAIWAVE_WEAVIATE_API_KEY": "weaviate-key",
        "SCAIWAVE_SCAIGRID_URL": sandbox.url,
        **variables,
    }
    config = make_config(sandbox, **values)
    settings.CONFIG = config
    return config


def test_success_a_tenant_is_removed_with_its_objects(server: FakeWeaviate) -> None:
    room = make_lobby()
    make_message(room, "launch on friday")
    backfill()
    subject = ErasedTenant(room.tenant_id, Mentions(()))
    store = STORES[0]
    assert (store.name, store.count(subject)) == ("search server", 1)
    server.tenants["other"] = {}
    for _ in range(2):
        store.erase(subject)
        assert (store.count(subject), list(server.tenants)) == (0, ["other"])


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("media_root")
@pytest.mark.usefixtures("media_root")
def test_success_an_aborted_import_leaves_no_objects(server: FakeWeaviate, tmp_path: Path) -> None:
    export(source := make_moving_tenant(events=12), tmp_path / "out")
    leave(source)
    bring(tmp_path / "out")
    backfill()
    here = Tenant.objects.get(slug="moved")
    assert here.pk.hex in server.tenants
    abort_tenant_import(operator=HOST_OPERATOR, slug="moved", now=NOW)
    assert here.pk.hex not in server.tenants
    assert not SearchDocument.objects.filter(tenant=here).exists()


def test_success_messages_are_objects_with_vectors(server: FakeWeaviate) -> None:
    room = make_lobby()
    message = make_message(room, "launch on friday")
    make_message(room, "hidden launch", do_not_index=True)
    backfill()
    (stored,) = server.tenants[room.tenant_id.hex].values()
    assert stored["id"] == get_object_id(message.pk)
    assert stored["properties"] == {
        "body": "launch on friday",
        "event_id": str(message.pk),
        "room_id": str(room.pk),
    }
    assert len(stored["vector"]) == 384
    assert server.classes["ScaiwaveMessage"]["multiTenancyConfig"] == {"enabled": True}
    assert find_event_ids("launch") == [message.pk]
    assert "hybrid: {" in server.queries[-1]
    assert SearchDocument.objects.get().remote == RemoteState.VECTOR


def test_success_edits_replace_and_redactions_remove(server: FakeWeaviate) -> None:
    room = make_lobby()
    edited, redacted, deleted, stored = (
        make_message(room, f"word {number}") for number in range(4)
    )
    backfill()
    edit_message(edited, "other")
    redact_message(redacted)
    deleted.delete()
    assert find_event_ids("word") == [stored.pk]
    (row,) = backfill().figures["tenants"]
    assert (row["written"], row["removed"], row["stale"]) == (1, 2, 0)
    assert server.get_bodies(room.tenant_id.hex) == {"other", "word 3"}
    assert find_event_ids("other") == [edited.pk]


def test_success_a_deleted_room_is_in_no_object(
    server: FakeWeaviate, media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if a backfill sends its messages while it is being deleted."""
    room, kept = make_lobby(state="archived"), make_lobby(room_alias="kept")
    for number in range(70):
        make_message(room, f"launch {number}")
    make_message(kept, "kept")
    backfill()
    late = make_message(room, "late launch")
    mark_sent = documents.mark_sent

    def delete_first(*arguments: Any) -> Any:
        monkeypatch.setattr(documents, "mark_sent", mark_sent)
        delete_room(
            operator=HOST_OPERATOR, name=str(room.pk), tenant="acme", reason="over", now=NOW,
            confirm=lambda effect, name: None, at_once=True,
        )  # fmt: skip
        return mark_sent(*arguments)

    monkeypatch.setattr(documents, "mark_sent", delete_first)
    backfill()
    assert not Event.objects.filter(pk=late.pk).exists()
    assert server.get_bodies(room.tenant_id.hex) == {"kept"}
    assert SearchDocument.objects.count() == 1


@pytest.mark.parametrize("act", ["room", "person"])
def test_fail_the_server_keeps_objects_which_the_next_call_removes(
    server: FakeWeaviate, media_root: Path, act: str
) -> None:
    """The events are gone or redacted by then, so that only their documents lead to the objects."""
    room, kept = make_lobby(state="archived"), make_lobby(room_alias="kept")
    message = make_message(room, "launch")
    kept_message = make_message(kept, "kept")
    kept_message.sender = make_participant(room.tenant, "bo")
    kept_message.save()
    backfill()

    def remove() -> None:
        if act == "person":
            erase_messages(HOST_OPERATOR, message.sender, "", NOW, dry_run=False)
        else:
            delete_room(
                operator=HOST_OPERATOR, name=str(room.pk), tenant="acme", reason="over", now=NOW,
                confirm=lambda effect, name: None, at_once=True,
            )  # fmt: skip

    server.keeps_deleted = True
    with pytest.raises(ScaiWaveError):
        remove()
    assert server.get_bodies(room.tenant_id.hex) == {"launch", "kept"}
    server.keeps_deleted = False
    remove()
    assert server.get_bodies(room.tenant_id.hex) == {"kept"}
    assert list(SearchDocument.objects.values_list("body", flat=True)) == ["kept"]


@pytest.mark.parametrize("content_only", [False, True])
def test_success_retention_leaves_no_object(
    server: FakeWeaviate, media_root: Path, content_only: bool
) -> None:
    room = make_lobby()
    for number in range(70):
        make_message(room, f"old {number}", created_at=NOW - timedelta(days=40))
    make_message(room, "young", created_at=NOW)
    backfill()
    options: dict[str, Any] = {
        "operator": HOST_OPERATOR,
        "tenant": "acme",
        "confirm": lambda question: None,
        "now": NOW,
    }
    set_retention(values=PolicyValues(30, content_only=content_only), reason="", **options)
    run_retention(**options)
    assert server.get_bodies(room.tenant_id.hex) == {"young"}
    assert list(SearchDocument.objects.values_list("body", flat=True)) == ["young"]


def test_success_tenants_are_isolated(server: FakeWeaviate) -> None:
    own_room, other_room = make_lobby(), make_lobby("globex")
    own_message, other_message = (
        make_message(own_room, "the same words"),
        make_message(other_room, "the same words"),
    )
    backfill()
    assert find_event_ids("same") == [own_message.pk]
    assert find_event_ids("same", tenant="globex") == [other_message.pk]
    # Even if Weaviate returned another tenant's object.
    server.tenants[own_room.tenant_id.hex] |= server.tenants[other_room.tenant_id.hex]
    assert find_event_ids("same") == [own_message.pk]


def test_success_in_a_room(server: FakeWeaviate) -> None:
    first, second = make_lobby(), make_lobby(room_alias="second")
    make_message(first, "report")
    message = make_message(second, "report")
    backfill()
    assert find_event_ids("report", room="second") == [message.pk]


def test_success_nothing_was_indexed(server: FakeWeaviate) -> None:
    make_lobby()
    assert find_event_ids("anything") == []


def test_success_found_by_words_where_embedding_fails(
    server: FakeWeaviate, sandbox: Sandbox, weaviate: FakeWeaviate
) -> None:
    """And with a vector once embedding works again."""
    with weaviate.serve() as loopback:
        configure(sandbox, loopback.origin, SCAIWAVE_SCAIGRID_EMBEDDING_MODEL="gone")
        message = make_message(make_lobby(), "launch")
        assert list_mismatched(backfill()) == []
        (stored,) = server.tenants[message.tenant_id.hex].values()
        assert "vector" not in stored
        assert SearchDocument.objects.get().remote == RemoteState.TEXT
        assert find_event_ids("launch") == [message.pk]
        assert "bm25: {" in server.queries[-1]
        configure(sandbox, loopback.origin)
        backfill()
        assert SearchDocument.objects.get().remote == RemoteState.VECTOR


def test_success_without_scaigrid(server: FakeWeaviate, sandbox: Sandbox) -> None:
    with server.serve() as loopback:
        configure(sandbox, loopback.origin, SCAIWAVE_SCAIGRID_URL="")
        message = make_message(make_lobby(), 'say "launch"')
        backfill()
        assert find_event_ids('say "launch"') == [message.pk]


def test_success_objects_that_weaviate_lost_are_sent_again(server: FakeWeaviate) -> None:
    room = make_lobby()
    for number in range(3):
        make_message(room, f"word {number}")
    backfill()
    server.tenants[room.tenant_id.hex].popitem()
    assert list_mismatched(backfill()) == ["acme"]
    assert list_mismatched(backfill(restart=True)) == []
    assert len(server.tenants[room.tenant_id.hex]) == 3


def test_success_many_batches(server: FakeWeaviate) -> None:
    room = make_lobby()
    for number in range(150):
        make_message(room, f"word {number}")
    backfill()
    assert len(server.tenants[room.tenant_id.hex]) == 150


def test_fail_an_object_is_not_accepted(server: FakeWeaviate) -> None:
    server.refused = {"bad"}
    room = make_lobby()
    make_message(room, "bad")
    with pytest.raises(
        UpstreamInvalidResponse, match=r"not all of 1 objects were stored: .*not accepted"
    ):
        backfill()
    assert SearchDocument.objects.get().remote == RemoteState.NOTHING
    server.refused = set()
    result = backfill()
    assert (result.figures["resumed"], list_mismatched(result)) == (True, [])
    assert server.get_bodies(room.tenant_id.hex) == {"bad"}


def test_success_an_old_text_is_removed_although_the_new_one_was_refused(
    server: FakeWeaviate,
) -> None:
    """Otherwise a redacted text would stay in Weaviate without a trace in the database."""
    room = make_lobby()
    message = make_message(room, "secret plan")
    backfill()
    edit_message(message, "bad")
    server.refused = {"bad"}
    with pytest.raises(UpstreamInvalidResponse):
        backfill()
    redact_message(message)
    backfill()
    assert server.get_bodies(room.tenant_id.hex) == set()


def test_success_redacted_while_the_range_is_in_progress(
    server: FakeWeaviate, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = make_lobby()
    message = make_message(room, "secret plan")
    backfill()
    original = documents.upsert

    def upsert(part: EventRange) -> int:
        redact_message(message)
        return original(part)

    monkeypatch.setattr(documents, "upsert", upsert)
    assert list_mismatched(backfill()) == []
    assert server.get_bodies(room.tenant_id.hex) == set()


def test_success_weaviate_has_lost_everything(server: FakeWeaviate) -> None:
    room = make_lobby()
    stored, redacted = make_message(room, "kept"), make_message(room, "redacted")
    make_message(make_lobby("globex"), "other").delete()
    backfill()
    server.classes.clear()
    server.tenants.clear()
    redact_message(redacted)
    with pytest.raises(SearchNotIndexed) as caught:
        find_event_ids("kept")
    assert caught.value.message == "Nothing was searched. 1 message is not in the search index."
    assert caught.value.fix == (
        "Run `scaiwave room search-index --tenant acme --restart --inline`."
    )
    assert list_mismatched(backfill(restart=True)) == []
    assert find_event_ids("kept") == [stored.pk]
    assert server.get_bodies(room.tenant_id.hex) == {"kept"}


def test_success_a_plan_creates_nothing_in_weaviate(server: FakeWeaviate) -> None:
    make_message(make_lobby(), "word")
    plan = get_search_plan(operator=HOST_OPERATOR, options=BackfillOptions())
    assert plan.figures["tenants"][0]["missing"] == 1
    with pytest.raises(SearchNotIndexed):
        find_event_ids("word")
    assert server.classes == {}


def test_success_messages_that_only_the_database_has_are_not_found(server: FakeWeaviate) -> None:
    """A server that begins to use Weaviate, whose first backfill has not ended."""
    make_message(make_lobby(), "first")
    with_weaviate, settings.CONFIG = settings.CONFIG, load({})
    backfill()
    settings.CONFIG = with_weaviate
    assert judge_backlog(NOW)[0].tenants == {"acme": 1}
    other = make_lobby(room_alias="other")
    late = make_message(other, "late")
    backfill(tenant="acme", room="other")
    hits, backlog = search_rooms(operator=HOST_OPERATOR, text="late", tenant="acme")
    assert ([hit["id"] for hit in hits], backlog.messages) == ([late.pk], 1)
    hits, backlog = search_rooms(operator=HOST_OPERATOR, text="first")
    assert ([hit["snippet"] for hit in hits], backlog.messages) == (["«first»"], 0)
    backfill()
    _, backlog = search_rooms(operator=HOST_OPERATOR, text="first", tenant="acme")
    assert not backlog
    assert not judge_backlog(NOW)[0]


def test_success_another_client_creates_class_and_tenant(server: FakeWeaviate) -> None:
    server.has_competitor = True
    message = make_message(make_lobby(), "word")
    assert list_mismatched(backfill()) == []
    assert find_event_ids("word") == [message.pk]


def test_fail_a_class_without_tenants(server: FakeWeaviate) -> None:
    server.classes["ScaiwaveMessage"] = {"class": "ScaiwaveMessage"}
    make_message(make_lobby(), "word")
    with pytest.raises(
        SettingInvalid, match=r"The Weaviate class ScaiwaveMessage has no multi-tenancy"
    ):
        backfill()


def test_fail_weaviate_does_not_delete(server: FakeWeaviate) -> None:
    """Then the document is kept too, and the next backfill tries again."""
    message = make_message(make_lobby(), "secret plan")
    backfill()
    redact_message(message)
    server.keeps_deleted = True
    with pytest.raises(UpstreamInvalidResponse, match=r"1 of 1 objects were not deleted"):
        backfill()
    assert SearchDocument.objects.count() == 1
    assert find_event_ids("secret") == []
    server.keeps_deleted = False
    assert list_mismatched(backfill()) == []
    assert server.get_bodies(message.tenant_id.hex) == set()


@pytest.mark.parametrize(
    "response",
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
def test_fail_invalid_response(server: FakeWeaviate, response: Any) -> None:
    make_message(make_lobby(), "word")
    backfill()
    server.response = response
    with pytest.raises(UpstreamInvalidResponse, match="Weaviate"):
        find_event_ids("word")
    with pytest.raises(UpstreamInvalidResponse, match="Weaviate"):
        get_search_plan(operator=HOST_OPERATOR, options=BackfillOptions())


def test_fail_reports_the_reason_of_weaviate(server: FakeWeaviate) -> None:
    message = make_message(make_lobby(), "word")
    backfill()
    redact_message(message)
    with (
        WeaviateClient(settings.CONFIG.get_url("SCAIWAVE_WEAVIATE_URL"), server.key, "X") as client,
        pytest.raises(UpstreamRejected, match=r'DELETE /v1/batch/objects: tenant not found: "x"\.'),
    ):
        client.delete("x", [])


def test_success_any_character_can_be_searched(server: FakeWeaviate) -> None:
    """Weaviate does not decode surrogate pairs."""
    message = make_message(make_lobby(), '𠮷野家 👍 say "x" \\')
    backfill()
    assert find_event_ids('𠮷野家 "x"') == [message.pk]
    assert 'query: "𠮷野家 \\"x\\""' in server.queries[-1]


def test_fail_key(server: FakeWeaviate) -> None:
    make_message(make_lobby(), "word")
    server.key = "another"
    with pytest.raises(UpstreamUnauthorized, match="Weaviate"):
        backfill()


@pytest.mark.usefixtures("no_retries")
def test_fail_down(sandbox: Sandbox) -> None:
    configure(sandbox, "http://127.0.0.1:1")
    make_message(make_lobby(), "word")
    with pytest.raises(UpstreamUnreachable, match="Weaviate"):
        backfill()
