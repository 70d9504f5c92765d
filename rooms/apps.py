from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.apps import AppConfig

from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding


class RoomsConfig(AppConfig):
    name = "rooms"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from rooms.queries.role_uses import rooms_naming
        from rooms.queries.tenant_stats import rooms_per_tenant, storage_per_tenant
        from rooms.search.schema import keep_full_text
        from scaiwave.doctor.findings import Check
        from scaiwave.registry import (
            register_health_check,
            register_role_uses,
            register_tenant_columns,
        )

        register_tenant_columns("rooms", rooms_per_tenant)
        register_tenant_columns("storage_bytes", storage_per_tenant)
        register_role_uses(rooms_naming)
        register_health_check(Check("media", _media_store, needs_database=False))
        register_health_check(Check("imports", _imports, mend=_tidy_imports))
        register_health_check(Check("search", _search))
        post_migrate.connect(keep_full_text, sender=self)


def _media_store(config: Configuration, now: datetime) -> Iterable[Finding]:
    from rooms.queries.health import media_store

    return media_store(config, now)


def _imports(config: Configuration, now: datetime) -> Iterable[Finding]:
    from rooms.queries.health import imports

    return imports(config, now)


def _tidy_imports(config: Configuration, now: datetime) -> Iterable[Finding]:
    from rooms.queries.health import tidy_imports

    return tidy_imports(config, now)


def _search(config: Configuration, now: datetime) -> Iterable[Finding]:
    from rooms.queries.search_health import search

    return search(now)
