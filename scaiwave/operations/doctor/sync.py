"""Health checks: ScaiKey and its clock, and the age of the last sync."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from django.db import Error

from identity_sync.errors import RemovalsPending, SyncOverdue
from identity_sync.models import Outcome, SyncSkip
from identity_sync.reasons import ON_PURPOSE, Reason
from identity_sync.registration.credentials import verify_credentials
from identity_sync.registration.missing import describe_missing_registration
from identity_sync.reports.health import SyncHealth, judge_sync
from identity_sync.reports.judgement import RunScope, format_age_in_words
from identity_sync.reports.webhooks import summarise_webhooks
from scaiwave.clients.http.retry import parse_http_date
from scaiwave.config import Configuration
from scaiwave.console.text import pluralize
from scaiwave.core.errors import ConfigurationError, NotRegistered, ScaiWaveError
from scaiwave.core.operators import get_host_operator
from scaiwave.operations.doctor.findings import Finding, State, failed, passed, warned
from tenants.lookup.restoration import find_restoration

MAX_CLOCK_SKEW = timedelta(seconds=60)
"""The tolerance when tokens are verified here, and signatures by peers."""

WARN_CLOCK_SKEW = timedelta(seconds=10)

NOT_REGISTERED = "Not checked: this server is not registered."


class ClockWrong(ConfigurationError):
    """The clocks of this server and of ScaiKey differ by more than a minute."""

    code = "SW_CLOCK_WRONG"
    fix = "Synchronise both servers with a time server (chrony, systemd-timesyncd)."


def check_scaikey(config: Configuration, now: datetime) -> Iterator[Finding]:
    # Without a database the credentials are checked; its own check reports its errors.
    with suppress(Error):
        if find_restoration() is not None:
            yield Finding("scaikey", State.SKIP, "Not checked: this server is not activated.")
            return
    values = [
        config.get_str(f"SCAIWAVE_SCAIKEY_{name}") for name in ("URL", "CLIENT_ID", "CLIENT_SECRET")
    ]
    if not all(values):
        # The database knows how far the registration has come; its own check reports its errors.
        with suppress(Error):
            yield failed("scaikey", describe_missing_registration(config))
        return
    try:
        token_scope = verify_credentials(*values)
    except ScaiWaveError as error:
        yield failed("scaikey", error)
    else:
        scope = f" (scope: {token_scope})" if token_scope else ""
        yield passed("scaikey", f"ScaiKey accepts this server's credentials{scope}.")
    yield from _check_clock(config)


def _check_clock(config: Configuration) -> Iterator[Finding]:
    try:
        skew = scaikey_clock_skew(config.get_url("SCAIWAVE_SCAIKEY_URL"))
    except ScaiWaveError:
        # The check of ScaiKey has reported the error.
        yield Finding("clock", State.SKIP, "Not checked: ScaiKey does not respond.")
        return
    if skew is None:
        yield Finding("clock", State.SKIP, "Not checked: ScaiKey's response has no date.")
        return
    direction = "ahead of" if skew > timedelta(0) else "behind"
    text = f"ScaiKey's clock is {abs(skew).total_seconds():.0f} s {direction} this server's."
    if abs(skew) > MAX_CLOCK_SKEW:
        yield failed("clock", ClockWrong(text))
    elif abs(skew) > WARN_CLOCK_SKEW:
        yield warned("clock", text, ClockWrong.fix)
    else:
        yield passed("clock", text)


def scaikey_clock_skew(base_url: str) -> timedelta | None:
    """Return how far ScaiKey's clock is ahead, to about a second; None if it sends no date."""
    from scaiwave.clients.http.client import HttpClient
    from scaiwave.clients.scaikey.auth import JWKS

    with HttpClient(base_url, service="ScaiKey") as client:
        sent_at = datetime.now(UTC)
        response = client.request("GET", JWKS, retry=False)
        received_at = datetime.now(UTC)
    if (remote_time := parse_http_date(response.headers.get("date"))) is None:
        return None
    local_time = sent_at + (received_at - sent_at) / 2
    # The header has whole seconds, so on average it is half a second behind.
    return remote_time + timedelta(milliseconds=500) - local_time


