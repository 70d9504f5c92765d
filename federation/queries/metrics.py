"""Metrics of this server's federation keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from federation.queries.keys import get_rotation_due_at, signing_key
from scaiwave.registry import Metric

_DAY = timedelta(days=1)


def collect_key_metrics(now: datetime) -> Iterator[Metric]:
    key = signing_key(now)
    yield Metric("federation_signing_key", "1 if a key signs.", [({}, int(key is not None))])
    if key is not None:
        age = (now - key.signs_from) / _DAY
        yield Metric("federation_key_age_days", "Age of the signing key.", [({}, age)])
        remaining = (get_rotation_due_at(key) - now) / _DAY
        yield Metric(
            "federation_key_rotation_days",
            "Days until the signing key should be rotated; negative if that is overdue.",
            [({}, remaining)],
        )
