from __future__ import annotations

import json
from functools import partial
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command

from rooms.errors import RoomNotFound, SearchNotIndexed
from rooms.models import RemoteState, RoomImport, RoomType
from rooms.search import database, documents
from rooms.search.backlog import count_backlog
from rooms.search.queries import search_rooms
from rooms.search.scope import Scope
from scaiwave.core.errors import InsufficientPermission, UsageError
from scaiwave.core.operators import Operator, OperatorRole
from tenants.errors import TenantNotFound
from tenants.models import Tenant
from tests.rooms.search.factories import (
    backfill,
    edit_message,
    find_event_ids,
    list_mismatched,
    make_lobby,
    make_message,
    redact_message,
)
from tests.tenants.factories import (
    HOST_OPERATOR,
    make_partner,
    make_partner_admin,
    make_tenant,
    make_tenant_admin,
    run_command,
)

pytestmark = pytest.mark.django_db


def test_success_the_row_of_a_hit() -> None:
    room = make_lobby()
    message = make_message(room, "The launch\nis on Friday")
    backfill()
    assert list(search_rooms(operator=HOST_OPERATOR, text="friday launch", tenant="acme")[0]) == [
        {
            "id": message.pk,
            "room_id": room.pk,
            "room": "Lobby",
            "sender_id": message.sender_id,
            "sender": "Anna",
            "sent_at": message.created_at,
            "stream_position": message.stream_position,
            "tenant_id": room.tenant_id,
            "tenant": "acme",
            "snippet": "The «launch» is on «Friday»",
        }
    ]


def test_success_newest_first_up_to_the_limit() -> None:
    room = make_lobby()
    message_ids = [make_message(room, f"report {number}").pk for number in range(5)]
    backfill()
    assert find_event_ids("report") == message_ids[::-1]
    assert find_event_ids("report", limit=2) == [message_ids[4], message_ids[3]]


def test_success_all_tenants_in_the_scope_of_the_operator(
    capsys: pytest.CaptureFixture[str],
) -> None:
    northwind = make_partner()
    lobby = make_lobby()
    Tenant.objects.filter(pk=lobby.tenant_id).update(partner=northwind)
    elsewhere = make_lobby("globex")
    ours = [make_message(lobby, f"report {number}").pk for number in range(2)]
    theirs = make_message(elsewhere, "report").pk
    hidden = make_message(elsewhere, "report")
    backfill()
    redact_message(hidden)
    find_all = partial(find_event_ids, "report", tenant=None)
    assert set(find_all()) == {*ours, theirs}
    assert find_all(operator=make_partner_admin(northwind)) == ours[::-1]
    assert find_all(operator=make_tenant_admin(elsewhere.tenant)) == [theirs]
    assert find_all(operator=make_tenant_admin(make_tenant("c"))) == []
    out = run_command("search_rooms", "report")
    assert sorted(line.split()[0] for line in out.splitlines()) == [
        "Tenant",
        "acme",
        "acme",
        "globex",
    ]
    page = json.loads(run_command("search_rooms", "report", "--limit=2", "--json"))
    rest = json.loads(run_command("search_rooms", "report", "--json", f"--after={page['next_id']}"))
    found = [UUID(row["id"]) for row in page["messages"] + rest["messages"]]
    assert (found, page["total"]) == (find_all(), None)
    capsys.readouterr()
    call_command("search_rooms", "report", "--limit=1")
    assert capsys.readouterr().err == f"1 shown. More: add --after {found[0]}\n"


def read_error(*words: str) -> tuple[str, int, str, str]:
    with pytest.raises(SearchNotIndexed) as caught:
        run_command("search_rooms", "report", *words)
    error = caught.value
    return error.code, error.exit_code, error.message, error.fix


def test_fail_before_the_first_backfill() -> None:
    assert find_event_ids("report", tenant=None) == []  # There is no message.
    lobby = make_lobby()
    for number in range(3):
        make_message(lobby, f"report {number}")
    make_message(make_lobby("globex"), "report", do_not_index=True)
    expected = ("SW_SEARCH_NOT_INDEXED", 1, "Nothing was searched. {} not in the search index.")
    assert read_error() == (
        *expected[:2],
        expected[2].format("3 messages are"),
        "Run `scaiwave room search-index --inline`.",
    )
    with pytest.raises(SearchNotIndexed) as caught:
        find_event_ids("report", operator=make_tenant_admin(lobby.tenant))
    assert caught.value.fix == (
        "Ask the host operator to run `scaiwave room search-index --tenant acme --inline`."
    )
    assert find_event_ids("report", tenant="globex") == []
    backfill(tenant="globex")
    assert read_error("--tenant=acme")[2] == expected[2].format("3 messages are")
    other = make_lobby(room_alias="other")
    make_message(other, "report")
    backfill(tenant="acme", room=str(lobby.pk))
    assert len(find_event_ids("report")) == 3
    assert read_error("--tenant=acme", "--room=other")[2] == expected[2].format("1 message is")


