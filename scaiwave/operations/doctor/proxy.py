"""Check that the reverse proxy forwards the headers that the web server needs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import urlsplit

from scaiwave.config import Configuration
from scaiwave.core.errors import ScaiWaveError
from scaiwave.operations.doctor.findings import Finding, passed, warned

PATH = "/.well-known/scaiwave/server"
"""A public page that is redirected to https unless the web server sees that it is called by it."""

TIMEOUT_SECONDS = 5.0
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def check_proxy(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Call this server by its public address, if that is https."""
    url = config.get_url("SCAIWAVE_PUBLIC_URL")
    address = urlsplit(url)
    if address.scheme == "https" and address.hostname not in LOOPBACK:
        yield probe_proxy(url)


def probe_proxy(url: str) -> Finding:
    """Request a page by the public address, and report the proxy's response."""
    # Importing httpx is slow, so only do it if a request is made.
    from scaiwave.clients.errors import UpstreamRedirect
    from scaiwave.clients.http.client import HttpClient
    from scaiwave.clients.http.exceptions import Timeouts

    timeouts = Timeouts(connect=TIMEOUT_SECONDS, read=TIMEOUT_SECONDS)
    try:
        with HttpClient(url, service="ScaiWave", timeouts=timeouts) as client:
            client.request("GET", PATH, retry=False)
    except UpstreamRedirect:
        return warned(
            "proxy",
            f"{url} is redirected: the web server does not see that it is called by https.",
            "Let the reverse proxy set the header X-Forwarded-Proto to https.",
        )
    except ScaiWaveError as error:
        return warned(
            "proxy",
            f"{url} can't be checked from this host. {error.message}",
            "Check that gunicorn and the reverse proxy run, and the name and certificate of the "
            "proxy.",
        )
    return passed("proxy", f"The web server answers at {url}.")
