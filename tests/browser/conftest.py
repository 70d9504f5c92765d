from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.databases import prepared
from tests.web_process import build_environment, listen, run_gunicorn, run_python


@dataclass(frozen=True)
class SampleServer:
    """A server with sample data, and what `create_site_to_walk` returned."""

    url: str
    session: str
    rows: dict[str, list[str]]
    acts: dict[str, list[str]]


@pytest.fixture(scope="session")
def sample_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[SampleServer]:
    """Run gunicorn with the settings of a production server and a database with sample data."""
    home = tmp_path_factory.mktemp("browsed")
    samples: list[dict[str, Any]] = []
    code = "from tests.browser.sample_site import create_site_to_walk as create; report(create())"
    with (
        prepared(
            request,
            home,
            fill=lambda url: samples.append(run_python(code, build_environment(url, home))),
        ) as url,
        listen() as listener,
        run_gunicorn(listener, build_environment(url, home), home / "log"),
    ):
        yield SampleServer(f"http://127.0.0.1:{listener.getsockname()[1]}", **samples[0])