def test_success_messages_that_are_not_indexed_are_reported() -> None:
    lobby, other = make_lobby(), make_lobby("globex")
    make_message(lobby, "report")
    for number in range(4):
        make_message(other, f"report {number}")
    backfill(tenant="acme")

    def read_stderr(*words: str) -> str:
        err = StringIO()
        call_command("search_rooms", "report", *words, stdout=StringIO(), stderr=err)
        return err.getvalue()

    def search(*words: str) -> tuple[str, Any]:
        document = run_command("search_rooms", "report", *words, "--json")
        return read_stderr(*words), json.loads(document)

    command = "scaiwave room search-index --inline"
    err, document = search()
    assert err == (f"Warning: 4 messages are not in the search index. `{command}` indexes them.\n")
    assert document["unindexed"] == {"messages": 4, "is_minimum": False, "command": command}
    assert (document["total"], read_stderr("--csv"), read_stderr("--quiet")) == (1, err, err)
    err, document = search("--tenant=acme")
    assert (err, document["unindexed"]) == (
        "",
        {"messages": 0, "is_minimum": False, "command": None},
    )
    backfill(tenant="globex", room=str(other.pk))
    assert search()[1]["unindexed"]["messages"] == 0
    late = make_message(lobby, "report")
    assert search()[1]["unindexed"]["messages"] == 1
    assert search("--tenant=acme", f"--room={late.room_id}")[1]["unindexed"]["messages"] == 1
    empty = make_lobby(room_alias="empty")
    assert search("--tenant=acme", f"--room={empty.pk}")[1]["unindexed"]["messages"] == 0
    backfill()
    assert search()[0] == ""


def test_success_only_some_events_are_read() -> None:
    scope, tenants = Scope(), Tenant.objects.all()
    for slug in ("acme", "globex"):
        room = make_lobby(slug)
        for number in range(3):
            make_message(room, f"report {number}", do_not_index=slug == "acme")
    for events, messages, is_minimum in ((3, 0, True), (5, 2, True), (6, 3, False)):
        backlog = count_backlog(scope, tenants, RemoteState.NOTHING, events)
        assert (backlog.messages, backlog.is_minimum) == (messages, is_minimum)
        assert bool(backlog)
    assert str(count_backlog(scope, tenants, 0, 3)) == (
        "Some messages may not be in the search index"
    )
    assert str(count_backlog(scope, tenants, 0, 5)) == (
        "At least 2 messages are not in the search index"
    )


def test_success_messages_that_the_last_backfill_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_message(make_lobby(), "report")
    monkeypatch.setattr(documents, "upsert", lambda part: 0)
    assert list_mismatched(backfill()) == ["acme"]
    with pytest.raises(SearchNotIndexed):
        find_event_ids("report")


def test_fail_room_without_tenant() -> None:
    with pytest.raises(UsageError) as caught:
        find_event_ids("report", tenant=None, room="lobby")
    assert caught.value.message == "--room needs --tenant."


def test_success_any_limit() -> None:
    """More than a database accepts as parameters of one statement."""
    message = make_message(make_lobby(), "report")
    backfill()
    assert find_event_ids("report", limit=10_000_000) == [message.pk]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("Grüße aus Żółć, naïve", "gruße ZOłC naive"),
        ("GRÜßE", "grüße"),
        ("see https://example.com/a/path?q=1", "example path"),
        ("see https://example.com/a/path?q=1", "example.com"),
        ("mail anna@example.com", "anna@example.com"),
        ("a well-known fact", "known"),
        ("a well-known fact", "well-known"),
        ("don't", "don't"),
        ("snake_case -5 3.14 v1.2.3", "case 5 3.14 v1.2.3"),
        ("会議 は 月曜日", "月曜日"),
        ("Привет, мир", "мир"),
        ("a OR b NOT c NEAR d", "OR NOT NEAR"),
        ("“quoted”", "quoted"),
    ],
)
def test_success_found(body: str, text: str) -> None:
    message = make_message(make_lobby(), body)
    backfill()
    assert find_event_ids(text) == [message.pk]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("well and known", "well-known"),
        ("known well", "well-known"),
        ("launching", "launch"),
        ("launch", "launch OR nothing"),
        ("launch", "launch*nothing"),
        ("launch", "body:launch"),
        ("launch", "-launch friday"),
        ("launch", "laun*"),
        ("launch", "launch AND friday"),
        ("launch", "'launch' & friday"),
        ("launch", "%s launch"),
    ],
)
def test_fail_not_found(body: str, text: str) -> None:
    make_message(make_lobby(), body)
    backfill()
    assert find_event_ids(text) == []


@pytest.mark.parametrize(
    "text",
    [
        '""launch',
        'launch"',
        "launch)",
        "(launch",
        "launch:*",
        "NEAR(launch",
        "^launch",
        "{launch}",
        "near + launch",
        "launch'; --",
        "launch & ! near |",
        "launch \\",
    ],
)
def test_success_no_character_is_an_operator(text: str) -> None:
    message = make_message(make_lobby(), "near launch")
    backfill()
    assert find_event_ids(text) == [message.pk]


