from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.databases import prepared
from tests.services.manager import manage_service
from tests.web_process import (
    build_environment,
    listen,
    run_gunicorn,
    run_python,
    run_scheduler,
)


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
    with run_sample_server(request, tmp_path_factory.mktemp("browsed")) as (url, sample):
        yield SampleServer(url, **sample)


@contextmanager
def run_sample_server(
    request: pytest.FixtureRequest,
    home: Path,
    create: str = "create_site_to_walk",
    settings: Mapping[str, str] | None = None,
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Run gunicorn with the settings of a production server and a database with sample data.

    It has a Redis of its own, since other tests empty theirs, and a scheduler. Yields its address,
    and what the function of `tests.browser.sample_site` returned.
    """
    request.getfixturevalue("redis_url")  # which skips the test if there is no server
    samples: list[dict[str, Any]] = []
    code = f"from tests.browser.sample_site import {create} as create; report(create())"
    with ExitStack() as stack:
        redis_url = stack.enter_context(manage_service("redis")).wait_for_service().url

        def build(url: str) -> dict[str, str]:
            environment = build_environment(url, home)
            return {**environment, "SCAIWAVE_REDIS_URL": redis_url, **(settings or {})}

        def fill(url: str) -> dict[str, Any]:
            # The large site takes minutes.
            sample: dict[str, Any] = run_python(code, build(url), timeout=20 * 60)
            return sample

        url = stack.enter_context(
            prepared(request, home, fill=lambda url: samples.append(fill(url)))
        )
        listener = stack.enter_context(listen())
        stack.enter_context(run_gunicorn(listener, build(url), home / "log"))
        stack.enter_context(run_scheduler(build(url), home / "scheduler.log"))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", samples[0]
