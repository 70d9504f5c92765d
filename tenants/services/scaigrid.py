"""The way to ScaiGrid for what services ask of it before they write."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from scaiwave.config import Configuration

if TYPE_CHECKING:
    from scaiwave.clients.scaigrid.client import Usage

UsageFetch = Callable[[datetime, datetime], "Sequence[Usage]"]


def usage_fetch(config: Configuration) -> UsageFetch:
    """A function that asks ScaiGrid what every tenant used between two moments, in one call.

    It raises SettingMissing where there is no ScaiGrid to ask, and what the client raises.
    """

    def fetch(start: datetime, end: datetime) -> Sequence[Usage]:
        # httpx is worth its import only where something is asked.
        from scaiwave.clients.scaigrid.client import scaigrid_client

        with scaigrid_client(config) as client:
            return client.usage_summary(group_by="tenant", start=start, end=end)

    return fetch
