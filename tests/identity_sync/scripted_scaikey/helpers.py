"""Settings of hypothesis and of the suite for tests with a scripted ScaiKey."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, Phase
from pytest_django import Settings

from scaiwave.config import Configuration
from tests.identity_sync.scripted_scaikey.directory import DIRECTORY_CHANGES
from tests.identity_sync.scripted_scaikey.script import Script
from tests.identity_sync.scripted_scaikey.server import ScriptedScaiKey

PHASES = [phase for phase in Phase if phase is not Phase.explain]  # This phase takes minutes.
UNCHECKED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
EVERYTHING = 10**6
"""A removal limit that no run exceeds."""
CHANGE_NAMES = tuple(sorted(DIRECTORY_CHANGES))
PLAIN_SCRIPT = Script()


@contextmanager
def serve_scripted_scaikey(settings: Settings, **more: str) -> Iterator[ScriptedScaiKey]:
    """Serve a scripted ScaiKey with which this process is registered; errors of it fail the test.

    `more` are other settings of the suite.
    """
    with ScriptedScaiKey() as server:
        settings.CONFIG = Configuration(
            {
                "SCAIWAVE_SCAIKEY_URL": server.url,
                "SCAIWAVE_SCAIKEY_CLIENT_ID": server.client_id,
                "SCAIWAVE_SCAIKEY_CLIENT_SECRET": server.client_secret,
                **more,
            },
            Path("/nonexistent"),
            Path("/nonexistent/.env"),
        )
        yield server
    assert server.problems == []
