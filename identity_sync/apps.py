from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.apps import AppConfig

from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding


class IdentitySyncConfig(AppConfig):
    name = "identity_sync"
    verbose_name = "Identity sync"

    def ready(self) -> None:
        from scaiwave.doctor.findings import Check
        from scaiwave.registry import register_health_check

        register_health_check(Check("scaikey", _scaikey, needs_database=False))
        register_health_check(Check("sync", _last_sync))


def _scaikey(config: Configuration, now: datetime) -> Iterable[Finding]:
    from identity_sync.queries.health import scaikey

    return scaikey(config, now)


def _last_sync(config: Configuration, now: datetime) -> Iterable[Finding]:
    from identity_sync.queries.health import last_sync

    return last_sync(config, now)
