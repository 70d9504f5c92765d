from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.apps import AppConfig

from scaiwave.auth.operators import Operator
from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding
from scaiwave.registry import Metric


class TenantsConfig(AppConfig):
    name = "tenants"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from scaiwave.doctor.findings import Check
        from scaiwave.registry import (
            register_health_check,
            register_health_report_store,
            register_metrics,
            register_operator_scope,
            register_suspension_check,
            register_tenant_slug,
            register_visible_tenants,
        )
        from tenants.queries.callers import find_scope, is_suspended_manually
        from tenants.queries.visibility import scaikey_tenant_slug, visible_tenants
        from tenants.services.audit_triggers import install_audit_triggers

        register_tenant_slug(scaikey_tenant_slug)
        register_visible_tenants(visible_tenants)
        register_operator_scope(find_scope)
        register_suspension_check(is_suspended_manually)
        register_health_report_store(_store_health_report)
        _register_pruners()
        register_health_check(Check("retention", _check_retention))
        register_health_check(Check("audit", _check_audit))
        register_health_check(Check("audit_seals", _check_audit_seals))
        register_health_check(Check("super_admin", _check_super_admin))
        register_health_check(Check("sign_in", _check_sign_in, needs_database=False))
        register_health_check(Check("limits", _check_limits))
        register_health_check(Check("scaigrid", _check_scaigrid, needs_database=False))
        register_metrics("job_refusals", _collect_job_refusals)
        register_metrics("audit_seals", _collect_audit_seals)
        _register_jobs()
        post_migrate.connect(install_audit_triggers, sender=self)


def _register_jobs() -> None:
    from scaiwave.jobs.definitions import HOUR, MINUTE, JobDefinition
    from scaiwave.registry import register_job

    register_job(
        JobDefinition(
            "tenants.jobs.refresh_usage",
            get_timeout=lambda config: 10 * MINUTE,
            wait_seconds=59 * MINUTE,
            cron="7 * * * *",
            # Without ScaiGrid the job would fail every hour.
            is_scheduled=lambda config: bool(config.get_str("SCAIWAVE_SCAIGRID_URL")),
            why_off="SCAIWAVE_SCAIGRID_URL is not set.",
            command="admin refresh-usage",
        )
    )
    register_job(
        JobDefinition(
            "tenants.jobs.purge_participants",
            get_timeout=lambda config: HOUR,
            wait_seconds=12 * HOUR,
            cron="23 4 * * *",
            is_scheduled=lambda config: config.get_int("SCAIWAVE_PURGE_AFTER_DAYS") > 0,
            why_off="SCAIWAVE_PURGE_AFTER_DAYS is 0.",
            command="admin purge-participant --purge-after <days> --yes",
        )
    )
    register_job(
        JobDefinition(
            "tenants.jobs.record_figures",
            get_timeout=lambda config: 10 * MINUTE,
            wait_seconds=HOUR,
            cron="53 23 * * *",
            command="admin record-figures",
        )
    )
    register_job(
        JobDefinition(
            "tenants.jobs.seal_audit",
            get_timeout=lambda config: HOUR,
            wait_seconds=50 * MINUTE,
            # The days are those of UTC, which the host's time zone need not be; when nothing is due
            # it takes one query.
            cron="17 * * * *",
            command="admin audit seal",
        )
    )
    register_job(
        JobDefinition(
            "tenants.jobs.prune_records",
            get_timeout=lambda config: HOUR,
            wait_seconds=12 * HOUR,
            cron="41 4 * * *",
            command="admin prune",
        )
    )


# `tenants.queries.health` is only imported by a command that runs the checks.


def _check_audit(config: Configuration, now: datetime) -> Iterable[Finding]:
    from tenants.queries.health import check_audit

    return check_audit(config, now)


def _check_audit_seals(config: Configuration, now: datetime) -> Iterable[Finding]:
    from tenants.queries.audit_health import check_audit_seals

    return check_audit_seals(config, now)


def _check_sign_in(config: Configuration, now: datetime) -> Iterable[Finding]:
    from tenants.queries.health import check_sign_in

    return check_sign_in(config, now)


def _check_super_admin(config: Configuration, now: datetime) -> Iterable[Finding]:
    from tenants.queries.health import check_super_admin

    return check_super_admin(config, now)


def _register_pruners() -> None:
    from scaiwave.registry import Pruner, register_pruner
    from tenants.services import prune_sessions as service
    from tenants.services import record_figures

    register_pruner(
        Pruner(
            "sessions",
            "expired sessions of the admin site",
            service.count_expired_sessions,
            service.delete_expired_sessions,
        )
    )
    register_pruner(
        Pruner(
            "failed_sign_ins",
            "failed sign-ins to the admin site",
            service.count_failed_sign_ins,
            service.delete_failed_sign_ins,
            days=1,  # They count for minutes only; the audit log has them too.
        )
    )
    register_pruner(
        Pruner(
            "daily_figures",
            "daily figures of the admin site",
            record_figures.count_old_figures,
            record_figures.delete_old_figures,
            setting="SCAIWAVE_FIGURES_RETENTION_DAYS",
        )
    )


def _check_retention(config: Configuration, now: datetime) -> Iterable[Finding]:
    from tenants.queries.health import check_retention

    return check_retention(config, now)


def _check_limits(config: Configuration, now: datetime) -> Iterable[Finding]:
    from tenants.queries.health import check_limits

    return check_limits(config, now)


def _store_health_report(operator: Operator, document: Mapping[str, Any], now: datetime) -> None:
    from tenants.services.store_health_report import store_health_report

    store_health_report(operator, document, now)


def _check_scaigrid(config: Configuration, now: datetime) -> Iterable[Finding]:
    from tenants.queries.health import check_scaigrid

    return check_scaigrid(config, now)


def _collect_job_refusals(now: datetime) -> Iterable[Metric]:
    from tenants.queries.job_metrics import collect_job_refusals

    return collect_job_refusals(now)


def _collect_audit_seals(now: datetime) -> Iterable[Metric]:
    from tenants.queries.audit_health import collect_audit_seals

    return collect_audit_seals(now)
