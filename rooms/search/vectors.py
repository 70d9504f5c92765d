"""Vectors of texts, from ScaiGrid."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from scaiwave.config import Configuration
from scaiwave.errors import ScaiWaveError

if TYPE_CHECKING:
    from scaiwave.clients.scaigrid import ScaiGridClient

logger = logging.getLogger(__name__)

Vector = list[float]


class Vectors:
    """Makes vectors for as long as that works.

    After the first failure it makes no more: a gateway that is down or a budget that is used up
    would be asked again for every batch, and each time for as long as we are patient. What has no
    vector is found by its words, and gets one in a later backfill.
    """

    def __init__(self, config: Configuration) -> None:
        self._config = config
        self._client: ScaiGridClient | None = None
        self._model = ""
        self.works = bool(config.url("SCAIWAVE_SCAIGRID_URL"))

    def of(self, texts: Sequence[str]) -> list[Vector] | None:
        if not self.works:
            return None
        try:
            client = self._connected()
            return client.embed(self._model, texts) if self._model else None
        except ScaiWaveError as error:
            logger.warning("No vectors, so messages are found by their words: %s", error.message)
            self.works = False
            return None

    def close(self) -> None:
        if self._client is not None:
            self._client.close()

    def _connected(self) -> ScaiGridClient:
        if self._client is None:
            from scaiwave.clients.scaigrid import connect_scaigrid

            self._client = connect_scaigrid(self._config)
            named = self._config.text("SCAIWAVE_SCAIGRID_EMBEDDING_MODEL")
            self._model = named or next(
                (model.slug for model in self._client.models(modality="embedding", limit=1)), ""
            )
            self.works = bool(self._model)
        return self._client
