"""Django's backend for PostgreSQL. Django loads it by its name in the settings.

Waits for a server that does not respond end: see `silence`. The server in turn ends the session of
a client that is lost, with its locks.

If the connection breaks while COMMIT is executed, the client can't tell whether the transaction was
saved. PostgreSQL can: by the transaction's ID, which is read before each COMMIT.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

import psycopg
from django.db import DatabaseError
from django.db.backends.postgresql import base
from psycopg import Error as PsycopgError
from psycopg.pq import TransactionStatus

from scaiwave.core.completed_work import list_uncommitted
from scaiwave.core.unconfirmed_commits import UnconfirmedCommit
from scaiwave.storage.postgresql.silence import WatchedConnection

WAIT_SECONDS = 5.0
"""How long to wait for a server that restarts, or that has not noticed yet that we are gone."""
POLL_SECONDS = 0.1
_END_LOST_CLIENTS = """
    SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; SET tcp_keepalives_count = 3;
    DO $$ BEGIN SET client_connection_check_interval = '10s';
    EXCEPTION WHEN invalid_parameter_value THEN NULL; END $$
"""
"""An idle session of a lost host ends after 60 s, one with a query at most 10 s later. Statements,
because PgBouncer refuses these settings as connection options. A server on Windows can't check
connections during a query, and refuses the last setting."""


class DatabaseWrapper(base.DatabaseWrapper):
    Database = SimpleNamespace(  # type: ignore[assignment]  # it has all names of the module
        **{**vars(psycopg), "connect": WatchedConnection.connect}
    )

    def init_connection_state(self) -> None:
        super().init_connection_state()
        with self.wrap_database_errors:
            self.connection.execute(_END_LOST_CLIENTS)

    def create_cursor(self, name: str | None = None) -> Any:
        """Translate errors of closing a named cursor: it is a query, which Django forgets."""
        cursor = super().create_cursor(name)
        if name:
            cursor.close = self.wrap_database_errors(cursor.close)
        return cursor

    def _commit(self) -> None:
        """Raises `UnconfirmedCommit` unless the server has answered, or has not saved it."""
        transaction_id = self._get_transaction_id()
        try:
            super()._commit()  # type: ignore[misc]  # django-stubs lack it
        except DatabaseError as error:
            # An error has a state if the server sent it. After its last one it closes.
            has_state = getattr(error.__cause__, "sqlstate", None) is not None
            if transaction_id is None or (has_state and not self.connection.closed):
                raise
            works = list_uncommitted(self.run_on_commit)
            self.connection.close()  # What is left of the response must not answer a later query.
            is_saved = self._find_out(transaction_id)
            if is_saved is False:
                raise
            self.closed_in_transaction = True  # Django would connect again, and wait for that.
            raise UnconfirmedCommit(str(error), works, is_saved=is_saved) from error

    def _get_transaction_id(self) -> str | None:
        """Return None if nothing was written. Not a query of Django's, which tests would count."""
        if self.connection is None:
            return None
        with self.connection.lock:  # It is active during a heartbeat.
            status = self.connection.info.transaction_status
        if status != TransactionStatus.INTRANS:
            return None
        with self.wrap_database_errors:
            row = self.connection.execute("SELECT pg_current_xact_id_if_assigned()::text")
            transaction_id: str | None = row.fetchone()[0]
        return transaction_id

    def _find_out(self, transaction_id: str) -> bool | None:
        """Return whether the transaction was saved; None if the server does not tell in time.

        A thread asks, since a connection or a query may wait without limit: a pooler accepts a
        client and lets its query wait for a server.
        """
        answers: SimpleQueue[bool] = SimpleQueue()
        asker = threading.Thread(target=self._ask, args=(transaction_id, answers), daemon=True)
        asker.start()
        try:
            return answers.get(timeout=WAIT_SECONDS)
        except Empty:
            return None

    def _ask(self, transaction_id: str, answers: SimpleQueue[bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            # Each time through a new connection. It is `in progress` until the server notices.
            with (
                suppress(PsycopgError),
                self.Database.connect(**self.get_connection_params()) as connection,
            ):
                row = connection.execute("SELECT pg_xact_status(%s::xid8)", [transaction_id])
                if (status := str(row.fetchone()[0])) in {"committed", "aborted"}:
                    answers.put(status == "committed")
                    return
            time.sleep(POLL_SECONDS)
