"""Whether the audit log is sealed in time, for `doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from scaiwave.config import Configuration
from scaiwave.extensions import SERVER_SIGNER
from scaiwave.operations.doctor.findings import Finding, failed, passed, warned
from tenants.audit.chain import get_first_day, get_last_ended_day, load_chain
from tenants.audit.queries.remembered import find_lost_seal

NAME = "audit_seals"
MAX_LATE = timedelta(days=1)
"""How long a day that has ended may wait for its seal."""


def check_audit_seals(config: Configuration, now: datetime) -> Iterator[Finding]:
    """Fail if the last seal of this host is gone; warn of days that were not sealed in time, and of
    seals that are ahead of the clock."""
    if lost := find_lost_seal():
        yield failed(NAME, lost)
        return
    chain = load_chain()
    sealed_through = chain.sealed_through if chain is not None else None
    first_unsealed = get_first_day(chain)
    if sealed_through is not None and sealed_through >= now.astimezone(UTC).date():
        yield warned(
            NAME,
            f"The audit log is sealed through {sealed_through}, which has not ended: a clock was "
            "ahead. New entries are sealed after that day.",
            "Check the clock of this server. If it is right, the log is sealed again from that "
            "day on; until then keep copies of new entries.",
        )
    elif first_unsealed is not None and first_unsealed <= get_last_ended_day(now - MAX_LATE):
        has_key = SERVER_SIGNER.load()().find_signing_key(now) is not None
        yield warned(
            NAME,
            f"The days of the audit log from {first_unsealed} on are not sealed"
            + ("." if has_key else ": this server has no signing key."),
            "Run `scaiwave admin audit seal`, and check that the scheduler runs it every hour."
            if has_key
            else "Run `scaiwave admin federation key generate`, then `scaiwave admin audit seal`.",
        )
    elif sealed_through is None:
        yield passed(NAME, "No day of the audit log is due to be sealed.")
    else:
        yield passed(NAME, f"The audit log is sealed through {sealed_through}.")
