"""Prefetching by a few threads, with results in the order of submission.

`concurrent.futures` has no daemon threads: with it, an interrupted command could not end until
every request to a hanging server has timed out.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")

MAX_CLOSE_SECONDS = 2.0
"""How long `close` waits for the threads. One that still waits for a server is abandoned; it can't
keep the process from ending."""


class OrderedPrefetcher(Generic[Key, Result]):
    """`submit` keys, `take` their results in the same order, `close` at the end.

    Threads start when there is work for them, at most `workers`. `work` gets the key and an event,
    which is set when the results are no longer needed.
    """

    def __init__(
        self, work: Callable[[Key, threading.Event], Result], *, workers: int, name: str
    ) -> None:
        self._work = work
        self._workers = workers
        self._name = name
        self._stop = threading.Event()
        self._queue: queue.SimpleQueue[tuple[Key, Future[Result]] | None] = queue.SimpleQueue()
        self._pending: deque[Future[Result]] = deque()
        self._threads: list[threading.Thread] = []

    def __len__(self) -> int:
        """Return the number of submitted results that were not taken yet."""
        return len(self._pending)

    def submit(self, key: Key) -> None:
        future: Future[Result] = Future()
        self._pending.append(future)
        self._queue.put((key, future))
        if len(self._threads) < min(self._workers, len(self._pending)):
            number = len(self._threads) + 1
            thread = threading.Thread(
                target=self._process_queue, name=f"{self._name}-{number}", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def take(self) -> Result:
        """Wait for the oldest result and return it, or raise what its work raised."""
        return self._pending.popleft().result()

    def close(self) -> None:
        """Discard the other results and end the threads. May be called twice."""
        self._stop.set()
        while self._pending:
            self._pending.popleft().cancel()
        for _ in self._threads:
            self._queue.put(None)
        deadline = time.monotonic() + MAX_CLOSE_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads.clear()

    def _process_queue(self) -> None:
        while (item := self._queue.get()) is not None:
            key, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = self._work(key, self._stop)
            except BaseException as error:  # noqa: BLE001 - raised by `take`
                future.set_exception(error)
            else:
                future.set_result(result)
