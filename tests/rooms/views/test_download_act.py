"""The download of a room in the admin site, with a real client and server."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.rooms.views.live_server import LiveServer
from tests.rooms.views.sample_data import BIG_EVENTS
from tests.rooms.views.test_http_export import read_manifest
from tests.scaiwave.site.pages import fill_in, sign_in, submit

PASSWORD = "correct horse battery"
TIMEOUT_SECONDS = 60.0
REASON = "asked for by <legal>"


@pytest.fixture
def browser(server: LiveServer) -> Iterator[httpx.Client]:
    server.run_python(f"""
from tenants.models import AdminUser
if not AdminUser.objects.filter(username="olga").exists():
    AdminUser.objects.create_superuser("olga", password={PASSWORD!r})
report(None)
""")
    with httpx.Client(
        base_url=server.url, follow_redirects=True, timeout=TIMEOUT_SECONDS
    ) as client:
        sign_in(client, "olga", PASSWORD)
        yield client


def address(server: LiveServer, room: str) -> str:
    return f"/admin/act/room-export/{server.rooms[room]}/"


def read_last_entry(server: LiveServer) -> list[Any]:
    result: list[Any] = server.run_python("""
from tenants.models import AuditEntry
row = AuditEntry.objects.filter(action="export-room").order_by("-at", "-id")[0]
report([row.operator, row.operator_role, row.subject_id, row.details])
""")
    return result


def test_success_a_whole_bundle_or_a_period_of_it(
    server: LiveServer, browser: httpx.Client
) -> None:
    answer = submit(browser, address(server, "lobby"), reason=REASON, with_media="on")
    assert answer.headers["content-type"] == "application/zip"
    assert "no-store" in answer.headers["cache-control"]
    assert ".zip" in answer.headers["content-disposition"]
    assert [media["missing"] for media in read_manifest(answer.content)["media"]] == [None]
    operator, role, room, details = read_last_entry(server)
    assert (operator, role, room) == ("olga", "super_admin", server.rooms["lobby"])
    assert details == {"window": None, "media": True, "reason": REASON}

    answer = submit(browser, address(server, "big"), reason=REASON)
    assert len(read_manifest(answer.content)["events"]) == BIG_EVENTS
    answer = submit(browser, address(server, "big"), reason=REASON, until="2020-01-01")
    assert read_manifest(answer.content)["events"] == []


@pytest.mark.parametrize("reason", ["\u202edne", "\u3164", "a\nb"])
def test_fail_a_reason_that_no_one_can_read(
    reason: str, server: LiveServer, browser: httpx.Client
) -> None:
    answer = submit(browser, address(server, "lobby"), reason=reason)
    assert "The reason is too long or can&#x27;t be printed." in answer.text


@pytest.mark.parametrize("kind", ["html", "text", "csv", "rsmf"])
def test_success_a_transcript(kind: str, server: LiveServer, browser: httpx.Client) -> None:
    page = f"/admin/act/room-transcript/{server.rooms['lobby']}/"
    values = {"reason": REASON, "with_media": "on", "format": kind, "time_zone": "Asia/Tokyo"}
    answer = submit(browser, page, **values)
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        record = json.loads(archive.read("transcript.json"))
        names = {file["name"] for file in record["files"]}
        assert set(archive.namelist()) == {*names, "transcript.json"}
    assert (record["transcript"], record["time_zone"]) == (kind, "Asia/Tokyo")
    details = read_last_entry(server)[-1]
    assert (details["transcript"], details["reason"]) == (kind, REASON)


def test_fail_a_transcript_without_a_reason_or_a_zone(
    server: LiveServer, browser: httpx.Client
) -> None:
    page = f"/admin/act/room-transcript/{server.rooms['lobby']}/"
    answer = submit(browser, page, format="html", time_zone="UTC")
    assert "This field is required." in answer.text
    answer = submit(browser, page, reason=REASON, format="html", time_zone="Mars")
    assert "Time zone not found: Mars." in answer.text


def test_fail_a_damaged_room_breaks_the_connection(
    server: LiveServer, browser: httpx.Client
) -> None:
    received = b""
    form = fill_in(browser, address(server, "damaged"), reason=REASON, with_media="on")
    with browser.stream("POST", address(server, "damaged"), data=form) as answer:
        chunks = answer.iter_raw()
        while chunk := next_chunk(chunks):
            received += chunk
    assert received
    assert not zipfile.is_zipfile(io.BytesIO(received))
    # Nothing of it is left in the way of the next one.
    answer = submit(browser, address(server, "lobby"), reason=REASON)
    assert zipfile.is_zipfile(io.BytesIO(answer.content))


def next_chunk(chunks: Iterator[bytes]) -> bytes:
    """Return the next part, or nothing once the connection is broken; it may not end well."""
    try:
        return next(chunks)
    except httpx.RemoteProtocolError:
        return b""


@pytest.mark.parametrize(
    ("room", "values", "message"),
    [
        ("lobby", {}, "This field is required."),
        ("lobby", {"reason": REASON, "since": "some day"}, "is not today, yesterday, a date"),
    ],
)
def test_fail_what_can_not_be_exported(
    room: str, values: dict[str, str], message: str, server: LiveServer, browser: httpx.Client
) -> None:
    answer = submit(browser, address(server, room), **values)
    assert answer.headers["content-type"].startswith("text/html")
    assert message in answer.text


def test_fail_a_bridge_can_not_be_exported(server: LiveServer, browser: httpx.Client) -> None:
    answer = browser.get(address(server, "bridge"), follow_redirects=False)
    assert answer.headers["Location"] == f"/admin/rooms/room/{server.rooms['bridge']}/change/"


def test_fail_clients_that_see_no_end(server: LiveServer, browser: httpx.Client) -> None:
    form = fill_in(browser, address(server, "lobby"), reason=REASON)
    body = str(httpx.QueryParams(form))
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    answer = server.send_raw(
        f"POST {address(server, 'lobby')} HTTP/1.0\r\nHost: localhost\r\nCookie: {cookies}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        f"{body}".encode()
    )
    assert b"HTTP/1.0 is not supported" in answer
    assert b"PK\x03\x04" not in answer
