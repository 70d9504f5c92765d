"""Vectors of messages from a ScaiGrid that refuses texts with certain words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rooms.search.vectors import MAX_REFUSED_TEXTS, Embedder
from scaiwave.clients.http.retry import RetryPolicy
from scaiwave.config import Configuration
from tests.scaiwave.clients.raw_socket_server import (
    RawRequest,
    RawResponse,
    RawServer,
    make_response,
)


@dataclass
class ScaiGrid:
    refuses: str = "too long"
    limited: int = 0
    """So many calls are answered with a rate limit of one second."""
    requests: list[list[str]] = field(default_factory=list)

    def respond(self, request: RawRequest) -> RawResponse:
        texts = json.loads(request.body)["input"]
        self.requests.append(texts)
        if self.limited:
            self.limited -= 1
            error = {"code": "RATE_LIMITED", "message": "slow down"}
            return make_response({"error": error}, status=429, headers={"Retry-After": "1"})
        if any(self.refuses in text for text in texts):
            return make_response(
                {"error": {"code": "VALIDATION_ERROR", "message": "no"}}, status=422
            )
        vectors = [
            {"index": number, "embedding": [float(len(text))]} for number, text in enumerate(texts)
        ]
        return make_response({"data": {"data": vectors}})


@pytest.fixture
def scaigrid() -> ScaiGrid:
    return ScaiGrid()


@pytest.fixture
def origin(scaigrid: ScaiGrid) -> Iterator[str]:
    with RawServer(scaigrid.respond) as loopback:
        yield loopback.origin


@contextmanager
def open_embedder(origin: str, total: float = 5.0) -> Iterator[Embedder]:
    environment = {
        "SCAIWAVE_SCAIGRID_URL": origin,
        "SCAIWAVE_SCAIGRID_API_KEY": "sgk_0123456789abcdef",
        "SCAIWAVE_SCAIGRID_EMBEDDING_MODEL": "embed-small",
    }
    missing = Path("/nonexistent")
    config = Configuration(environment, missing, missing / ".env")
    with closing(Embedder(config, RetryPolicy(total=total))) as embedder:
        yield embedder


def test_success_only_a_refused_text_goes_without_a_vector(origin: str) -> None:
    texts = [*["word"] * 20, "this is too long", *["words"] * 43]
    with open_embedder(origin) as embedder:
        assert embedder.embed(texts) == [*[[4.0]] * 20, None, *[[5.0]] * 43]
        assert embedder.is_available
        assert embedder.embed(["more"]) == [[4.0]]


def test_fail_every_text_is_refused(origin: str, scaigrid: ScaiGrid) -> None:
    """Then the texts are not the reason."""
    with open_embedder(origin) as embedder:
        assert embedder.embed(["too long"] * 64) == [None] * 64
        assert not embedder.is_available
        assert sum(len(texts) == 1 for texts in scaigrid.requests) == MAX_REFUSED_TEXTS
        assert embedder.embed(["word"]) == [None]


def test_success_waits_at_the_rate_limit(origin: str, scaigrid: ScaiGrid) -> None:
    scaigrid.limited = 1
    with open_embedder(origin) as embedder:
        assert embedder.embed(["word"]) == [[4.0]]
        assert embedder.is_available


def test_success_stops_when_waiting_would_take_too_long(origin: str, scaigrid: ScaiGrid) -> None:
    scaigrid.limited = 1
    with open_embedder(origin, total=0.5) as embedder:
        assert embedder.embed(["word"]) == [None]
