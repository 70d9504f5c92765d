"""Metrics of this server's federation keys."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from federation.keys.queries import (
    find_signing_key,
    get_rotation_due_at,
    has_future_times,
    load_keys,
)
from scaiwave.operations.metrics.metric import Metric

_DAY = timedelta(days=1)


def collect_key_metrics(now: datetime) -> Iterator[Metric]:
    keys = load_keys()
    key = find_signing_key(keys, now)
    wrong = sum(has_future_times(each, now) for each in keys)
    yield Metric("federation_keys_from_future", "Keys with times in the future.", [({}, wrong)])
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
