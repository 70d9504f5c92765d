"""Notice a server that has stopped responding.

A query may take as long as it needs, so time alone says nothing. While one waits, a second
connection asks the server for an answer. None comes if the network swallows packets, the server's
host hangs, or a pooler has no server. Where only this one connection is dead, as behind a firewall
that has forgotten it, the kernel ends it (`tcp_user_timeout`).
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress
from threading import Event
from typing import Any, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.errors import ConnectionTimeout
from psycopg.pq import TransactionStatus

T = TypeVar("T")

_ACTIVE = TransactionStatus.ACTIVE

MAX_REFUSAL_SECONDS = 2.0
"""A server that refuses a connection does so in less time."""
RETRY_SECONDS = 3.0
"""How long a server that accepted no connection in time is not tried again by this process."""


class ServerSilent(psycopg.OperationalError):
    """The server has sent nothing, and does not respond to another connection."""

    is_silent = True


class WatchedConnection(psycopg.Connection[Any]):
    """A connection whose waits end with `ServerSilent`, and which is then closed.

    The server is asked after `keepalives_idle` seconds without a byte, and has as long to respond.
    With 0 it is never asked. `locks` and `has_ended` belong to `process_lock`.
    """

    _retry_at: dict[tuple[Any, ...], float] = {}
    _patience = 0.0
    _params: dict[str, Any]
    is_silent = False
    locks = 0
    has_ended: Event

    @classmethod
    def connect(cls, conninfo: str = "", **params: Any) -> Self:
        """Raises at once if another attempt has just timed out: each would occupy a thread."""
        server = conninfo, params.get("host"), params.get("port")
        if time.monotonic() < cls._retry_at.get(server, 0):
            raise ConnectionTimeout("The server accepted no connection a moment ago.")
        began_at = time.monotonic()
        try:
            connection = super().connect(conninfo, **params)
        except psycopg.OperationalError as error:
            # After three seconds the kernel reports a host that no longer exists.
            if time.monotonic() - began_at < MAX_REFUSAL_SECONDS:
                raise
            cls._retry_at[server] = time.monotonic() + RETRY_SECONDS
            raise ConnectionTimeout(str(error)) from error
        connection._patience = float(params.get("keepalives_idle", 0))
        connection._params = {"conninfo": conninfo, **params}
        return connection

    def wait(self, gen: PQGen[T], *args: Any, **options: Any) -> T:
        state = None
        if self.is_silent:
            raise ServerSilent("The connection was closed because the server is silent.")
        if self.pgconn.transaction_status == _ACTIVE:
            # The next row of a COPY is mostly here already: watching would double its time.
            try:
                state = next(gen)
            except StopIteration as end:
                row: T = end.value
                return row
        return super().wait(self._watch(gen, state), *args, **options)

    def beat(self, seconds: float, has_ended: Event) -> None:
        """Send something in these intervals, in a thread, so that the session is never idle long.

        It sends nothing while a statement is executed, and begins no transaction.
        """
        while not has_ended.wait(seconds) and not self.closed:
            with suppress(psycopg.Error), self.lock:
                if self.pgconn.transaction_status != _ACTIVE:
                    self.wait(self._exec_command(b"SELECT 1"))

    def _watch(self, gen: PQGen[T], state: Any) -> Generator[Any, Any, T]:
        """Run what psycopg waits for; it resumes this ten times a second, and when bytes arrive."""
        heard_at = time.monotonic()
        ready: Any = None if state is None else (yield state)
        while True:
            try:
                state = gen.send(ready)
            except StopIteration as end:
                result: T = end.value
                return result
            except psycopg.OperationalError as error:
                # The kernel has ended the connection: no packet was acknowledged.
                if error.sqlstate is None and self._is_overdue(heard_at):
                    raise ServerSilent(str(error)) from error
                raise
            if ready := (yield state):
                heard_at = time.monotonic()
            elif self._is_overdue(heard_at):
                self._require_response()
                heard_at = time.monotonic()

    def _is_overdue(self, heard_at: float) -> bool:
        return time.monotonic() - heard_at >= self._patience > 0

    def _require_response(self) -> None:
        """Raises `ServerSilent`. A refusal is a response too."""
        try:
            params = {**self._params, "connect_timeout": round(self._patience), "autocommit": True}
            with _Probe.connect(**params) as probe:
                probe.execute("SELECT 1")
        except (ConnectionTimeout, ServerSilent) as error:
            self.is_silent = True
            self.close()
            raise ServerSilent(
                f"the server has sent nothing for {2 * self._patience:.0f} s"
            ) from error
        except psycopg.Error:
            return
        except BaseException:  # A signal: nothing reads the rest of the response.
            self.close()
            raise


class _Probe(WatchedConnection):
    """A connection that no other one asks for."""

    def _require_response(self) -> None:
        self.close()
        raise ServerSilent("no response")
