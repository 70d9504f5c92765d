"""What doctor looks at: ScaiGrid, where there is one."""

from __future__ import annotations

from collections.abc import Iterator

from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding, failed, passed
from scaiwave.errors import ScaiWaveError


def scaigrid(config: Configuration) -> Iterator[Finding]:
    """Nothing where no ScaiGrid is configured: the suite works without."""
    if not config.get_str("SCAIWAVE_SCAIGRID_URL"):
        return
    # httpx is worth its import only where something is asked.
    from scaiwave.clients.http.retry import RetryPolicy
    from scaiwave.clients.scaigrid.client import scaigrid_client

    try:
        with scaigrid_client(config, patience=RetryPolicy(total=5.0)) as client:
            client.ready()
            client.me()
            yield passed("scaigrid", f"ScaiGrid is ready and accepts {client.access.described}.")
    except ScaiWaveError as error:
        yield failed("scaigrid", error)
