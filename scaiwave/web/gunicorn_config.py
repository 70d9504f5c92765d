"""Settings of gunicorn: `gunicorn --config python:scaiwave.web.gunicorn_config`.

Options of the command line take precedence. A worker takes no more connections than it has
threads, so that a request waits for the first free thread of any worker, instead of behind the
exports of one; `gunicorn_worker` makes an exception for health checks. The proxy has the keep-alive
connections and buffers what slow clients send.
"""

from __future__ import annotations

from typing import Any

wsgi_app = "scaiwave.wsgi"
bind = "127.0.0.1:8000"
workers = 2
worker_class = "scaiwave.web.gunicorn_worker.Worker"
threads = 8
worker_connections = threads
keepalive = 0
timeout = 60
"""Seconds without a sign of life of a worker; its threads may take longer."""

graceful_timeout = 60
"""Seconds that requests in progress have to end after SIGTERM, such as exports."""

control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Let exports and imports occupy fewer threads than the worker has, and watch for problems."""
    from scaiwave.extensions import WATCH_PROBLEMS
    from scaiwave.web.transfers import limit_transfers  # needs Django's settings

    limit_transfers(worker.cfg.threads)
    WATCH_PROBLEMS.load()()
