"""Count acts for the metrics, across all processes of this server."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.db import DatabaseError, connection, transaction

from scaiwave.core.sql import execute, uuid_param
from scaiwave.ids import new_id
from tenants.models import Counter

logger = logging.getLogger(__name__)


def increment_counter(name: str, amount: int = 1, **labels: str) -> None:
    """Add to a count once the current transaction is committed.

    The act is done by then, so an error is only logged. In the transaction, acts of the same kind
    would wait for each other.
    """
    increment_counters({name: amount}, **labels)


def increment_counters(amounts: Mapping[str, int], **labels: str) -> None:
    """Add to several counts, as `increment_counter` does, with one commit."""
    transaction.on_commit(partial(_add, amounts, labels), robust=True)


def _add(amounts: Mapping[str, int], labels: dict[str, str]) -> None:
    encoded_labels = json.dumps(labels, sort_keys=True)
    values: list[Any] = []
    # In one order, so that two of them never wait for each other.
    for name, amount in sorted(amounts.items()):
        values += [uuid_param(new_id()), name, encoded_labels, amount]
    rows = ", ".join(["(%s, %s, %s, %s)"] * len(amounts))
    # The acts wait for the disk, their counts don't.
    unsynced = "RETURNING set_config('synchronous_commit', 'off', true)"
    try:
        execute(
            f"INSERT INTO sw_counters (id, name, labels, value) VALUES {rows} "  # noqa: S608
            "ON CONFLICT (name, labels) DO UPDATE SET value = sw_counters.value + excluded.value "
            f"{unsynced if connection.vendor == 'postgresql' else ''}",
            values,
        )
    except DatabaseError as error:
        reason = str(error).partition("\n")[0]
        logger.warning(
            "%s was not counted for the metrics: %s", " and ".join(sorted(amounts)), reason
        )
        connection.close_if_unusable_or_obsolete()  # What follows must not fail for that.


def read_counter(name: str) -> list[tuple[dict[str, str], int]]:
    """Return the values of a count by their labels."""
    rows = Counter.objects.filter(name=name).order_by("labels").values_list("labels", "value")
    return [(json.loads(labels), value) for labels, value in rows]
