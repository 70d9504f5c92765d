"""Metrics of the seals of the audit log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

from scaiwave.operations.metrics.metric import Metric
from tenants.audit.chain import get_first_day, get_last_ended_day, load_chain

_DAY = timedelta(days=1)


def collect_audit_seals(now: datetime) -> Iterator[Metric]:
    chain = load_chain()
    first_unsealed = get_first_day(chain)
    late = 0
    if first_unsealed is not None:
        late = max((get_last_ended_day(now) - first_unsealed).days + 1, 0)
    yield Metric("audit_unsealed_days", "Ended days of the audit log without a seal.", [({}, late)])
    if chain is not None and chain.sealed_through is not None:
        end = datetime.combine(chain.sealed_through + _DAY, time.min, UTC)
        yield Metric(
            "audit_sealed_until_timestamp_seconds",
            "End of the last sealed day of the audit log, as a Unix time.",
            [({}, end.timestamp())],
        )
