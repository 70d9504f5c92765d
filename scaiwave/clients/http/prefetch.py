"""Work done ahead by a few threads and handed out in the order it was asked for.

`concurrent.futures` has no daemon threads: a server that hangs would keep an interrupted
command from ending until every time-out has passed.
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

LONGEST_GOODBYE = 2.0
"""Seconds to wait for the threads at the end. One that still waits for a server is left to its
time-out; it can't hold up the process."""


class OrderedPrefetcher(Generic[Key, Result]):
    """`submit` keys, `take` their results in the same order, `close` at the end.

    Threads start when there is work for them, never more than `workers`. `work` gets the key
    and an event that is set once nobody wants the result any more.
    """

    def __init__(
        self, work: Callable[[Key, threading.Event], Result], *, workers: int, name: str
    ) -> None:
        self._work = work
        self._workers = workers
        self._name = name
        self._stop = threading.Event()
        self._todo: queue.SimpleQueue[tuple[Key, Future[Result]] | None] = queue.SimpleQueue()
        self._asked: deque[Future[Result]] = deque()
        self._threads: list[threading.Thread] = []

    def __len__(self) -> int:
        """How many results are asked for and not yet taken."""
        return len(self._asked)

    def submit(self, key: Key) -> None:
        future: Future[Result] = Future()
        self._asked.append(future)
        self._todo.put((key, future))
        if len(self._threads) < min(self._workers, len(self._asked)):
            number = len(self._threads) + 1
            thread = threading.Thread(target=self._run, name=f"{self._name}-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def take(self) -> Result:
        """The oldest result; waits for it, and raises what its work raised."""
        return self._asked.popleft().result()

    def close(self) -> None:
        """Drop what nobody took, and let the threads end. May be called twice."""
        self._stop.set()
        while self._asked:
            self._asked.popleft().cancel()
        for _ in self._threads:
            self._todo.put(None)
        deadline = time.monotonic() + LONGEST_GOODBYE
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads.clear()

    def _run(self) -> None:
        while (item := self._todo.get()) is not None:
            key, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = self._work(key, self._stop)
            except BaseException as error:  # noqa: BLE001 - handed to whoever takes the result
                future.set_exception(error)
            else:
                future.set_result(result)
