"""What the sandbox announces, how it signs it, and how badly it can deliver."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.errors import InvalidWebhook
from scaiwave.sandbox.webhooks import EVENT_TYPES, MAX_ATTEMPTS


class Receiver:
    """A web server that keeps what it is sent, and answers `statuses` in turn, then 200."""

    def __init__(self) -> None:
        self.received: list[tuple[Message, bytes]] = []
        self.statuses: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.received.append((self.headers, body))
                status = receiver.statuses.pop(0) if receiver.statuses else 200
                self.send_response(status)
                if status == 301:
                    self.send_header("Location", "https://127.0.0.1:1/hook")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - its name
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/hook"

    def events(self) -> list[tuple[str, str]]:
        bodies = [json.loads(body) for _, body in self.received]
        return [(body["event_type"], body["resource"]["id"]) for body in bodies]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, args=(0.02,))
    thread.start()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()
    thread.join()


@pytest.fixture
def announcing(receiver: Receiver) -> Iterator[Sandbox]:
    with Sandbox(people=30, tenants=2, groups=3, webhook_url=receiver.url) as sandbox:
        yield sandbox


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_success_signed_as_scaikey_documents_it(announcing: Sandbox, receiver: Receiver) -> None:
    tenant = next(iter(announcing.directory.tenants))
    person = announcing.mutate("add_user", tenant_id=tenant)
    wait_for(lambda: receiver.received)
    headers, body = receiver.received[0]
    event = json.loads(body)
    assert event["event_type"] == headers["X-ScaiKey-Event-Type"] == "user.created"
    assert event["event_id"] == headers["X-ScaiKey-Event-ID"]
    assert event["resource"] == {"type": "user", "id": person}
    assert event["tenant_id"] == tenant
    assert set(event) == {
        "event_id",
        "event_type",
        "timestamp",
        "resource",
        "actor",
        "data",
        "tenant_id",
        "partner_id",
    }
    moment = headers["X-ScaiKey-Timestamp"]
    assert abs(int(moment) - time.time()) < 10
    secret = announcing.webhooks.options.secret.encode()
    digest = hmac.new(secret, moment.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["X-ScaiKey-Signature"] == f"t={moment},v1={digest}"


def test_success_every_mutation_of_one_record(announcing: Sandbox, receiver: Receiver) -> None:
    mutate = announcing.mutate
    partner = mutate("add_partner", name="P", slug="p")
    tenant = mutate("add_tenant", name="T", slug="t", partner_id=partner)
    person = mutate("add_user", tenant_id=tenant)
    group = mutate("add_group", tenant_id=tenant)
    mutate("update_partner", partner_id=partner, name="P2")
    mutate("update_tenant", tenant_id=tenant, name="T2")
    mutate("update_group", group_id=group, name="G2")
    mutate("add_member", group_id=group, user_id=person)
    mutate("add_member", group_id=group, user_id=person)  # already a member: no event
    mutate("remove_member", group_id=group, user_id=person)
    mutate("set_roles", user_id=person, roles=["editors"])
    mutate("update_user", user_id=person, display_name="U2")
    mutate("suspend_user", user_id=person)
    mutate("move_user", user_id=person, tenant_id=next(iter(announcing.directory.tenants)))
    mutate("remove_user", user_id=person)
    mutate("remove_group", group_id=group)
    mutate("remove_tenant", tenant_id=tenant)
    mutate("remove_partner", partner_id=partner)
    wait_for(lambda: len(receiver.received) == len(EVENT_TYPES))
    assert receiver.events()[0] == ("partner.created", partner)
    assert receiver.events()[-1] == ("partner.deleted", partner)
    assert {event_type for event_type, _ in receiver.events()} == set(EVENT_TYPES.values())


def test_success_delivery_is_retried_until_accepted(
    announcing: Sandbox, receiver: Receiver
) -> None:
    receiver.statuses = [503, 400]
    event_id = announcing.webhooks.announce("user.deleted", "usr_1")
    wait_for(lambda: len(receiver.received) == 3)
    assert {headers["X-ScaiKey-Event-ID"] for headers, _ in receiver.received} == {event_id}
    wait_for(lambda: len(announcing.webhooks.recent) == 3)
    assert [delivery.status for delivery in announcing.webhooks.recent] == [503, 400, 200]


def test_fail_receiver_is_down(announcing: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    announcing.webhooks.configure({"url": "http://127.0.0.1:1/hook"})
    event_id = announcing.webhooks.announce("user.deleted", "usr_1")
    wait_for(lambda: caplog.messages)
    assert [each.status for each in announcing.webhooks.recent] == [0] * MAX_ATTEMPTS
    assert caplog.messages == [
        f"Event {event_id} was not accepted: no response ([Errno 111] Connection refused)."
    ]


def test_fail_receiver_redirects(
    announcing: Sandbox, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """As a server with an https address does, whose web server has no TLS itself."""
    receiver.statuses = [301] * MAX_ATTEMPTS
    event_id = announcing.webhooks.announce("user.deleted", "usr_1")
    wait_for(lambda: caplog.messages)
    assert [each.status for each in announcing.webhooks.recent] == [301] * MAX_ATTEMPTS
    assert caplog.messages == [
        f"Event {event_id} was not accepted: 301, a redirect to https://127.0.0.1:1/hook."
    ]


def test_success_lost_and_repeated(announcing: Sandbox, receiver: Receiver) -> None:
    announcing.webhooks.configure({"lose": 1.0})
    announcing.webhooks.announce("user.deleted", "usr_lost")
    announcing.webhooks.configure({"lose": 0.0, "repeat": 1.0})
    announcing.webhooks.announce("user.deleted", "usr_1")
    wait_for(lambda: len(receiver.received) == 2)
    assert receiver.events() == [("user.deleted", "usr_1")] * 2


def test_success_out_of_order(announcing: Sandbox, receiver: Receiver) -> None:
    announcing.webhooks.configure({"hold_seconds": 0.2})
    ids = [f"usr_{number}" for number in range(20)]
    for key in ids:
        announcing.webhooks.announce("user.updated", key)
    wait_for(lambda: len(receiver.received) == 20)
    arrived = [key for _, key in receiver.events()]
    assert sorted(arrived) == sorted(ids)
    assert arrived != ids


def test_success_over_http(announcing: Sandbox, receiver: Receiver) -> None:
    control = f"{announcing.url}/sandbox/webhooks"
    options = httpx.post(control, json={"secret": "whsec"}).json()
    assert (options["url"], options["secret"]) == (receiver.url, "whsec")
    sent = httpx.post(f"{control}/send", json={"event_type": "user.deleted", "id": "usr_9"})
    wait_for(lambda: announcing.webhooks.recent)
    (delivery,) = httpx.get(control).json()["recent"]
    assert delivery == {
        "event_id": sent.json()["event_id"],
        "event_type": "user.deleted",
        "resource_id": "usr_9",
        "status": 200,
    }
    assert httpx.post(control, json={"url": "file:///etc/passwd"}).status_code == 422


@pytest.mark.parametrize("changes", [{"url": "ftp://x"}, {"lose": "half"}, {"unknown": 1}])
def test_fail_options(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidWebhook):
        Sandbox(people=1, tenants=1).webhooks.configure(changes)


def test_success_old_mutations_are_not_announced_again(tmp_path: Path, receiver: Receiver) -> None:
    sizes: dict[str, Any] = {"people": 5, "tenants": 1, "groups": 1, "state_dir": tmp_path}
    Sandbox(**sizes).mutate("add_partner", name="P", slug="p")
    with Sandbox(**sizes, webhook_url=receiver.url) as sandbox:
        sandbox.mutate("add_partner", name="Q", slug="q")
        wait_for(lambda: receiver.received)
    assert [event_type for event_type, _ in receiver.events()] == ["partner.created"]
