from __future__ import annotations

from uuid import uuid4

import pytest

from rooms.errors import RoomNotFound
from rooms.models import RoomType
from rooms.queries.search import search_rooms
from rooms.search import database
from scaiwave.auth.operators import Operator, Role
from scaiwave.errors import InsufficientPermission
from tenants.errors import TenantNotFound
from tests.rooms.search.places import backfill, edit, found, lobby, redact, say
from tests.tenants.people import HOST, tenant_admin

pytestmark = pytest.mark.django_db


def test_success_what_is_shown() -> None:
    room = lobby()
    said = say(room, "The launch\nis on Friday")
    backfill()
    assert search_rooms(operator=HOST, text="friday launch", tenant="acme") == [
        {
            "event_id": said.pk,
            "room_id": room.pk,
            "room": "Lobby",
            "sender_id": said.sender_id,
            "sender": "Anna",
            "sent_at": said.created_at,
            "stream_position": said.stream_position,
            "snippet": "The «launch» is on «Friday»",
        }
    ]


def test_success_newest_first_and_no_more_than_asked_for() -> None:
    room = lobby()
    said = [say(room, f"report {number}").pk for number in range(5)]
    backfill()
    assert found("report") == said[::-1]
    assert found("report", limit=2) == [said[4], said[3]]


def test_success_any_number_may_be_asked_for() -> None:
    """More than a database takes as parameters of one statement."""
    said = say(lobby(), "report")
    backfill()
    assert found("report", limit=10_000_000) == [said.pk]


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
    said = say(lobby(), body)
    backfill()
    assert found(text) == [said.pk]


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
    say(lobby(), body)
    backfill()
    assert found(text) == []


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
def test_success_signs_have_no_meaning(text: str) -> None:
    said = say(lobby(), "near launch")
    backfill()
    assert found(text) == [said.pk]


def test_success_only_what_may_be_found_is() -> None:
    room = lobby()
    kept = say(room, "secret plan")
    say(room, "secret plan", do_not_index=True)
    say(room, "secret plan", event_type="swp.room.topic")
    say(room, ["secret plan"])
    redact(say(room, "secret plan"))
    say(lobby(room_type=RoomType.INCOGNITO, scope_kind="incognito"), "secret plan")
    say(lobby(scope_kind="incognito"), "secret plan")
    backfill()
    assert found("secret") == [kept.pk]


def test_success_what_was_taken_back_since_is_not_found() -> None:
    """Whatever the index still has of it."""
    room = lobby()
    redacted, edited, hidden, gone = (say(room, "secret plan") for _ in range(4))
    backfill()
    redact(redacted)
    edit(edited, "nothing")
    hidden.do_not_index = True
    hidden.save()
    type(gone).objects.filter(pk=gone.pk).delete()
    assert found("secret") == []


def test_success_in_one_room() -> None:
    first, second = lobby(), lobby(room_alias="other")
    say(first, "report")
    said = say(second, "report")
    backfill()
    assert found("report", room="other") == [said.pk]
    assert found("report", room=str(second.pk)) == [said.pk]


def test_success_same_words_in_two_tenants() -> None:
    ours, theirs = lobby(), lobby("globex")
    mine, yours = say(ours, "the same words"), say(theirs, "the same words")
    backfill()
    assert found("same words") == [mine.pk]
    assert found("same words", tenant="globex") == [yours.pk]


def test_fail_room_of_another_tenant() -> None:
    lobby()
    theirs = lobby("globex")
    say(theirs, "report")
    backfill()
    for name in (str(theirs.pk), str(uuid4())):
        with pytest.raises(RoomNotFound, match=f"There is no room '{name}' in tenant acme."):
            found("report", room=name)


def test_fail_tenant_of_another_administrator() -> None:
    ours, theirs = lobby(), lobby("globex")
    mine = say(ours, "report")
    say(theirs, "report")
    backfill()
    tom = tenant_admin(ours.tenant)
    assert found("report", operator=tom) == [mine.pk]
    for name in ("globex", str(theirs.tenant_id), "never-was"):
        with pytest.raises(TenantNotFound, match=f"There is no tenant '{name}'."):
            found("report", tenant=name, operator=tom)


def test_fail_participant() -> None:
    lobby()
    someone = Operator("anna", Role.PARTICIPANT)
    with pytest.raises(InsufficientPermission):
        search_rooms(operator=someone, text="report", tenant="acme")


def test_success_a_document_in_the_wrong_tenant_is_never_found() -> None:
    """As it could be after somebody moved rows by hand; a backfill puts it right."""
    from rooms.models import SearchDocument

    ours, theirs = lobby(), lobby("globex")
    say(ours, "anything")
    said = say(theirs, "report")
    backfill()
    SearchDocument.objects.filter(event=said).update(tenant=ours.tenant)
    assert found("report") == []
    assert found("report", tenant="globex") == []
    backfill()
    assert found("report") == []
    assert found("report", tenant="globex") == [said.pk]


def test_success_content_changed_by_hand() -> None:
    """Without a word in `edited_at`: found as it was, and shown as it is."""
    said = say(lobby(), "report")
    backfill()
    said.content = ["report"]
    said.save()
    assert search_rooms(operator=HOST, text="report", tenant="acme")[0]["snippet"] == ""


def test_success_however_much_of_it_was_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or is in other rooms."""
    monkeypatch.setattr(database, "_SPARE", 0)
    monkeypatch.setattr(database, "_LARGEST_PAGE", 3)
    room, other = lobby(), lobby(room_alias="other")
    first, second = say(room, "report"), say(other, "report")
    later = [say(room, "report") for _ in range(7)]
    backfill()
    assert found("report", room="other") == [second.pk]
    for event in later:
        redact(event)
    assert found("report", limit=2) == [second.pk, first.pk]
    assert found("report", limit=1) == [second.pk]
