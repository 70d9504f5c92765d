"""What doctor looks at: ScaiKey, its clock, and how long ago people were last brought in step."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.utils.timesince import timesince

from identity_sync.models import Outcome, SyncRun
from identity_sync.queries.status import summarise_skips
from identity_sync.services.registration.credentials import verify_credentials
from scaiwave.auth.operators import host_operator
from scaiwave.clients.connect import NotRegistered
from scaiwave.clients.dates import parse_http_date
from scaiwave.config import Configuration
from scaiwave.doctor.findings import Finding, State, failed, passed, warned
from scaiwave.errors import ConfigurationError, ScaiWaveError

MOST_OFFSET = timedelta(seconds=60)
"""What our check of tokens tolerates, and a peer's of signatures."""

NOTICEABLE_OFFSET = timedelta(seconds=10)
LATE = timedelta(minutes=30)
"""The schedule syncs every ten minutes, so this is the third one that did not come."""


class ClockWrong(ConfigurationError):
    code = "SW_CLOCK_WRONG"
    fix = "Let both machines follow a time server (chrony, systemd-timesyncd)."


def scaikey(config: Configuration, now: datetime) -> Iterator[Finding]:
    values = [
        config.get_str(f"SCAIWAVE_SCAIKEY_{name}") for name in ("URL", "CLIENT_ID", "CLIENT_SECRET")
    ]
    if not all(values):
        yield failed("scaikey", NotRegistered("This server is not registered with ScaiKey."))
        return
    try:
        reach = verify_credentials(*values)
    except ScaiWaveError as error:
        yield failed("scaikey", error)
    else:
        yield passed("scaikey", f"ScaiKey accepts our credentials, which reach {reach}.")
    yield from _clock(config)


def _clock(config: Configuration) -> Iterator[Finding]:
    try:
        offset = scaikey_clock_skew(config.get_url("SCAIWAVE_SCAIKEY_URL"))
    except ScaiWaveError:
        # That ScaiKey does not answer has been said.
        yield Finding("clock", State.SKIP, "Not checked, since ScaiKey gives no answer.")
        return
    if offset is None:
        yield Finding("clock", State.SKIP, "Not checked, since ScaiKey does not tell the time.")
        return
    ahead = "ahead of" if offset > timedelta(0) else "behind"
    text = f"ScaiKey's clock is {abs(offset).total_seconds():.0f} s {ahead} ours."
    if abs(offset) > MOST_OFFSET:
        yield failed("clock", ClockWrong(text))
    elif abs(offset) > NOTICEABLE_OFFSET:
        yield warned("clock", text, ClockWrong.fix)
    else:
        yield passed("clock", text)


def scaikey_clock_skew(base_url: str) -> timedelta | None:
    """How far ScaiKey's clock is ahead of ours, to about a second; None if it doesn't tell."""
    from scaiwave.clients.http.client import HttpClient
    from scaiwave.clients.scaikey.auth import JWKS

    with HttpClient(base_url, service="ScaiKey") as client:
        asked = datetime.now(UTC)
        answer = client.request("GET", JWKS, retry=False)
        answered = datetime.now(UTC)
    if (there := parse_http_date(answer.headers.get("date"))) is None:
        return None
    here = asked + (answered - asked) / 2
    # The header has whole seconds, so on average it is half a second behind.
    return there + timedelta(milliseconds=500) - here


def last_sync(config: Configuration, now: datetime) -> Iterator[Finding]:
    ended = SyncRun.objects.exclude(outcome=Outcome.RUNNING).filter(tenant=None)
    latest = ended.order_by("-started_at", "-id").first()
    good = ended.filter(outcome=Outcome.APPLIED).order_by("-started_at", "-id").first()
    if good is None or good.ended_at is None:
        yield warned("sync", "There has been no successful full sync.", "Run `scaiwave sync`.")
    elif now - good.ended_at > LATE:
        yield warned(
            "sync",
            f"The last successful full sync was {_since(good.ended_at, now)} ago.",
            "See that the schedule runs: `scaiwave sync status`.",
        )
    else:
        yield passed("sync", f"The last full sync was {_since(good.ended_at, now)} ago.")
    _, postponed = summarise_skips(host_operator(), now)
    if postponed:
        yield warned("sync", postponed.message, postponed.fix)
    if latest and latest.error_code:
        yield warned(
            "sync",
            f"The latest full sync ended with {latest.error_code}: {latest.error_message}",
            "`scaiwave sync status` shows the last runs; `scaiwave sync` tries again.",
        )


def _since(moment: datetime, now: datetime) -> str:
    return timesince(moment, now).replace("\N{NO-BREAK SPACE}", " ")
