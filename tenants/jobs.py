"""Jobs for workers. They call the same services as the commands."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.utils import timezone

from scaiwave.console.progress import null_progress_factory
from scaiwave.core.operators import get_host_operator
from scaiwave.extensions import SERVER_SIGNER
from tenants.audit import seal_audit as seal_service
from tenants.errors import AuditNotSettled, AuditSealRunning
from tenants.people import purge_participant as purge_service
from tenants.usage import refresh_usage as service
from tenants.usage.refresh_usage import build_usage_fetch


def refresh_usage() -> dict[str, Any]:
    """Refresh the AI token figures on schedule. An error fails the job.

    The job runs as the host operator even if SCAIWAVE_REQUIRE_ADMIN_TOKEN is set: a schedule has
    no session, and its author can read this server's configuration.
    """
    result = service.refresh_usage(
        operator=get_host_operator(), fetch=build_usage_fetch(settings.CONFIG), now=timezone.now()
    )
    return result.document()


def purge_participants() -> dict[str, Any]:
    """Erase the personal data of people who were removed from ScaiKey long enough ago.

    More of them than SCAIWAVE_PURGE_LIMIT fail the job.
    """
    config = settings.CONFIG
    days = config.get_int("SCAIWAVE_PURGE_AFTER_DAYS")
    if days < 1:  # It was turned off after the job had been queued.
        return {"due": 0, "purged": 0}
    result = purge_service.purge_participants(
        operator=get_host_operator(),
        days=days,
        limit=config.get_int("SCAIWAVE_PURGE_LIMIT"),
        confirm=lambda question: None,
        now=timezone.now(),
        progress_factory=null_progress_factory,
    )
    return {name: result.rest[name] for name in ("due", "purged")}


def seal_audit() -> dict[str, Any]:
    """Seal the days of the audit log that have ended; return how many days and entries.

    Without a signing key, or while a transaction may still add entries to a day, it does nothing:
    `doctor` and the metrics report days that are not sealed in time.
    """
    now = timezone.now()
    if SERVER_SIGNER.load()().find_signing_key(now) is None:
        return {"days": 0, "entries": 0, "reason": "This server has no signing key."}
    try:
        result = seal_service.seal_audit(operator=get_host_operator(), now=now)
    except (AuditNotSettled, AuditSealRunning) as error:
        return {"days": 0, "entries": 0, "reason": error.message}
    return {name: result.figures[name] for name in ("days", "entries")}
