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

        register_health_check(Check("scaikey", _check_scaikey, needs_database=False))
        register_health_check(Check("sync", _check_last_sync))


def _check_scaikey(config: Configuration, now: datetime) -> Iterable[Finding]:
    from identity_sync.queries.health import check_scaikey

    return check_scaikey(config, now)


def _check_last_sync(config: Configuration, now: datetime) -> Iterable[Finding]:
    from identity_sync.queries.health import check_last_sync

    return check_last_sync(config, now)
