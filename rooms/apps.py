from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from django.apps import AppConfig

from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding
from scaiwave.registry import Metric, PurgedPerson


class RoomsConfig(AppConfig):
    name = "rooms"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from rooms.queries.tenant_stats import (
            rooms_per_tenant,
            rooms_using_role,
            storage_per_tenant,
        )
        from rooms.search.schema import ensure_full_text
        from scaiwave.doctor.findings import Check
        from scaiwave.jobs.definitions import HOUR, JobDefinition, takes_one_id
        from scaiwave.registry import (
            Pruner,
            register_health_check,
            register_job,
            register_metrics,
            register_personal_data_eraser,
            register_pruner,
            register_role_uses,
            register_tenant_columns,
        )

        register_tenant_columns("rooms", rooms_per_tenant)
        register_tenant_columns("storage_bytes", storage_per_tenant)
        register_role_uses(rooms_using_role)
        register_personal_data_eraser(_erase_senders)
        register_metrics("rooms", _collect_metrics)
        register_pruner(
            Pruner(
                "backfills",
                "finished search backfills",
                _count_old_backfills,
                _delete_old_backfills,
                setting="SCAIWAVE_BACKFILL_RETENTION_DAYS",
            )
        )
        register_health_check(Check("media", _check_media_store, needs_database=False))
        register_health_check(Check("imports", _check_imports, clean_up=_clean_up_imports))
        register_health_check(Check("search", _check_search))
        register_job(
            JobDefinition(
                "rooms.jobs.backfill_search",
                get_timeout=lambda config: HOUR,
                accepts=takes_one_id,
                occasion="scaiwave room search-index",
            )
        )
        post_migrate.connect(ensure_full_text, sender=self)


def _count_old_backfills(before: datetime) -> int:
    from rooms.services.search.prune import count_old_backfills

    return count_old_backfills(before)


def _delete_old_backfills(before: datetime) -> int:
    from rooms.services.search.prune import delete_old_backfills

    return delete_old_backfills(before)


def _erase_senders(people: Sequence[PurgedPerson], replacement: str) -> None:
    from rooms.services.erase_senders import erase_senders

    erase_senders(people, replacement)


def _collect_metrics(now: datetime) -> Iterable[Metric]:
    from rooms.queries.metrics import collect_room_metrics

    return collect_room_metrics(now)


# `rooms.queries.health` is only imported by a command that runs the checks.


def _check_media_store(config: Configuration, now: datetime) -> Iterable[Finding]:
    from rooms.queries.health import check_media_store

    return check_media_store(config, now)


def _check_imports(config: Configuration, now: datetime) -> Iterable[Finding]:
    from rooms.queries.health import check_imports

    return check_imports(config, now)


def _clean_up_imports(config: Configuration, now: datetime) -> Iterable[Finding]:
    from rooms.queries.health import clean_up_imports

    return clean_up_imports(config, now)


def _check_search(config: Configuration, now: datetime) -> Iterable[Finding]:
    from rooms.queries.health import check_search

    return check_search(config, now)
