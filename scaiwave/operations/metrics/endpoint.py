"""Metrics for Prometheus (ScaiWave docs, reference/api/health-and-metrics).

`COLLECTORS` names all of them. Values are read from the database and Redis, not counted in a
process: the command line and the workers act too, and a server has several web processes.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

import django
from django.db import connection
from django.http import HttpRequest, HttpResponse

from scaiwave.core.errors import AuthError
from scaiwave.operations.health import is_monitor
from scaiwave.operations.metrics import collectors
from scaiwave.operations.metrics.collectors import Metric
from scaiwave.web.api import api_view

# Imported where it is used: an installation for the command line loads the URLs, but lacks it.
if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

logger = logging.getLogger(__name__)


class MetricsRefused(AuthError):
    """Metrics are for requests from this host without a proxy, or with the token."""

    code = "SW_METRICS_REFUSED"
    remedy = (
        "Request `/metrics` from this host, or set SCAIWAVE_METRICS_TOKEN and send it as bearer "
        "token."
    )


@api_view("GET", "HEAD")
def metrics(request: HttpRequest) -> HttpResponse:
    if not is_monitor(request):
        raise MetricsRefused("The metrics are not available to this request.")
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

    prometheus = CollectorRegistry(auto_describe=False)
    prometheus.register(_Collector())
    return HttpResponse(generate_latest(prometheus), content_type=CONTENT_TYPE_LATEST)


class _Collector:
    """Converts the metrics of all apps for the library."""

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        versions = {
            "version": version("scaiwave"),
            "python": platform.python_version(),
            "django": django.get_version(),
            "database": connection.vendor,
        }
        build = Metric("build_info", "Versions of this server.", [(versions, 1)])
        for metric in (build, *_collect_all()):
            family_class = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
            names = sorted({name for labels, _ in metric.samples for name in labels})
            family = family_class(f"scaiwave_{metric.name}", metric.help, labels=names)
            for labels, value in metric.samples:
                family.add_metric([labels.get(name, "") for name in names], value)
            yield family


def _collect_all() -> Iterable[Metric]:
    """Yield the readable figures: a monitor needs the rest most when a part is unavailable."""
    now = datetime.now(UTC)
    failures: list[tuple[dict[str, str], float]] = []
    for name, collect in COLLECTORS.items():
        metrics: list[Metric] = []
        is_failed = False
        try:
            metrics = list(collect(now))
        except Exception:
            logger.exception("The metrics of %s could not be read.", name)
            is_failed = True
        failures.append(({"collector": name}, int(is_failed)))
        yield from metrics
    yield Metric("collector_failed", "1 if the metrics of a part can't be read.", failures)


COLLECTORS: Mapping[str, Callable[[datetime], Iterable[Metric]]] = {
    "jobs": collectors.collect_job_metrics,
    "job_refusals": collectors.collect_job_refusals,
    "audit_seals": collectors.collect_audit_seals,
    "federation": collectors.collect_key_metrics,
    "rooms": collectors.collect_room_metrics,
    "sync": collectors.collect_sync_metrics,
    "webhooks": collectors.collect_webhook_metrics,
}
