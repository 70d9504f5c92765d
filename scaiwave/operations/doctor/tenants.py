"""Health checks for `scaiwave doctor`: audit log, super admins, ScaiGrid."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from shlex import quote

from scaiwave.config import Configuration
from scaiwave.core.errors import ScaiWaveError
from scaiwave.operations.doctor.findings import Finding, failed, passed, warned
from scaiwave.operations.prune import count_overdue
from scaiwave.web.scaikey_sign_in import is_sign_in_registered
from tenants.audit.triggers import missing_triggers
from tenants.errors import AuditTriggersMissing
from tenants.models import Role, TenantErasure
from tenants.people.queries.tenants import PERCENTS, find_near_limits
from tenants.roles.queries.roles import SUPER_ADMIN
from tenants.roles.queries.super_admins import GRANT_COMMAND, count_super_admins

SIGN_IN = "sign_in"
MAX_LISTED_TENANTS = 10
PRUNE_GRACE = timedelta(days=7)
LIMIT_NAMES = {
    "participants": "participants",
    "rooms": "rooms",
    "storage_bytes": "storage",
    "ai_tokens_month": "AI tokens of this month",
}


def check_audit(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Check that the database refuses changes of the audit log. Raises `AuditTriggersMissing`."""
    if missing := missing_triggers():
        raise AuditTriggersMissing(
            f"The audit log is not protected: triggers are missing: {', '.join(missing)}."
        )
    yield passed("audit", "The audit log is append-only.")


def check_sign_in(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Warn if no one can sign in to the admin site."""
    has_scaikey, has_password = (
        is_sign_in_registered(config),
        config.get_bool("SCAIWAVE_ADMIN_PASSWORD_SIGN_IN"),
    )
    ways = [
        name
        for name, is_offered in (("ScaiKey", has_scaikey), ("password", has_password))
        if is_offered
    ]
    if ways:
        yield passed(SIGN_IN, f"People sign in to the admin site with {' or '.join(ways)}.")
    else:
        yield warned(
            SIGN_IN,
            "No one can sign in to the admin site: passwords are switched off, and this server has "
            "no registration, so that ScaiKey can't sign people in.",
            "Set SCAIWAVE_ADMIN_PASSWORD_SIGN_IN to true, or run `scaiwave sync register`; "
            "`scaiwave sync status` shows the missing step. Then restart the web server.",
        )


def check_super_admin(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Warn if no super_admin is left. Commands prevent that, but ScaiKey can remove the last."""
    count = count_super_admins()
    if count.able:
        people = "person" if count.able == 1 else "people"
        yield passed(SUPER_ADMIN, f"{count.able:,} {people} with super_admin can sign in.")
    elif not Role.objects.filter(slug=SUPER_ADMIN).exists():
        # Nothing was lost, and operators of these commands get their permissions from tokens.
        yield passed(SUPER_ADMIN, "No one has been granted super_admin.")
    elif count.active:
        yield warned(
            SUPER_ADMIN,
            "No one with super_admin can sign in.",
            f"Grant super_admin to another person: {GRANT_COMMAND}. "
            "`scaiwave admin show-participant <who>` shows what blocks a sign-in.",
        )
    else:
        yield warned(
            SUPER_ADMIN,
            "No active person has super_admin.",
            f"Grant super_admin: {GRANT_COMMAND}.",
        )


def check_limits(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Warn of tenants that use more than their limits, and count those near a limit."""
    near = full = exceeded = 0
    for row in find_near_limits(now):
        percents = {name: row[column] or 0 for name, column in PERCENTS.items()}
        near += 1
        full += max(percents.values()) >= 100
        names = [LIMIT_NAMES[name] for name, percent in percents.items() if percent > 100]
        exceeded += bool(names)
        if names and exceeded <= MAX_LISTED_TENANTS:
            slug = quote(row["slug"])
            yield warned(
                "limits",
                f"Tenant {row['slug']} uses more than its limit: {', '.join(names)}.",
                f"Check `scaiwave admin show-tenant {slug}`, then raise the limit with "
                f"`scaiwave admin update-tenant {slug}`, or reduce the usage.",
            )
    counts = f"Tenants at 80% of a limit or above: {near:,}, at 100% or above: {full:,}."
    if exceeded:
        yield warned("limits", counts, "`scaiwave admin list-tenants --near-limit` lists them.")
    else:
        yield passed("limits", f"All tenants are within their limits. {counts}")


def check_erasures(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Warn of tenants whose erasure was interrupted. Nothing else finds them any longer."""
    rows = list(TenantErasure.objects.filter(finished_at=None).order_by("begun_at"))
    for row in rows:
        yield warned(
            "erasures",
            f"The erasure of tenant {row.tenant_id} of {row.begun_at:%Y-%m-%d %H:%M} UTC has not "
            f"ended. It is in the phase {row.phase}.",
            f"Continue: `scaiwave admin erase-tenant {quote(str(row.tenant_id))} "
            "--certificate <file>`.",
        )
    if not rows:
        yield passed("erasures", "No erasure of a tenant is unfinished.")


def check_retention(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Warn if records are long overdue for deletion, because `admin prune` does not run."""
    if overdue := count_overdue(config, now, PRUNE_GRACE):
        listed = ", ".join(f"{count:,} {title}" for title, count in overdue.items())
        yield warned(
            "retention",
            f"Records that should have been deleted a week ago: {listed}.",
            "Run `scaiwave admin prune --dry-run`, then schedule `scaiwave admin prune --quiet`.",
        )
    else:
        yield passed("retention", "No old records are overdue for deletion.")


def check_scaigrid(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Check the connection. Return no findings if ScaiGrid is not configured; it is optional."""
    if not config.get_str("SCAIWAVE_SCAIGRID_URL"):
        return
    # Importing httpx is slow, so only do it if a request is made.
    from scaiwave.clients.http.retry import RetryPolicy
    from scaiwave.clients.scaigrid.client import scaigrid_client

    try:
        with scaigrid_client(config, retry_policy=RetryPolicy(total=5.0)) as client:
            client.ready()
            client.me()
            yield passed("scaigrid", f"ScaiGrid is ready and accepts {client.access.description}.")
    except ScaiWaveError as error:
        yield failed("scaigrid", error)
