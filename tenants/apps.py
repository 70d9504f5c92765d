from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.apps import AppConfig

from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding


class TenantsConfig(AppConfig):
    name = "tenants"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from scaiwave.doctor.findings import Check
        from scaiwave.registry import register_health_check, register_tenant_slug
        from tenants.queries.visibility import scaikey_tenant_slug
        from tenants.services.audit_triggers import install_audit_triggers

        register_tenant_slug(scaikey_tenant_slug)
        register_health_check(Check("audit", _audit))
        register_health_check(Check("super_admin", _super_admin))
        register_health_check(Check("scaigrid", _scaigrid, needs_database=False))
        post_migrate.connect(install_audit_triggers, sender=self)


def _audit(config: Configuration, now: datetime) -> Iterable[Finding]:
    from tenants.queries.health import audit

    return audit()


def _super_admin(config: Configuration, now: datetime) -> Iterable[Finding]:
    from tenants.queries.health import super_admin

    return super_admin()


def _scaigrid(config: Configuration, now: datetime) -> Iterable[Finding]:
    from tenants.queries.scaigrid_health import scaigrid

    return scaigrid(config)
