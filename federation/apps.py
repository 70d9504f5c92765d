from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.apps import AppConfig

from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding


class FederationConfig(AppConfig):
    name = "federation"

    def ready(self) -> None:
        from scaiwave.doctor.findings import Check
        from scaiwave.registry import register_health_check

        register_health_check(Check("federation", _settings, needs_database=False))
        register_health_check(Check("keys", _keys))


def _settings(config: Configuration, now: datetime) -> Iterable[Finding]:
    from federation.queries.health import federation_settings

    return federation_settings(config, now)


def _keys(config: Configuration, now: datetime) -> Iterable[Finding]:
    from federation.queries.health import federation_keys

    return federation_keys(config, now)
