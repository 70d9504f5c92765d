"""Vectors of texts, from ScaiGrid."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.http.retry import RetryPolicy
from scaiwave.config import Configuration
from scaiwave.errors import ScaiWaveError

if TYPE_CHECKING:
    from scaiwave.clients.scaigrid.client import ScaiGridClient

logger = logging.getLogger(__name__)

Vector = list[float]

PATIENT = RetryPolicy(total=300.0)
"""A key may call 60 times a minute, and whoever calls too often is told to wait for the rest of it:
several workers on one key take turns by that."""
PROMPT = RetryPolicy(total=5.0, first_contact=2.0)
"""For somebody who waits for an answer and can have one without vectors."""
MOST_REFUSED = 8
"""Texts one after the other that the model refuses, until it is taken to refuse all."""


class Vectors:
    """Makes vectors for as long as that works.

    After the first failure it makes no more: a gateway that is down or a budget that is used up
    would be asked again for every batch, and each time for as long as we are patient. What has no
    vector is found by its words, and gets one in a later backfill. A text that the model refuses,
    one that is too long for it, is no such failure and goes without.
    """

    def __init__(self, config: Configuration, patience: RetryPolicy) -> None:
        self._config = config
        self._patience = patience
        self._client: ScaiGridClient | None = None
        self._model = ""
        self._refused = 0
        self.works = bool(config.get_url("SCAIWAVE_SCAIGRID_URL"))

    def of(self, texts: Sequence[str]) -> list[Vector | None]:
        """In the order of the texts."""
        if not self.works:
            return [None] * len(texts)
        try:
            client = self._connected()
            return self._made(client, texts) if self._model else [None] * len(texts)
        except ScaiWaveError as error:
            return self._given_up(error, texts)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _made(self, client: ScaiGridClient, texts: Sequence[str]) -> list[Vector | None]:
        """Half by half, where something in the whole is refused."""
        try:
            vectors: list[Vector | None] = list(client.embed(self._model, texts))
        except UpstreamRejected as error:
            return self._halved(client, texts, error)
        self._refused = 0
        return vectors

    def _halved(
        self, client: ScaiGridClient, texts: Sequence[str], error: UpstreamRejected
    ) -> list[Vector | None]:
        if len(texts) > 1:
            half = len(texts) // 2
            return [*self._made(client, texts[:half]), *self._made(client, texts[half:])]
        self._refused += 1
        if self._refused >= MOST_REFUSED:
            raise error
        return [None]

    def _given_up(self, error: ScaiWaveError, texts: Sequence[str]) -> list[Vector | None]:
        logger.warning("No vectors, so messages are found by their words: %s", error.message)
        self.works = False
        return [None] * len(texts)

    def _connected(self) -> ScaiGridClient:
        if self._client is None:
            from scaiwave.clients.scaigrid.client import scaigrid_client

            self._client = scaigrid_client(self._config, patience=self._patience)
            named = self._config.get_str("SCAIWAVE_SCAIGRID_EMBEDDING_MODEL")
            self._model = named or next(
                (model.slug for model in self._client.models(modality="embedding", limit=1)), ""
            )
            self.works = bool(self._model)
        return self._client