def test_success_only_eligible_messages(capsys: pytest.CaptureFixture[str]) -> None:
    room = make_lobby()
    findable = make_message(room, "secret plan")
    make_message(room, "secret plan", do_not_index=True)
    make_message(room, "secret plan", event_type="swp.room.topic")
    make_message(room, ["secret plan"])
    redact_message(make_message(room, "secret plan"))
    make_message(make_lobby(room_type=RoomType.INCOGNITO, scope_kind="incognito"), "secret plan")
    make_message(make_lobby(scope_kind="incognito"), "secret plan")
    backfill()
    assert find_event_ids("secret") == [findable.pk]
    hint = "Imported messages are not searched.\n"
    words = ("search_rooms", "nowhere", "--tenant=acme", f"--room={room.pk}")
    call_command(*words)
    assert capsys.readouterr().err == "No messages.\n"
    RoomImport.objects.create(
        tenant=room.tenant, room=room, operator="root", created_at=findable.created_at
    )
    call_command(*words)
    assert capsys.readouterr().err == f"No messages.\n{hint}"
    call_command("search_rooms", "secret", *words[2:])
    assert hint not in capsys.readouterr().err


def test_success_changed_messages_are_not_found() -> None:
    """Even though the index still has their old text."""
    room = make_lobby()
    redacted, edited, hidden, deleted = (make_message(room, "secret plan") for _ in range(4))
    backfill()
    redact_message(redacted)
    edit_message(edited, "nothing")
    hidden.do_not_index = True
    hidden.save()
    type(deleted).objects.filter(pk=deleted.pk).delete()
    assert find_event_ids("secret") == []


def test_success_in_one_room() -> None:
    first, second = make_lobby(), make_lobby(room_alias="other")
    make_message(first, "report")
    message = make_message(second, "report")
    backfill()
    assert find_event_ids("report", room="other") == [message.pk]
    assert find_event_ids("report", room=str(second.pk)) == [message.pk]


def test_success_same_words_in_two_tenants() -> None:
    own_room, other_room = make_lobby(), make_lobby("globex")
    own_message, other_message = (
        make_message(own_room, "the same words"),
        make_message(other_room, "the same words"),
    )
    backfill()
    assert find_event_ids("same words") == [own_message.pk]
    assert find_event_ids("same words", tenant="globex") == [other_message.pk]


def test_fail_room_of_another_tenant() -> None:
    make_lobby()
    other_room = make_lobby("globex")
    make_message(other_room, "report")
    backfill()
    for name in (str(other_room.pk), str(uuid4())):
        with pytest.raises(RoomNotFound, match=f"Room not found in tenant acme: {name}."):
            find_event_ids("report", room=name)


def test_fail_tenant_of_another_administrator() -> None:
    own_room, other_room = make_lobby(), make_lobby("globex")
    own_message = make_message(own_room, "report")
    make_message(other_room, "report")
    backfill()
    administrator = make_tenant_admin(own_room.tenant)
    assert find_event_ids("report", operator=administrator) == [own_message.pk]
    for name in ("globex", str(other_room.tenant_id), "never-was"):
        with pytest.raises(TenantNotFound, match=f"Tenant not found: {name}."):
            find_event_ids("report", tenant=name, operator=administrator)


def test_fail_participant() -> None:
    make_lobby()
    participant = Operator("anna", OperatorRole.PARTICIPANT)
    with pytest.raises(InsufficientPermission):
        search_rooms(operator=participant, text="report", tenant="acme")


def test_success_a_document_in_the_wrong_tenant_is_never_found() -> None:
    """Rows may have been moved manually; a backfill corrects it."""
    from rooms.models import SearchDocument

    own_room, other_room = make_lobby(), make_lobby("globex")
    make_message(own_room, "anything")
    message = make_message(other_room, "report")
    backfill()
    SearchDocument.objects.filter(event=message).update(tenant=own_room.tenant)
    assert find_event_ids("report") == []
    assert find_event_ids("report", tenant="globex") == []
    backfill()
    assert find_event_ids("report") == []
    assert find_event_ids("report", tenant="globex") == [message.pk]


def test_success_content_changed_manually() -> None:
    """Without a new `edited_at`: found by its old text, shown with its new content."""
    message = make_message(make_lobby(), "report")
    backfill()
    message.content = ["report"]
    message.save()
    (hit,) = search_rooms(operator=HOST_OPERATOR, text="report", tenant="acme")[0]
    assert hit["snippet"] == ""


def test_success_pages_without_findable_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redacted messages, or messages of other rooms."""
    monkeypatch.setattr(database, "_EXTRA_DOCUMENTS", 0)
    monkeypatch.setattr(database, "_MAX_PAGE_DOCUMENTS", 3)
    room, other = make_lobby(), make_lobby(room_alias="other")
    first, second = make_message(room, "report"), make_message(other, "report")
    redacted = [make_message(room, "report") for _ in range(7)]
    backfill()
    assert find_event_ids("report", room="other") == [second.pk]
    for message in redacted:
        redact_message(message)
    assert find_event_ids("report", limit=2) == [second.pk, first.pk]
    assert find_event_ids("report", limit=1) == [second.pk]
