"""Every injected fault, from the client's side."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import httpx
import msgspec
import pytest

from scaiwave.sandbox import Sandbox
from tests.scaiwave.sandbox.helpers import ADMIN, get_rows, make_client, walk

USERS = f"{ADMIN}/users/"


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503, 504, 599])
def test_success_status(sandbox: Sandbox, api: httpx.Client, status: int) -> None:
    sandbox.faults.add("status", path=USERS, status=status, headers={"Retry-After": "1"}, times=1)

    response = api.get(USERS)

    assert (response.status_code, response.headers["retry-after"]) == (status, "1")
    assert response.json() == {"detail": f"Fault {status}"}
    assert api.get(USERS).status_code == 200


def test_success_own_body(sandbox: Sandbox, api: httpx.Client) -> None:
    sandbox.faults.add("status", status=400, body={"error": "busy"})
    assert api.get(USERS).json() == {"error": "busy"}


def test_success_rules_choose_requests(sandbox: Sandbox, api: httpx.Client) -> None:
    sandbox.faults.add("status", path="/api/v1/admin/u*", method="GET", query={"page": "2"})
    sandbox.faults.add("status", path=f"{ADMIN}/groups/", nth=2)
    sandbox.faults.add("status", path=f"{ADMIN}/tenants/", after=1, times=2)
    sandbox.faults.add("status", path=f"{ADMIN}/partners/", method="POST")

    def get_statuses(path: str, **query: str) -> list[int]:
        return [api.get(path, params=query).status_code for _ in range(4)]

    assert get_statuses(USERS, page="2") == [503] * 4
    assert get_statuses(USERS, page="1") == [200] * 4
    assert get_statuses(f"{ADMIN}/groups/") == [200, 503, 200, 200]
    assert get_statuses(f"{ADMIN}/tenants/") == [200, 503, 503, 200]
    assert get_statuses(f"{ADMIN}/partners/") == [200] * 4


@pytest.mark.parametrize("action", ["drop", "cut", "wrong_length"])
def test_success_connection_breaks(sandbox: Sandbox, api: httpx.Client, action: Any) -> None:
    sandbox.faults.add(action, path=USERS, times=1)

    with pytest.raises(httpx.RemoteProtocolError):
        api.get(USERS)
    assert sandbox.requests.recent[-1][1] == (0 if action == "drop" else 200)
    assert api.get(USERS).status_code == 200


def test_success_redirect(sandbox: Sandbox, api: httpx.Client) -> None:
    sandbox.faults.add("redirect", location="https://elsewhere.example/", status=302)

    response = api.get(USERS)

    assert (response.status_code, response.headers["location"]) == (
        302,
        "https://elsewhere.example/",
    )


def test_success_invalid_json(sandbox: Sandbox, api: httpx.Client) -> None:
    sandbox.faults.add("not_json", times=1)
    sandbox.faults.add("wrong_shape", times=1)
    sandbox.faults.add("wrong_shape", body="text", times=1)

    response = api.get(USERS)
    assert response.headers["content-type"] == "text/html"
    assert response.text.startswith("<html>")
    assert api.get(USERS).json() == {"results": "all good", "count": {}}
    assert api.get(USERS).json() == "text"


def test_success_hang(sandbox: Sandbox, api: httpx.Client) -> None:
    sandbox.faults.add("hang", seconds=30, times=1)
    with pytest.raises(httpx.ReadTimeout):
        api.get(USERS, timeout=0.1)
    sandbox.faults.add("hang", seconds=0.01, times=1)
    assert api.get(USERS).status_code == 200


def test_success_latency(sandbox: Sandbox, api: httpx.Client) -> None:
    sandbox.latency = 0.2
    started = time.monotonic()
    api.get(USERS)
    assert time.monotonic() - started >= 0.2


def test_success_damaged_pages(sandbox: Sandbox, api: httpx.Client) -> None:
    good = get_rows(api.get(USERS).json())

    def get_faulty_page(action: Any, **settings: Any) -> tuple[list[Any], int]:
        sandbox.faults.add(action, path=USERS, times=1, **settings)
        body = api.get(USERS).json()
        return body["data"], body["pagination"]["total"]

    assert get_faulty_page("malformed_row") == ([*good[:-1], {"id": 17, "email": ["no"]}], 130)
    assert get_faulty_page("empty_page") == ([], 130)
    assert get_faulty_page("total", rows=30) == (good, 100)
    assert get_faulty_page("total", total=7) == (good, 7)
    assert get_faulty_page("duplicate", rows=2) == (good[:2] + good, 130)
    rows, total = get_faulty_page("shift", rows=1)
    assert (rows[:-1], total) == (good[1:], 130)
    assert get_faulty_page("shift", rows=-3) == (good, 130)


def test_success_rows_move_between_pages(sandbox: Sandbox, api: httpx.Client) -> None:
    sandbox.faults.add("shift", path=USERS, query={"page": "2"}, rows=-5)
    sandbox.faults.add("shift", path=USERS, query={"page": "3"}, rows=5)

    rows = [row["id"] for row in walk(api, USERS)]

    assert len(rows) == 130
    assert len(set(rows)) == 120


def test_success_over_http(sandbox: Sandbox, api: httpx.Client) -> None:
    rule = {"action": "status", "path": USERS, "status": 503, "times": 1}
    assert api.post("/sandbox/faults", json=rule).status_code == 201
    assert api.get(USERS).status_code == 503
    (rule_row,) = api.get("/sandbox/faults").json()["faults"]
    assert (rule_row["action"], rule_row["seen"], rule_row["fired"]) == ("status", 1, 1)
    api.post("/sandbox/faults", json={"action": "drop"})
    assert api.delete("/sandbox/faults").status_code == 204
    assert api.get(USERS).status_code == 200


@pytest.mark.parametrize("rule", [{}, {"action": "explode"}, {"action": "drop", "when": 1}])
def test_fail_no_such_rule(sandbox: Sandbox, api: httpx.Client, rule: dict[str, Any]) -> None:
    refused = api.post("/sandbox/faults", json=rule)
    assert refused.status_code == 422
    assert refused.json()["detail"].endswith(
        ". Actions: status, redirect, not_json, wrong_shape, drop, cut, wrong_length, hang, "
        "malformed_row, empty_page, total, duplicate, shift."
    )
    assert sandbox.faults.list_rules() == []


def test_fail_no_such_rule_in_python(sandbox: Sandbox) -> None:
    with pytest.raises(msgspec.ValidationError):
        sandbox.faults.add("drop", when=1)


def exchange(sandbox: Sandbox, data: bytes) -> bytes:
    """Send raw bytes, and return everything the server sends until it closes the connection."""
    with socket.create_connection(("127.0.0.1", sandbox.port), timeout=5) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.0\r\n\r\n", b"505"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(200)), b"431"),
        (b"POST / HTTP/1.1\r\nContent-Length: 2000000\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
    ],
)
def test_fail_bad_request(sandbox: Sandbox, data: bytes, status: bytes) -> None:
    assert exchange(sandbox, data).startswith(b"HTTP/1.1 " + status)


def test_success_pipelined_then_closed(sandbox: Sandbox) -> None:
    request = b"GET /sandbox/ HTTP/1.1\r\n\r\n"
    answers = exchange(
        sandbox, request + b"GET /sandbox/ HTTP/1.1\r\nConnection: close\r\n\r\n" + request
    )
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.count(b"Connection: close") == 1


def test_fail_client_leaves_within_its_request(sandbox: Sandbox, api: httpx.Client) -> None:
    body = b'{"op": "add_partner", "name": "N", "slug": "n"}'
    head = b"POST /sandbox/mutate HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (len(body) + 5)

    assert exchange(sandbox, head + body) == b""
    assert len(walk(api, f"{ADMIN}/partners/")) == 3


def test_success_stop_ends_open_connections_and_frees_the_port() -> None:
    # A sandbox of another test in this process may still run.
    other_threads = set(threading.enumerate())
    sandbox = Sandbox(people=10, tenants=1).start()
    port, before = sandbox.port, threading.active_count()
    with make_client(sandbox, sandbox.issue_token(role="super_admin")) as client:
        client.get(USERS)
        assert threading.active_count() > before
        sandbox.stop()
        with pytest.raises(httpx.TransportError):
            client.get(USERS)
    assert not set(threading.enumerate()) - other_threads
    with Sandbox(people=10, tenants=1, port=port) as again:
        assert again.port == port
    again.stop()
