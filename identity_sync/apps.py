from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.apps import AppConfig

from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding
from scaiwave.errors import NotRegistered
from scaiwave.registry import Metric, PurgedPerson

SYNC_CRON = "3-59/10 * * * *"
"""Every ten minutes, but not on the full ten, when jobs of other systems run."""


class IdentitySyncConfig(AppConfig):
    name = "identity_sync"
    verbose_name = "Identity sync"

    def ready(self) -> None:
        from scaiwave.doctor.findings import Check
        from scaiwave.registry import (
            register_application_scope,
            register_health_check,
            register_metrics,
            register_missing_registration,
            register_participant_changes,
            register_personal_data_eraser,
        )

        register_missing_registration(_describe_missing_registration)
        register_application_scope(_find_application_scope)
        register_participant_changes(_find_changes_of_participant)
        register_personal_data_eraser(_erase_names)
        register_metrics("sync", _collect_sync_metrics)
        register_metrics("webhooks", _collect_webhook_metrics)
        _register_jobs()
        _register_pruners()
        register_health_check(Check("scaikey", _check_scaikey, needs_database=False))
        register_health_check(Check("sync", _check_last_sync))
        register_health_check(Check("scheduler", _check_scheduler))


def _register_jobs() -> None:
    from scaiwave.jobs.definitions import (
        HOUR,
        MINUTE,
        JobDefinition,
        get_sync_timeout,
        takes_one_id,
    )
    from scaiwave.registry import register_job

    register_job(
        JobDefinition(
            "identity_sync.jobs.full_sync",
            # The sync has a limit of its own, whose error gives the reason.
            get_timeout=lambda config: get_sync_timeout(config) + MINUTE,
            # A worker that was down for a night finds one sync, not sixty.
            wait_seconds=9 * MINUTE,
            cron=SYNC_CRON,
            command="sync --scheduled --wait 60 --timeout 540",
        )
    )
    register_job(
        JobDefinition(
            "identity_sync.jobs.run_requested_sync",
            get_timeout=lambda config: get_sync_timeout(config) + MINUTE,
            wait_seconds=9 * MINUTE,
            accepts=takes_one_id,
            occasion="Sync now and Dry run in this site",
        )
    )
    register_job(
        JobDefinition(
            "identity_sync.jobs.process_webhooks",
            get_timeout=lambda config: HOUR,
            occasion="webhooks from ScaiKey",
        )
    )


# The queries are only imported by a command that needs them.


def _find_changes_of_participant(participant_id: UUID) -> list[dict[str, Any]]:
    from identity_sync.queries.runs import find_changes_of_participant

    return find_changes_of_participant(participant_id)


def _erase_names(people: Sequence[PurgedPerson], replacement: str) -> None:
    from identity_sync.services.erase_names import erase_names

    erase_names(people, replacement)


def _find_application_scope(client_id: str) -> str:
    from identity_sync.models import Registration, RegistrationState

    registrations = Registration.objects.filter(
        client_id=client_id, state=RegistrationState.APPROVED
    )
    return registrations.order_by("requested_at").values_list("scope", flat=True).last() or ""


def _describe_missing_registration(config: Configuration) -> NotRegistered:
    from identity_sync.queries.status import describe_missing_registration

    return describe_missing_registration(config)


def _register_pruners() -> None:
    from scaiwave.registry import Pruner, register_pruner

    def count_runs(before: datetime) -> int:
        from identity_sync.services import prune

        return prune.count_old_runs(before)

    def delete_runs(before: datetime) -> int:
        from identity_sync.services import prune

        return prune.delete_old_runs(before)

    def count_webhooks(before: datetime) -> int:
        from identity_sync.services import prune

        return prune.count_old_webhooks(before)

    def delete_webhooks(before: datetime) -> int:
        from identity_sync.services import prune

        return prune.delete_old_webhooks(before)

    register_pruner(
        Pruner(
            "sync_runs",
            "runs of the sync",
            count_runs,
            delete_runs,
            setting="SCAIWAVE_SYNC_RUNS_RETENTION_DAYS",
        )
    )
    register_pruner(
        Pruner(
            "webhook_events",
            "webhooks",
            count_webhooks,
            delete_webhooks,
            setting="SCAIWAVE_WEBHOOK_RETENTION_DAYS",
            zero_is_never=False,
        )
    )


def _collect_sync_metrics(now: datetime) -> Iterable[Metric]:
    from identity_sync.queries.metrics import collect_sync_metrics

    return collect_sync_metrics(now)


def _collect_webhook_metrics(now: datetime) -> Iterable[Metric]:
    from identity_sync.queries.metrics import collect_webhook_metrics

    return collect_webhook_metrics(now)


def _check_scaikey(config: Configuration, now: datetime) -> Iterable[Finding]:
    from identity_sync.queries.health import check_scaikey

    return check_scaikey(config, now)


def _check_last_sync(config: Configuration, now: datetime) -> Iterable[Finding]:
    from identity_sync.queries.health import check_last_sync

    return check_last_sync(config, now)


def _check_scheduler(config: Configuration, now: datetime) -> Iterable[Finding]:
    from identity_sync.queries.health import check_scheduler

    return check_scheduler(config, now)
