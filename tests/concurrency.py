"""Run functions at the same time, to test what they do to each other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection
from django.db.backends.base.base import BaseDatabaseWrapper

Result = TypeVar("Result")


def run_concurrently(*calls: Callable[[], Result]) -> list[Result]:
    """Call each function in a thread with its own database connection, all at the same moment.

    Returns the results in the order of the functions, and raises the first of their errors.
    """
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Result]) -> Result:
        barrier.wait()
        try:
            return call()
        finally:
            # That of SQLite leaves a connection open whose database is in memory.
            BaseDatabaseWrapper.close(connection)

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))
