from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.apps import AppConfig

from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding
from scaiwave.registry import Metric
from scaiwave.signatures import ServerSigner


class FederationConfig(AppConfig):
    name = "federation"

    def ready(self) -> None:
        from scaiwave.doctor.findings import Check
        from scaiwave.registry import (
            register_health_check,
            register_metrics,
            register_server_signer,
        )

        register_server_signer(_get_signer)
        register_metrics("federation", _collect_metrics)
        register_health_check(Check("federation", _check_settings, needs_database=False))
        register_health_check(Check("keys", _check_keys))


def _get_signer() -> ServerSigner:
    from federation.services.server_signer import FederationSigner

    return FederationSigner()


def _collect_metrics(now: datetime) -> Iterable[Metric]:
    from federation.queries.metrics import collect_key_metrics

    return collect_key_metrics(now)


def _check_settings(config: Configuration, now: datetime) -> Iterable[Finding]:
    from federation.queries.health import check_federation_settings

    return check_federation_settings(config, now)


def _check_keys(config: Configuration, now: datetime) -> Iterable[Finding]:
    from federation.queries.health import check_federation_keys

    return check_federation_keys(config, now)
