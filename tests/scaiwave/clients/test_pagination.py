"""Walks over collections of every shape, and over servers that lie."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.pagination import MAX_READY_PAGES, PageIterator
from scaiwave.clients.scaikey.schemas import UserRecord
from scaiwave.core.errors import UpstreamInvalidResponse, UpstreamUnavailable
from tests.scaiwave.clients.raw_socket_server import (
    RawRequest,
    RawResponse,
    RawServer,
    make_response,
)
from tests.scaiwave.clients.retry_policies import QUICK
from tests.tools import count_examples

USERS = "GET /api/v1/admin/users/"

Shape = Callable[[list[Any], int, int], Any]
SHAPES: dict[str, Shape] = {
    "data": lambda rows, total, pages: {"data": rows, "total": total},
    "items": lambda rows, total, pages: {"items": rows, "total": total, "pages": pages},
    "meta": lambda rows, total, pages: {"data": rows, "meta": {"total": total}},
    "pagination": lambda rows, total, pages: {
        "data": rows,
        "meta": {},
        "pagination": {"total_count": total},
    },
    "pages only": lambda rows, total, pages: {"data": rows, "pagination": {"total_pages": pages}},
    "no figures": lambda rows, total, pages: {"items": rows},
    "bare": lambda rows, total, pages: rows,
}


def people(count: int) -> list[dict[str, str]]:
    return [{"id": f"usr_{number}"} for number in range(count)]


def numbered(rows: list[Any], shape: str, *, cap: int = 100) -> Callable[[RawRequest], RawResponse]:
    """A list with pages of `per_page` rows, but never more than `cap`."""

    def respond(request: RawRequest) -> RawResponse:
        size = min(cap, int(request.query["per_page"]))
        start = (int(request.query["page"]) - 1) * size
        total, pages = len(rows), -(-len(rows) // size)
        return make_response(SHAPES[shape](rows[start : start + size], total, pages))

    return respond


def split(pages: list[list[Any]], shape: str) -> Callable[[RawRequest], RawResponse]:
    """A list with just these pages."""
    total = sum(map(len, pages))

    def respond(request: RawRequest) -> RawResponse:
        page = int(request.query["page"])
        rows = pages[page - 1] if page <= len(pages) else []
        return make_response(SHAPES[shape](rows, total, len(pages)))

    return respond


@pytest.fixture
def server() -> Iterator[RawServer]:
    with RawServer(lambda request: make_response([])) as running:
        yield running


@pytest.fixture
def client(server: RawServer) -> Iterator[ScaiKeyClient]:
    with ScaiKeyClient(server.origin, bearer="token", retry_policy=QUICK) as client:
        yield client


def ids(listing: PageIterator[UserRecord]) -> list[str]:
    return [row.id for page in listing for row in page]


def fetching_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("pages")]


any_number = settings(
    max_examples=count_examples(40),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
)


@any_number
@given(
    count=st.integers(0, 60),
    per_page=st.integers(1, 20),
    cap=st.integers(1, 20),
    in_flight=st.integers(1, 8),
    shape=st.sampled_from(list(SHAPES)),
)
def test_success_every_row_once_in_order(
    server: RawServer,
    client: ScaiKeyClient,
    count: int,
    per_page: int,
    cap: int,
    in_flight: int,
    shape: str,
) -> None:
    rows = people(count)
    server.respond = numbered(rows, shape, cap=cap)
    listing = client.iter_pages("users", per_page=per_page, in_flight=in_flight)
    assert ids(listing) == [row["id"] for row in rows]
    assert listing.row_count == count
    assert listing.page_count == -(-count // min(per_page, cap))
    assert not listing.is_truncated
    assert listing.totals_agree
    assert listing.reported_total == (
        None if shape in {"pages only", "no figures", "bare"} else count
    )
    assert fetching_threads() == []


@any_number
@given(
    sizes=st.lists(st.integers(1, 9), max_size=15),
    in_flight=st.integers(1, 8),
    shape=st.sampled_from(list(SHAPES)),
)
def test_success_any_split_into_pages(
    server: RawServer, client: ScaiKeyClient, sizes: list[int], in_flight: int, shape: str
) -> None:
    rows = iter(people(sum(sizes)))
    pages = [[next(rows) for _ in range(size)] for size in sizes]
    server.respond = split(pages, shape)
    listing = client.iter_pages("users", in_flight=in_flight)
    assert [[row.id for row in page] for page in listing] == [[r["id"] for r in p] for p in pages]
    assert not listing.is_truncated
    assert listing.totals_agree
    assert fetching_threads() == []


def test_success_one_page_is_one_request(server: RawServer, client: ScaiKeyClient) -> None:
    server.respond = numbered(people(5), "data")
    assert len(ids(client.iter_pages("users", params={"tenant_id": "tnt_1"}))) == 5
    (request,) = server.requests
    assert request.target == "/api/v1/admin/users/?tenant_id=tnt_1&page=1&per_page=500"
    assert request.headers["authorization"] == "Bearer token"


@pytest.mark.parametrize(
    ("limit", "problem", "sizes"),
    [
        (200, "Input should be less than or equal to 200", [500, 200]),
        (30, "Input should be less than or equal to 30", [500, 30]),
        (100, "Too many", [500, 100]),
        (100, "Input should be less than or equal to 400", [500, 400, 100]),
        (100, "Input should be less than or equal to 0", [500, 100]),
    ],
)
def test_success_the_largest_page_that_the_server_accepts(
    server: RawServer, client: ScaiKeyClient, limit: int, problem: str, sizes: list[int]
) -> None:
    serve = numbered(people(50), "data", cap=limit)

    def refuse(request: RawRequest) -> RawResponse:
        if int(request.query["per_page"]) <= limit:
            return serve(request)
        detail = {"loc": ["query", "per_page"], "msg": problem, "type": "less_than_equal"}
        return make_response({"detail": [detail]}, status=422)

    server.respond = refuse
    for _ in range(2):
        assert len(ids(client.iter_pages("users"))) == 50
    requested = [int(request.query["per_page"]) for request in server.requests]
    assert list(dict.fromkeys(requested)) == sizes
    assert requested.count(500) == 1


@pytest.mark.parametrize("detail", ["No", [{"loc": ["query", "page"], "msg": "No"}]])
def test_fail_a_request_that_is_rejected_whatever_its_size(
    server: RawServer, client: ScaiKeyClient, detail: Any
) -> None:
    server.respond = lambda request: make_response({"detail": detail}, status=422)
    with pytest.raises(UpstreamRejected):
        ids(client.iter_pages("users"))
    assert [request.query["per_page"] for request in server.requests] == ["500", "100"]


def test_success_a_short_bare_list_is_two_requests(
    server: RawServer, client: ScaiKeyClient
) -> None:
    server.respond = numbered(people(5), "bare")
    assert len(ids(client.iter_pages("users"))) == 5
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("shape", "has_total"), [("data", True), ("pages only", True), ("bare", False)]
)
def test_success_requests_at_most_a_few_pages_beyond_the_end(
    server: RawServer, client: ScaiKeyClient, shape: str, has_total: bool
) -> None:
    server.respond = numbered(people(300), shape)
    assert len(ids(client.iter_pages("users", per_page=10))) == 300
    ahead = client.http.max_concurrent_requests + MAX_READY_PAGES
    assert len(server.requests) <= 30 + (0 if has_total else ahead)


def test_success_pages_are_fetched_ahead_but_not_far(
    server: RawServer, client: ScaiKeyClient
) -> None:
    server.respond = numbered(people(1000), "data")
    listing = iter(client.iter_pages("users", per_page=10, in_flight=4))
    for expected in (1 + 4 + MAX_READY_PAGES, 2 + 4 + MAX_READY_PAGES):
        next(listing)
        deadline = time.monotonic() + 60
        while len(server.requests) < expected and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # for those that should not come
        assert len(server.requests) == expected
    del listing
    assert fetching_threads() == []


def test_success_latency_is_shared(server: RawServer, client: ScaiKeyClient) -> None:
    """After the first page, five requests are always in progress, or none gets a response."""
    serve, five = numbered(people(160), "data"), threading.Barrier(5, timeout=60)

    def respond_to_five(request: RawRequest) -> RawResponse:
        if request.query["page"] != "1":
            five.wait()
        return serve(request)

    server.respond = respond_to_five
    assert len(ids(client.iter_pages("users", per_page=10))) == 160


def test_success_abandoned(server: RawServer, client: ScaiKeyClient) -> None:
    server.respond = numbered(people(1000), "data")
    for _ in client.iter_pages("users", per_page=10):
        break
    assert fetching_threads() == []
    request = len(server.requests)
    time.sleep(0.1)
    assert len(server.requests) == request


def test_success_iteration_ended_by_an_exception(server: RawServer, client: ScaiKeyClient) -> None:
    server.respond = numbered(people(1000), "data")
    listing = client.iter_pages("users", per_page=10)
    steps = iter(listing)
    next(steps)
    assert fetching_threads()
    with pytest.raises(ValueError, match="not in list"), listing:
        next(steps).index(UserRecord(id="usr_unknown"))
    assert fetching_threads() == []


def test_success_a_hanging_server_does_not_delay_the_end(
    server: RawServer, client: ScaiKeyClient
) -> None:
    serve, release = numbered(people(1000), "data"), threading.Event()

    def hang(request: RawRequest) -> RawResponse:
        if request.query["page"] != "1":
            release.wait(120)
        return serve(request)

    server.respond = hang
    listing = client.iter_pages("users", per_page=10)
    next(iter(listing))
    began = time.monotonic()
    listing.close()
    assert time.monotonic() - began < 60
    assert all(thread.daemon for thread in fetching_threads())
    release.set()
    while fetching_threads():
        time.sleep(0.01)


def test_fail_error_in_the_middle(server: RawServer, client: ScaiKeyClient) -> None:
    serve = numbered(people(1000), "data")
    server.respond = lambda request: (
        make_response({}, status=500) if request.query["page"] == "4" else serve(request)
    )
    pages = iter(client.iter_pages("users", per_page=10))
    assert [next(pages)[0].id for _ in range(3)] == ["usr_0", "usr_10", "usr_20"]
    with pytest.raises(UpstreamUnavailable) as caught:
        next(pages)
    assert caught.value.message == (
        f"ScaiKey at {server.origin} responded to {USERS} with 500 (Internal Server Error)."
    )
    assert fetching_threads() == []


def test_success_error_in_the_middle_is_retried(server: RawServer, client: ScaiKeyClient) -> None:
    serve, failed = numbered(people(200), "data"), set()

    def once(request: RawRequest) -> RawResponse:
        if request.target in failed:
            return serve(request)
        failed.add(request.target)
        return make_response({}, status=503)

    server.respond = once
    assert len(ids(client.iter_pages("users", per_page=10))) == 200
    assert client.requests == 40


@pytest.mark.parametrize("in_flight", [1, 8])
def test_fail_truncated(server: RawServer, client: ScaiKeyClient, in_flight: int) -> None:
    rows = people(100)

    def cut(request: RawRequest) -> RawResponse:
        page = int(request.query["page"])
        return make_response(
            {"data": rows[page * 10 - 10 : page * 10] if page < 5 else [], "total": 100}
        )

    server.respond = cut
    listing = client.iter_pages("users", per_page=10, in_flight=in_flight)
    assert len(ids(listing)) == 40
    assert listing.is_truncated
    assert listing.reported_total == 100
    assert listing.totals_agree


def test_fail_truncated_by_pages(server: RawServer, client: ScaiKeyClient) -> None:
    server.respond = lambda request: make_response(
        {"data": people(1) if request.query["page"] == "1" else [], "meta": {"total_pages": 3}}
    )
    listing = client.iter_pages("users")
    assert len(ids(listing)) == 1
    assert listing.is_truncated
    assert listing.reported_total is None


def test_fail_empty_at_once(server: RawServer, client: ScaiKeyClient) -> None:
    server.respond = lambda request: make_response({"data": [], "total": 7})
    listing = client.iter_pages("users")
    assert ids(listing) == []
    assert listing.is_truncated
    assert listing.reported_total == 7


def test_success_empty(server: RawServer, client: ScaiKeyClient) -> None:
    server.respond = lambda request: make_response({"data": [], "total": 0})
    listing = client.iter_pages("users")
    assert ids(listing) == []
    assert (
        listing.is_truncated,
        listing.reported_total,
        listing.page_count,
        listing.row_count,
    ) == (False, 0, 0, 0)


@pytest.mark.parametrize(("later", "total"), [(101, 101), (None, 100), (99, 99)])
def test_fail_totals_disagree(
    server: RawServer, client: ScaiKeyClient, later: int | None, total: int
) -> None:
    rows = people(total)

    def respond(request: RawRequest) -> RawResponse:
        page = int(request.query["page"])
        reported = 100 if page == 1 else later
        return make_response({"data": rows[page * 10 - 10 : page * 10], "total": reported})

    server.respond = respond
    listing = client.iter_pages("users", per_page=10)
    assert len(ids(listing)) == total
    assert not listing.totals_agree
    assert not listing.is_truncated
    assert listing.reported_total == total


def test_fail_total_too_small(server: RawServer, client: ScaiKeyClient) -> None:
    """Rows beyond the total prove it wrong, so only an empty page is believed."""
    rows = people(95)

    def respond(request: RawRequest) -> RawResponse:
        page = int(request.query["page"])
        return make_response({"data": rows[page * 10 - 10 : page * 10], "total": 15})

    server.respond = respond
    listing = client.iter_pages("users", per_page=10)
    assert len(ids(listing)) == 95
    assert not listing.totals_agree
    assert not listing.is_truncated
    assert listing.reported_total == 15


@pytest.mark.parametrize("shape", ["data", "bare"])
def test_fail_page_is_ignored(server: RawServer, client: ScaiKeyClient, shape: str) -> None:
    server.respond = lambda request: make_response(SHAPES[shape](people(100), 500, 5))
    with pytest.raises(UpstreamInvalidResponse) as caught:
        ids(client.iter_pages("users"))
    assert (
        caught.value.message == f"ScaiKey returned the same records for pages 1 and 2 of {USERS}."
    )
    assert caught.value.fix == (
        "Report this to the operators of ScaiKey: it seems to ignore `page`."
    )
    assert fetching_threads() == []


def test_fail_endless(server: RawServer, client: ScaiKeyClient) -> None:
    server.respond = lambda request: make_response([{"id": f"usr_{request.query['page']}"}])
    with pytest.raises(UpstreamInvalidResponse) as caught:
        ids(client.iter_pages("users", max_pages=50))
    assert caught.value.message == (f"ScaiKey's list {USERS} has more than 50 pages.")
    assert len(server.requests) <= 50 + client.http.max_concurrent_requests + MAX_READY_PAGES


def test_fail_a_list_that_takes_too_long(server: RawServer, client: ScaiKeyClient) -> None:
    server.respond = lambda request: make_response([{"id": f"usr_{request.query['page']}"}])
    with pytest.raises(UpstreamInvalidResponse) as caught:
        ids(client.iter_pages("users", max_seconds=0))
    assert caught.value.message == (
        f"ScaiKey's list {USERS} did not end within 0 hours; 0 records were read."
    )


def test_fail_huge_total(server: RawServer, client: ScaiKeyClient) -> None:
    server.respond = lambda request: make_response(
        {"data": people(10) if request.query["page"] == "1" else [], "total": 2**53}
    )
    listing = client.iter_pages("users")
    assert len(ids(listing)) == 10
    assert listing.is_truncated
    assert len(server.requests) <= 1 + client.http.max_concurrent_requests + MAX_READY_PAGES


def test_fail_iterated_twice(server: RawServer, client: ScaiKeyClient) -> None:
    listing = client.iter_pages("users")
    assert ids(listing) == []
    with pytest.raises(RuntimeError, match="a list can be iterated over once"):
        iter(listing)


UNUSABLE: list[tuple[str, str, str]] = [
    ("{}", "", "object missing required field `id`"),
    ('{"id": ""}', "", "expected `str` of length >= 1 at `id`"),
    ('{"id": 17}', "", "expected `str`, got `int` at `id`"),
    ('{"id": "' + "y" * 201 + '"}', "", "expected `str` of length <= 200 at `id`"),
    ('{"id": "x\\u0000"}', "", "an id has control characters"),
    ('{"id": "x\\ud800"}', "", "an id has control characters"),
    ('{"id": "x", "email": ["no"]}', "x", "expected `str | null`, got `array` at `email`"),
    ('{"id": "x", "tenant": {"id": 5}}', "x", "expected `str | null`, got `int` at `tenant.id`"),
    ('{"id": "x", "status": 1}', "x", "expected `str | null`, got `int` at `status`"),
    ("null", "", "expected `object`, got `null`"),
    ("[]", "", "expected `object`, got `array`"),
]


def with_row(row: str, shape: str) -> Callable[[RawRequest], RawResponse]:
    """Ten good records, then two more and this one."""
    pages = {"1": json.dumps(people(10)), "2": f'[{{"id": "a"}}, {{"id": "b"}}, {row}]'}

    def respond(request: RawRequest) -> RawResponse:
        rows = pages.get(request.query["page"], "[]")
        body = rows if shape == "bare" else f'{{"{shape}": {rows}, "total": 13}}'
        return make_response(body.encode())

    return respond


@pytest.mark.parametrize(("row", "record_id", "reason"), UNUSABLE)
@pytest.mark.parametrize("shape", ["data", "items", "bare"])
def test_success_an_unusable_record_is_set_aside(
    server: RawServer,
    client: ScaiKeyClient,
    row: str,
    record_id: str,
    reason: str,
    shape: str,
) -> None:
    server.respond = with_row(row, shape)
    listing = client.iter_pages("users", per_page=10)
    assert len(ids(listing)) == 12
    (unusable,) = listing.unusable
    assert (unusable.id, unusable.reason) == (record_id, reason)
    assert unusable.place == f"row 2 of page 2 of {USERS}"
    assert (listing.row_count, listing.is_truncated, listing.is_complete) == (13, False, False)


@pytest.mark.parametrize(
    ("row", "name", "value"),
    [
        ('{"id": "x", "first_name": "Se\\u0000cret"}', "first_name", "Secret"),
        ('{"id": "x", "email": "a\\u001b[31m\\n\\u007f@b"}', "email", "a[31m@b"),
        ('{"id": "x", "last_name": "\\u0085\\u009b\u0085K\x7fim"}', "last_name", "Kim"),
        ('{"id": "x", "last_name": "\\ud800Kim"}', "last_name", "Kim"),
        ('{"id": "x", "tenant": {"id": "tnt\\u0000"}}', "tenant_id", "tnt"),
        ('{"id": "x", "email": "\\\\u0000"}', "email", "\\u0000"),
        ('{"id": "x", "last_name": "Łukasz «Ça» \u00a0"}', "last_name", "Łukasz «Ça» \u00a0"),
        ('{"id": "x", "unknown": {"a": "\\udfff"}}', "last_name", ""),
    ],
)
@pytest.mark.parametrize("shape", ["data", "bare"])
def test_success_control_characters_are_dropped(
    server: RawServer, client: ScaiKeyClient, row: str, name: str, value: str, shape: str
) -> None:
    server.respond = with_row(row, shape)
    listing = client.iter_pages("users", per_page=10)
    records = [record for page in listing for record in page]
    assert getattr(records[-1], name) == value
    assert listing.unusable == []


def test_success_a_large_page_is_refused_once(server: RawServer, client: ScaiKeyClient) -> None:
    """From then on every list is requested in smaller pages."""

    def respond(request: RawRequest) -> RawResponse:
        if int(request.query["per_page"]) > 100:
            detail = [{"loc": ["query", "per_page"], "msg": "too many", "type": "less_than"}]
            return make_response({"detail": detail}, status=422)
        return numbered(people(250), "data")(request)

    server.respond = respond
    assert len(ids(client.iter_pages("users"))) == 250
    assert len(ids(client.iter_pages("users", per_page=200))) == 250
    assert sum(map(len, client.iter_pages("tenants"))) == 250
    sizes = [request.query["per_page"] for request in server.requests]
    assert sizes == ["500", *["100"] * 3, "200", *["100"] * 6]


@pytest.mark.parametrize(
    ("pages", "totals", "is_complete"),
    [
        ([3, 3, 2], [8, 8, 8, 8], True),
        ([3, 3, 2], [8, 8, 9, 8], False),
        ([3, 3, 2], [8, 8, 8, 7], False),
        ([3, 3, 2], [7, 7, 7, 7], False),
        ([3, 3, 2], [None, None, None, None], True),
        ([3, 3, 2], [8, None, None, None], True),
        ([3, 2, 3], [None, None, None, None], False),
        ([3, 2, 3], [8, 8, 8, 8], True),
        ([2, 3], [None, None, None], False),
        ([4], [None, None], True),
        ([4], [4, 4], True),
        ([4], [4, 5], False),
        ([], [0], True),
        ([], [None], True),
        ([], [3], False),
    ],
)
def test_success_complete_lists(
    server: RawServer,
    client: ScaiKeyClient,
    pages: list[int],
    totals: list[int | None],
    is_complete: bool,
) -> None:
    rows = iter(people(sum(pages)))
    bodies = [
        {"data": [next(rows) for _ in range(size)], "total": total}
        for size, total in zip([*pages, 0], totals, strict=True)
    ]
    server.respond = lambda request: make_response(
        bodies[min(int(request.query["page"]), len(bodies)) - 1]
    )
    listing = client.iter_pages("users", to_end=True, in_flight=1)
    assert len(ids(listing)) == sum(pages)
    assert listing.is_complete is is_complete


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"<html>", "it is not JSON"),
        (b"", "it is not JSON"),
        (b'{"data": [', "it is not JSON"),
        (b'{"data": [{"id": "\xff"}]}', "it is not JSON"),
        (b'{"data": [], "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "it is not JSON"),
        (b'{"results": []}', "no list in `data` or `items`"),
        (b'{"data": null}', "no list in `data` or `items`"),
        (b'{"detail": "no"}', "no list in `data` or `items`"),
        (b'{"data": {}}', "no list in `data` or `items`"),
        (b'{"data": [], "total": -1}', "expected `int` >= 0 at `total`"),
        (b'{"data": [], "total": "7"}', "expected `int | null`, got `str` at `total`"),
        (b'"text"', "no list in `data` or `items`"),
    ],
)
def test_fail_not_a_list(server: RawServer, client: ScaiKeyClient, body: bytes, what: str) -> None:
    server.respond = lambda request: make_response(body)
    with pytest.raises(UpstreamInvalidResponse) as caught:
        ids(client.iter_pages("users"))
    assert caught.value.message == f"Invalid response from ScaiKey, page 1 of {USERS}: {what}."
