"""Metrics of exports, imports and the search index."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from rooms.exports.export_room import EXPORT_BYTES_COUNTER, EXPORTS_COUNTER
from rooms.imports.import_room import IMPORT_BYTES_COUNTER, IMPORTS_COUNTER
from rooms.models import ImportIntent
from scaiwave.operations.doctor.rooms import count_unindexed_messages
from scaiwave.operations.metrics.metric import Metric
from tenants.counters import read_counter

_COUNTERS = {
    EXPORTS_COUNTER: "Bundles that were read to their end.",
    EXPORT_BYTES_COUNTER: "Bytes of these bundles.",
    IMPORTS_COUNTER: "Rooms that were imported.",
    IMPORT_BYTES_COUNTER: "Bytes of the attachments that imports have stored.",
}


def collect_room_metrics(now: datetime) -> Iterator[Metric]:
    for name, description in _COUNTERS.items():
        samples = read_counter(name) or [({}, 0)]
        yield Metric(name, description, samples, is_counter=True)
    intents = ImportIntent.objects.count()
    yield Metric(
        "room_imports_open",
        "Imports in progress, or interrupted and not cleaned up.",
        [({}, intents)],
    )
    if (backlog := count_unindexed_messages()) is not None:
        yield Metric(
            "search_backlog_messages",
            "Messages that are not in the search index yet, up to 10,000.",
            [({}, backlog)],
        )
