"""Vectors of messages from a ScaiGrid that takes no text with certain words in it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rooms.search.vectors import MOST_REFUSED, Vectors
from scaiwave.clients.http.retry import RetryPolicy
from scaiwave.config import Configuration
from tests.scaiwave.clients.loopback import Asked, Loopback, Said, say


@dataclass
class ScaiGrid:
    refuses: str = "too long"
    limited: int = 0
    """So many calls are told to wait for a second."""
    asked: list[list[str]] = field(default_factory=list)

    def answer(self, asked: Asked) -> Said:
        texts = json.loads(asked.body)["input"]
        self.asked.append(texts)
        if self.limited:
            self.limited -= 1
            error = {"code": "RATE_LIMITED", "message": "slow down"}
            return say({"error": error}, status=429, headers={"Retry-After": "1"})
        if any(self.refuses in text for text in texts):
            return say({"error": {"code": "VALIDATION_ERROR", "message": "no"}}, status=422)
        vectors = [
            {"index": place, "embedding": [float(len(text))]} for place, text in enumerate(texts)
        ]
        return say({"data": {"data": vectors}})


@pytest.fixture
def scaigrid() -> ScaiGrid:
    return ScaiGrid()


@pytest.fixture
def origin(scaigrid: ScaiGrid) -> Iterator[str]:
    with Loopback(scaigrid.answer) as loopback:
        yield loopback.origin


@contextmanager
def vectors(origin: str, total: float = 5.0) -> Iterator[Vectors]:
    environment = {
        "SCAIWAVE_SCAIGRID_URL": origin,
        "SCAIWAVE_SCAIGRID_API_KEY": "sgk_0123456789abcdef",
        "SCAIWAVE_SCAIGRID_EMBEDDING_MODEL": "embed-small",
    }
    nowhere = Path("/nonexistent")
    config = Configuration(environment, nowhere, nowhere / ".env")
    with closing(Vectors(config, RetryPolicy(total=total))) as made:
        yield made


def test_success_one_text_that_is_refused_is_the_only_one_without(origin: str) -> None:
    texts = [*["word"] * 20, "this is too long", *["words"] * 43]
    with vectors(origin) as made:
        assert made.of(texts) == [*[[4.0]] * 20, None, *[[5.0]] * 43]
        assert made.works
        assert made.of(["more"]) == [[4.0]]


def test_fail_every_text_is_refused(origin: str, scaigrid: ScaiGrid) -> None:
    """It is not the texts then."""
    with vectors(origin) as made:
        assert made.of(["too long"] * 64) == [None] * 64
        assert not made.works
        assert sum(len(texts) == 1 for texts in scaigrid.asked) == MOST_REFUSED
        assert made.of(["word"]) == [None]


def test_success_waits_where_the_limit_is_reached(origin: str, scaigrid: ScaiGrid) -> None:
    scaigrid.limited = 1
    with vectors(origin) as made:
        assert made.of(["word"]) == [[4.0]]
        assert made.works


def test_success_goes_without_rather_than_keep_somebody_waiting(
    origin: str, scaigrid: ScaiGrid
) -> None:
    scaigrid.limited = 1
    with vectors(origin, total=0.5) as made:
        assert made.of(["word"]) == [None]
