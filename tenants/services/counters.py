"""Count acts for the metrics, across all processes of this server."""

from __future__ import annotations

import json
import logging
from functools import partial

from django.db import DatabaseError, connection, transaction

from scaiwave.ids import new_id
from scaiwave.sql import execute, uuid_param
from tenants.models import Counter

logger = logging.getLogger(__name__)


def increment_counter(name: str, amount: int = 1, **labels: str) -> None:
    """Add to a count once the current transaction is committed.

    The act is done by then, so an error is only logged. In the transaction, acts of the same kind
    would wait for each other.
    """
    transaction.on_commit(partial(_add, name, amount, labels), robust=True)


def _add(name: str, amount: int, labels: dict[str, str]) -> None:
    try:
        execute(
            "INSERT INTO sw_counters (id, name, labels, value) VALUES (%s, %s, %s, %s) "
            "ON CONFLICT (name, labels) DO UPDATE SET value = sw_counters.value + excluded.value",
            [uuid_param(new_id()), name, json.dumps(labels, sort_keys=True), amount],
        )
    except DatabaseError as error:
        reason = str(error).partition("\n")[0]
        logger.warning("%s was not counted for the metrics: %s", name, reason)
        connection.close_if_unusable_or_obsolete()  # What follows must not fail for that.


def read_counter(name: str) -> list[tuple[dict[str, str], int]]:
    """Return the values of a count by their labels."""
    rows = Counter.objects.filter(name=name).order_by("labels").values_list("labels", "value")
    return [(json.loads(labels), value) for labels, value in rows]