MAX_WEBHOOK_LAG = timedelta(seconds=60)
"""Webhooks wait less than this, except while a full sync is in progress."""


def check_last_sync(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Report what `sync status` does; the check of ScaiKey reports the credentials."""
    health = judge_sync(RunScope(get_host_operator()), config=config, now=now)
    if health.is_registered:
        yield from _list_sync_findings(health, now)
    else:
        yield Finding("sync", State.SKIP, NOT_REGISTERED)
    yield from _check_webhooks(config, now)


def _list_sync_findings(health: SyncHealth, now: datetime) -> Iterator[Finding]:
    for problem in health.problems:
        if not isinstance(problem, NotRegistered):
            yield failed("sync", problem)
    is_overdue = any(isinstance(problem, SyncOverdue) for problem in health.problems)
    if (success := health.judgement.last_success) and success.ended_at and not is_overdue:
        yield passed(
            "sync", f"The last full sync was {format_age_in_words(success.ended_at, now)} ago."
        )
    if success and success.warnings:
        command = f"scaiwave sync show-run {success.pk}"
        yield warned(
            "sync",
            f"The last full sync had {pluralize(len(success.warnings), 'warning')}. "
            f"The first: {success.warnings[0]}",
            f"`{command}` lists them.",
        )
    yield from _list_warnings("sync", health)
    latest = health.judgement.latest
    others = SyncSkip.objects.exclude(reason_code__in=(Reason.PENDING, *ON_PURPOSE))
    is_named = any(isinstance(problem, RemovalsPending) for problem in health.problems)
    # The problem above already names a partial run that skipped nothing else.
    if is_named and latest and latest.outcome == Outcome.PARTIAL and not others.exists():
        return
    if latest and latest.error_code:
        yield warned(
            "sync",
            f"The latest full sync ended with {latest.error_code}: {latest.error_message}",
            latest.error_fix or "Run `scaiwave sync` again.",
        )


def check_scheduler(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Report who starts scheduled syncs, and warn if no one does."""
    health = judge_sync(RunScope(get_host_operator()), config=config, now=now)
    schedule = health.schedule
    if schedule.scheduler is not None and not schedule.clock_problem:
        host = schedule.scheduler.host
        next_run = schedule.next_run_at
        when = f"; next sync at {next_run:%Y-%m-%d %H:%M} UTC" if next_run else ""
        yield passed("scheduler", f"The scheduler on {host} is active{when}.")
    elif schedule.source == "cron" and schedule.last_cron is not None:
        age = format_age_in_words(schedule.last_cron.started_at, now)
        yield passed("scheduler", f"The last scheduled sync began {age} ago.")
    elif schedule.redis_problem is not None:
        yield Finding("scheduler", State.SKIP, "Not checked: Redis can't be used.")
    elif not health.is_registered:
        yield Finding("scheduler", State.SKIP, NOT_REGISTERED)
    else:
        yield from _list_warnings("scheduler", health)


def _list_warnings(check: str, health: SyncHealth) -> Iterator[Finding]:
    for warning in health.warnings:
        if warning.check == check:
            yield warned(check, warning.message, warning.fix)


def _check_webhooks(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Report webhooks only if something is wrong: not every server receives them."""
    webhooks = summarise_webhooks(config, now)
    if webhooks["lag_seconds"] > MAX_WEBHOOK_LAG.total_seconds():
        yield warned(
            "webhooks",
            f"Waiting webhooks: {webhooks['waiting']:,}, the oldest for "
            f"{webhooks['lag_seconds']:,} s.",
            "Check that a worker is running, or run `scaiwave manage process_webhooks`.",
        )
    if (failure := webhooks["last_failure"]) is not None:
        error = failure["error"]
        yield warned(
            "webhooks",
            f"Webhooks left to the next full sync: {webhooks['failed']:,}, the latest with "
            f"{error['code']}: {error['message']}",
            "Run `scaiwave sync`.",
        )
