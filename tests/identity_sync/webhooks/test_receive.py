"""POST /v1/webhooks/scaikey: what is accepted, stored and answered."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from pytest_django import Settings

from identity_sync import views
from identity_sync.models import WebhookEvent
from scaiwave.config import load
from tests.identity_sync.webhooks.factories import PATH, SECRET, make_body, make_headers

pytestmark = [pytest.mark.django_db, pytest.mark.dated]


@pytest.fixture(autouse=True)
def woken(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often the work was started."""
    settings.CONFIG = load({"SCAIWAVE_SCAIKEY_WEBHOOK_SECRET": SECRET})
    calls: list[int] = []
    monkeypatch.setattr(
        views, "start_processing", lambda: calls.append(WebhookEvent.objects.count())
    )
    return calls


def post(body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    response = Client().generic(
        "POST", PATH, body, headers=headers or make_headers(body), content_type="application/json"
    )
    return response.status_code, response.json()


def code_of(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


def test_success_stored_without_its_data(woken: list[int]) -> None:
    assert post(make_body("user.suspended", "usr_1")) == (200, {"handled": True})
    assert woken == [1]
    (event,) = WebhookEvent.objects.values()
    assert (event["event_id"], event["event_type"]) == ("evt_1", "user.suspended")
    assert (event["kind"], event["scaikey_id"]) == ("participants", "usr_1")
    assert event["state"] == "pending"
    assert str(event["occurred_at"]) == "2026-04-23 10:42:00+00:00"
    assert "SUSPENDED" not in str(event)


@pytest.mark.parametrize(
    ("event_type", "kind"),
    [
        ("partner.deleted", "partners"),
        ("tenant.updated", "tenants"),
        ("user.anything_new", "participants"),
        ("group.member_added", "groups"),
    ],
)
def test_success_every_event_of_a_resource_is_handled(event_type: str, kind: str) -> None:
    assert post(make_body(event_type, "x_1")) == (200, {"handled": True})
    assert WebhookEvent.objects.get().kind == kind


def test_success_a_repeated_event_is_stored_once() -> None:
    for _ in range(3):
        assert post(make_body("user.updated", "usr_1")) == (200, {"handled": True})
    assert WebhookEvent.objects.count() == 1


def test_success_an_unknown_type_starts_nothing(woken: list[int]) -> None:
    assert post(make_body("application.updated", "app_1")) == (200, {"handled": False})
    assert WebhookEvent.objects.get().state == "ignored"
    assert woken == []


def test_success_the_group_of_a_member_event() -> None:
    body = make_body(
        "group.member_removed",
        "grp_1",
        resource={"type": "user", "id": "usr_1"},
        data={"group_id": "grp_1"},
    )
    assert post(body)[0] == 200
    assert WebhookEvent.objects.get().scaikey_id == "grp_1"


@pytest.mark.parametrize("timestamp", [None, "soon", 17, "2026-04-23T10:42:00"])
def test_success_a_time_of_any_form(timestamp: object) -> None:
    assert post(make_body("user.updated", "usr_1", timestamp=timestamp))[0] == 200


def test_fail_without_a_secret(settings: Settings, woken: list[int]) -> None:
    settings.CONFIG = load({})
    answer = post(make_body("user.updated", "usr_1"))
    assert code_of(answer) == (503, "SW_WEBHOOK_NOT_CONFIGURED")
    assert woken == []


def test_fail_bad_signature(woken: list[int]) -> None:
    body = make_body("user.updated", "usr_1")
    for headers in (
        {"X-ScaiKey-Signature": "t=1,v1=2"},
        make_headers(body, secret="another"),
        make_headers(body + b" "),
        make_headers(body, at=1_000_000_000),
    ):
        assert code_of(post(body, **headers)) == (400, "SW_WEBHOOK_SIGNATURE_INVALID")
    assert not WebhookEvent.objects.exists()
    assert woken == []


def test_success_both_secrets_while_rotating(settings: Settings) -> None:
    values = {"SCAIWAVE_SCAIKEY_WEBHOOK_SECRET": "new"}
    settings.CONFIG = load({**values, "SCAIWAVE_SCAIKEY_WEBHOOK_SECRET_PREVIOUS": SECRET})
    body = make_body("user.updated", "usr_1")
    for secret in ("new", SECRET):
        assert post(body, **make_headers(body, secret=secret))[0] == 200


def test_fail_too_large() -> None:
    body = make_body("user.updated", "usr_1", data="x" * 256 * 1024)
    assert code_of(post(body)) == (413, "SW_WEBHOOK_TOO_LARGE")
    assert post(make_body("user.updated", "usr_1", data="x" * 255 * 1024))[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"\xff"',
        b"[" * 100_000,
        make_body("user.updated", ""),
        make_body("user.updated", "x" * 201),
        make_body("user.updated", "usr_\x001"),
        make_body("user.updated", "usr_1", event_id=""),
        make_body("user.\x00", "usr_1"),
        make_body("user." + "x" * 200, "usr_1"),
        make_body("user.updated", "usr_1", resource=None),
        make_body("user.updated", "usr_1", resource={"type": "user"}),
        make_body("group.member_added", "", resource={"type": "user", "id": "usr_1"}),
    ],
)
def test_fail_not_an_event(body: bytes, woken: list[int]) -> None:
    assert code_of(post(body)) == (400, "SW_WEBHOOK_INVALID")
    assert woken == []


def test_fail_a_busy_database_asks_for_another_delivery(
    monkeypatch: pytest.MonkeyPatch, woken: list[int]
) -> None:
    def busy(**values: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(WebhookEvent.objects, "get_or_create", busy)
    answer = post(make_body("user.updated", "usr_1"))
    assert code_of(answer) == (503, "SW_WEBHOOK_NOT_STORED")
    assert woken == []


def test_fail_another_method_or_no_length() -> None:
    response = Client().get(PATH)
    assert (response.status_code, response["Allow"]) == (405, "POST")
    assert code_of(post(b"", **make_headers(b""))) == (411, "SW_REQUEST_LENGTH_REQUIRED")
