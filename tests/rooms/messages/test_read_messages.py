"""Reading the messages of a room in the admin site: who may, and that each look is recorded."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from rooms.errors import MessageLimitReached, ReasonMissing
from rooms.messages import read_messages as service
from rooms.messages.read_messages import LIMIT_PERIOD, MAX_PAGES, read_messages
from rooms.models import Room, SearchDocument
from scaiwave.config import load
from scaiwave.core.errors import InsufficientPermission
from scaiwave.core.operators import Operator, OperatorRole
from tenants.errors import InvalidName
from tenants.models import AdminUser, AuditEntry
from tests.concurrency import run_concurrently
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR

pytestmark = pytest.mark.django_db
NOW = row_factories.NOW
MAX_QUERIES = 12


@pytest.fixture
def lobby() -> Room:
    tenant = row_factories.make_tenant()
    room = row_factories.make_room(
        row_factories.make_workspace(tenant), row_factories.make_participant(tenant)
    )
    for position in range(1, 61):
        row_factories.make_event(room, position, content={"body": f"secret {position} <b>"})
    row_factories.make_event(room, 61, event_type="swp.room.topic", content={"topic": "Grüße"})
    row_factories.make_event(room, 62, content={"body": "secret 62"}, redacted_at=NOW)
    return room


def sign_in(*permissions: str, **fields: Any) -> Client:
    user = AdminUser.objects.create_user("reader", is_staff=True, **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client(REMOTE_ADDR="203.0.113.9")
    client.force_login(user)
    return client


def page_of(room: Room) -> str:
    return reverse("admin:rooms_room_messages", args=[room.pk])


@pytest.mark.parametrize(
    ("permissions", "is_superuser", "status"),
    [
        ((), True, HTTPStatus.OK),
        (("view_room", "view_content"), False, HTTPStatus.OK),
        (("view_room", "view_event"), False, HTTPStatus.FORBIDDEN),
        (("view_content",), False, HTTPStatus.FORBIDDEN),
    ],
)
def test_success_who_may_read(
    permissions: tuple[str, ...], is_superuser: bool, status: int, lobby: Room
) -> None:
    client = sign_in(*permissions, is_superuser=is_superuser)
    assert client.get(page_of(lobby)).status_code == status
    answer = client.post(page_of(lobby), {"reason": "ticket 7"})
    assert answer.status_code == status
    assert ("secret 60" in answer.content.decode()) is (status == HTTPStatus.OK)
    assert AuditEntry.objects.filter(action="read-messages").count() == (status == HTTPStatus.OK)
    if is_superuser or "view_room" in permissions:
        page = client.get(reverse("admin:rooms_room_change", args=[lobby.pk])).content.decode()
        assert (page_of(lobby) in page) is (status == HTTPStatus.OK)


@pytest.mark.parametrize("is_superuser", [False, True])
def test_success_a_transcript_takes_more_than_the_right_to_read(
    is_superuser: bool, lobby: Room
) -> None:
    """Pages of messages are limited in number. A transcript has a whole room, as an export has."""
    client = sign_in("view_room", "view_content", is_superuser=is_superuser)
    act = reverse("admin:act", args=["room-transcript", lobby.pk])
    page = client.get(reverse("admin:rooms_room_change", args=[lobby.pk])).content.decode()
    assert page_of(lobby) in page
    assert (act in page) is is_superuser
    values = {"reason": "ticket 7", "format": "text", "time_zone": "UTC"}
    status = HTTPStatus.OK if is_superuser else HTTPStatus.FORBIDDEN
    assert client.get(act).status_code == status
    if not is_superuser:
        assert client.post(act, values).status_code == status
        assert not AuditEntry.objects.filter(action="export-room").exists()


def test_fail_an_auditor(lobby: Room) -> None:
    client = sign_in("view_room", "view_content", is_auditor=True)
    for answer in (client.get(page_of(lobby)), client.post(page_of(lobby), {"reason": "ticket 7"})):
        assert answer.status_code == HTTPStatus.FORBIDDEN
    page = client.get(reverse("admin:rooms_room_change", args=[lobby.pk]))
    assert (page.status_code, page_of(lobby) in page.content.decode()) == (HTTPStatus.OK, False)


def test_success_pages_are_newest_first_and_each_is_recorded(lobby: Room) -> None:
    client = sign_in(is_superuser=True)
    with CaptureQueriesContext(connection) as caught:
        answer = client.post(page_of(lobby), {"reason": "ticket 7"})
    assert len(caught) <= MAX_QUERIES + 2  # A savepoint, and its release.
    page = answer.context["page"]
    assert [message.position for message in page.messages] == list(range(62, 12, -1))
    text = answer.content.decode()
    assert "secret 60 &lt;b&gt;" in text
    assert "secret 62" not in text
    assert "{&quot;topic&quot;: &quot;Grüße&quot;}" in text
    assert "no-store" in answer.headers["Cache-Control"]
    answer = client.post(page_of(lobby), {"reason": "ticket 7", "before": page.next_before})
    older = answer.context["page"]
    assert [message.position for message in older.messages] == list(range(12, 0, -1))
    assert older.next_before is None
    newest, oldest = AuditEntry.objects.order_by("id")
    assert (newest.operator, newest.operator_role, newest.origin) == (
        "reader",
        "super_admin",
        "203.0.113.9",
    )
    assert (newest.subject_id, newest.tenant_slug) == (str(lobby.pk), "acme")
    assert newest.details == {
        "reason": "ticket 7",
        "events": 50,
        "newest_position": 62,
        "oldest_position": 13,
    }
    assert (oldest.details["newest_position"], oldest.details["oldest_position"]) == (12, 1)


@pytest.mark.parametrize("given", [{}, {"reason": "  "}, {"reason": "x", "before": "-1"}])
def test_fail_without_a_reason_nothing_is_shown(given: dict[str, str], lobby: Room) -> None:
    answer = sign_in(is_superuser=True).post(page_of(lobby), given)
    assert "secret" not in answer.content.decode()
    assert not AuditEntry.objects.exists()


def test_fail_nothing_else_shows_what_people_wrote(lobby: Room) -> None:
    row_factories.make_row_of_every_model(1)
    document = SearchDocument.objects.get()
    SearchDocument.objects.update(body="secret")
    client = sign_in(is_superuser=True)
    for url in (
        reverse("admin:rooms_event_changelist"),
        reverse("admin:rooms_event_change", args=[lobby.events.get(stream_position=5).pk]),
        reverse("admin:rooms_searchdocument_changelist"),
        reverse("admin:rooms_searchdocument_change", args=[document.pk]),
        reverse("admin:rooms_searchdocument_history", args=[document.pk]),
        reverse("admin:rooms_room_change", args=[lobby.pk]),
        page_of(lobby),
    ):
        page = client.get(url).content.decode()
        assert "secret" not in page
        assert "東京" not in page


def test_fail_too_many_pages(lobby: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_PAGES", 2)
    client = sign_in(is_superuser=True)
    answers = [client.post(page_of(lobby), {"reason": "curious"}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "SW_ROOM_MESSAGE_LIMIT" in answers[2].content.decode()
    assert AuditEntry.objects.count() == 2


def test_success_limit_is_of_one_account_and_ends() -> None:
    tenant = row_factories.make_tenant()
    room = row_factories.make_room(
        row_factories.make_workspace(tenant), row_factories.make_participant(tenant)
    )
    given: dict[str, Any] = {
        "operator": HOST_OPERATOR,
        "room": room,
        "reason": "audit",
        "before": None,
    }
    for _ in range(MAX_PAGES):
        assert read_messages(**given, now=NOW).messages == []
    with pytest.raises(MessageLimitReached):
        read_messages(**given, now=NOW + timedelta(seconds=1))
    other = Operator("ben", OperatorRole.SUPER_ADMIN)
    read_messages(**{**given, "operator": other}, now=NOW)
    read_messages(**given, now=NOW + LIMIT_PERIOD)


def test_success_limit_counts_by_scaikey_id_and_not_by_name(
    lobby: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MAX_PAGES", 1)

    def read(name: str, subject: str) -> None:
        reader = Operator(name, OperatorRole.SUPER_ADMIN, subject=subject)
        read_messages(operator=reader, room=lobby, reason="audit", before=None, now=NOW)

    read("anna", "usr-1")
    read("anna", "usr-2")
    read("anna", "")
    for name, subject in (("renamed", "usr-1"), ("anna", "usr-2"), ("anna", "")):
        with pytest.raises(MessageLimitReached):
            read(name, subject)
    assert {entry.operator_id for entry in AuditEntry.objects.all()} == {"usr-1", "usr-2", ""}


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_limit_holds_for_requests_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "MAX_PAGES", 3)
    tenant = row_factories.make_tenant()
    room = row_factories.make_room(
        row_factories.make_workspace(tenant), row_factories.make_participant(tenant)
    )

    def read() -> None:
        with suppress(MessageLimitReached):
            read_messages(operator=HOST_OPERATOR, room=room, reason="a", before=None, now=NOW)

    run_concurrently(*[read] * 8)
    assert AuditEntry.objects.count() == 3


def test_fail_service_checks_permission_and_reason(lobby: Room) -> None:
    given: dict[str, Any] = {"room": lobby, "before": None, "now": NOW}
    for role in (OperatorRole.PARTNER_ADMIN, OperatorRole.TENANT_ADMIN, OperatorRole.ADMINISTRATOR):
        with pytest.raises(InsufficientPermission):
            read_messages(operator=Operator("x", role), reason="audit", **given)
    with pytest.raises(ReasonMissing):
        read_messages(operator=HOST_OPERATOR, reason=" ", **given)
    with pytest.raises(InvalidName):
        read_messages(operator=HOST_OPERATOR, reason="a\nb", **given)


def test_fail_an_account_with_a_password_proves_nothing_where_a_token_is_needed(
    lobby: Room, settings: Settings
) -> None:
    client = sign_in(is_superuser=True)
    settings.CONFIG = load({"SCAIWAVE_REQUIRE_ADMIN_TOKEN": "true"})
    assert client.get(page_of(lobby)).status_code == HTTPStatus.FORBIDDEN
    assert client.post(page_of(lobby), {"reason": "x"}).status_code == HTTPStatus.FORBIDDEN
    missing = reverse("admin:rooms_room_messages", args=["nowhere"])
    settings.CONFIG = load({})
    assert client.get(missing).status_code == HTTPStatus.NOT_FOUND
