"""Vectors of texts (embeddings), computed by ScaiGrid."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.http.retry import RetryPolicy
from scaiwave.config import Configuration
from scaiwave.core.errors import ScaiWaveError

if TYPE_CHECKING:
    from scaiwave.clients.scaigrid.client import ScaiGridClient

logger = logging.getLogger(__name__)

Vector = list[float]

BACKFILL_RETRIES = RetryPolicy(total=300.0)
"""ScaiGrid allows 60 calls a minute per key, and its refusals have the time to wait, so several
workers with one key take turns."""
INTERACTIVE_RETRIES = RetryPolicy(total=5.0, first_contact=2.0)
"""For a person who waits, and for whom an answer without vectors is good enough."""
MAX_REFUSED_TEXTS = 8
"""Consecutive texts refused one by one after which the model is taken to refuse every text."""


class Embedder:
    """Compute vectors until the first failure, and None for every text after that.

    A gateway that is down or a budget that is used up would otherwise be tried again for every
    batch, each time for the whole retry period. A message without a vector is found by its words,
    and gets a vector in a later backfill. One refused text, for example a text too long for the
    model, isn't a failure: only that text goes without a vector.
    """

    def __init__(self, config: Configuration, retry_policy: RetryPolicy) -> None:
        self._config = config
        self._retry_policy = retry_policy
        self._client: ScaiGridClient | None = None
        self._model = ""
        self._refused = 0
        self.is_available = bool(config.get_url("SCAIWAVE_SCAIGRID_URL"))

    def embed(self, texts: Sequence[str]) -> list[Vector | None]:
        """Return one vector or None per text, in their order."""
        if not self.is_available:
            return [None] * len(texts)
        try:
            if self._client is None:
                from scaiwave.clients.scaigrid.client import scaigrid_client

                self._client = scaigrid_client(self._config, retry_policy=self._retry_policy)
                configured = self._config.get_str("SCAIWAVE_SCAIGRID_EMBEDDING_MODEL")
                self._model = configured or next(
                    (model.slug for model in self._client.models(modality="embedding", limit=1)), ""
                )
                self.is_available = bool(self._model)
            client = self._client
            return self._embed(client, texts) if self._model else [None] * len(texts)
        except ScaiWaveError as error:
            logger.warning("No vectors, so messages are found by their words: %s", error.message)
            self.is_available = False
            return [None] * len(texts)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _embed(self, client: ScaiGridClient, texts: Sequence[str]) -> list[Vector | None]:
        """Embed all texts, or each half by itself if ScaiGrid refuses a text among them."""
        try:
            vectors: list[Vector | None] = list(client.embed(self._model, texts))
        except UpstreamRejected:
            if len(texts) > 1:
                half = len(texts) // 2
                return [*self._embed(client, texts[:half]), *self._embed(client, texts[half:])]
            self._refused += 1
            if self._refused >= MAX_REFUSED_TEXTS:
                raise
            return [None]
        self._refused = 0
        return vectors
