"""Health checks for `scaiwave doctor`: audit triggers, super admins, ScaiGrid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding, failed, passed, warned
from scaiwave.errors import ScaiWaveError
from tenants.errors import AuditTriggersMissing
from tenants.models import Role
from tenants.queries.roles import SUPER_ADMIN
from tenants.queries.super_admins import GRANT_COMMAND, count_super_admins
from tenants.services.audit_triggers import missing_triggers


def check_audit(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Whether the database refuses to alter the audit. Raises `AuditTriggersMissing`."""
    if missing := missing_triggers():
        raise AuditTriggersMissing(
            f"The audit can be altered: the database lacks {', '.join(missing)}."
        )
    yield passed("audit", "The audit is append-only.")


def check_super_admin(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Whether anybody is left with super_admin: ScaiKey may take the last one, acts by hand not."""
    count = count_super_admins()
    if count.able:
        who = "participant who is" if count.able == 1 else "participants who are"
        yield passed(SUPER_ADMIN, f"{count.able:,} {who} super_admin can sign in.")
    elif not Role.objects.filter(slug=SUPER_ADMIN).exists():
        # Nothing was lost, and operators of this suite have their rights from tokens.
        yield passed(SUPER_ADMIN, "Nobody was ever granted super_admin here.")
    elif count.active:
        why = "`scaiwave admin show-participant <who>` says why somebody can't sign in"
        yield warned(
            SUPER_ADMIN,
            "Nobody who is super_admin can sign in.",
            f"Grant it to somebody: {GRANT_COMMAND}; {why}.",
        )
    else:
        yield warned(
            SUPER_ADMIN,
            "Nobody active is super_admin any more.",
            f"Grant it to somebody: {GRANT_COMMAND}.",
        )


def check_scaigrid(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Nothing where no ScaiGrid is configured: the suite works without."""
    if not config.get_str("SCAIWAVE_SCAIGRID_URL"):
        return
    # httpx is worth its import only where something is asked.
    from scaiwave.clients.http.retry import RetryPolicy
    from scaiwave.clients.scaigrid.client import scaigrid_client

    try:
        with scaigrid_client(config, retry_policy=RetryPolicy(total=5.0)) as client:
            client.ready()
            client.me()
            yield passed("scaigrid", f"ScaiGrid is ready and accepts {client.access.description}.")
    except ScaiWaveError as error:
        yield failed("scaigrid", error)
