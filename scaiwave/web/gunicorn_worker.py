"""gunicorn's worker with threads, which answers health checks while all of its threads are busy."""

from __future__ import annotations

import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from select import select
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

HEALTH_REQUESTS = (b"GET /health", b"HEAD /health")
HEALTH_THREADS = 2
LOOK_SECONDS = 1.0
MAX_WAITING = 64
DATA_SECONDS = 0.2
"""What a connection may take to show whether it is a health check."""


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """A worker without a free thread accepts connections once a second, to find health checks.

    All others wait for its threads, in order: by then no other worker has had a free one.
    """

    def init_process(self) -> None:
        self._looked_at = 0.0
        self._health_threads = ThreadPoolExecutor(HEALTH_THREADS, "health")
        super().init_process()

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        super().wait_for_and_dispatch_events(timeout)
        if not self.alive or self.nr_conns < self.cfg.threads:
            return
        if time.monotonic() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = time.monotonic()
        while self.nr_conns < self.cfg.threads + MAX_WAITING:
            if not (waiting := select(self.sockets, [], [], 0)[0]):
                return
            for listener in waiting:
                self.accept(listener)

    def enqueue_req(self, conn: TConn) -> None:
        if conn.data_ready or self.nr_conns <= self.cfg.threads:
            super().enqueue_req(conn)
            return
        future = self._health_threads.submit(self._answer_health, conn)
        future.add_done_callback(lambda _: self.method_queue.defer(self._sort, conn, future))

    def _answer_health(self, conn: TConn) -> Any:
        """Return None for a connection that asks for something else."""
        if conn.wait_for_data(DATA_SECONDS):
            beginning = conn.sock.recv(len(HEALTH_REQUESTS[-1]), socket.MSG_PEEK)
            if beginning.startswith(HEALTH_REQUESTS):
                return self.handle(conn)
        return None

    def _sort(self, conn: TConn, future: Future[Any]) -> None:
        if future.exception() is None and future.result() is None:
            super().enqueue_req(conn)
        else:
            self.finish_request(conn, future)
