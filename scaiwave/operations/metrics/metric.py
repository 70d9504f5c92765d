"""The type of all metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Metric:
    """One metric for Prometheus, without the prefix `scaiwave_`.

    `samples` are values with their labels. A counter only grows, and its name gets the suffix
    `_total`; any other metric is a gauge.
    """

    name: str
    help: str
    samples: Sequence[tuple[Mapping[str, str], float]]
    is_counter: bool = False


MetricCollector = Callable[[datetime], Iterable[Metric]]
