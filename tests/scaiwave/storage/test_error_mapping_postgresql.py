"""What goes wrong between us and a PostgreSQL server, caused for real."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import OperationalError, connection, transaction

from tests.scaiwave.cli_helpers import run_example, run_scaiwave
from tests.services.postgres import create_database

pytestmark = pytest.mark.once

LIST = ("admin", "list-tenants")
MARKER = "h1dden-marker"
MIGRATE = "  Fix: Run `scaiwave manage migrate`, then try again.\n"
USE_POSTGRES = "  Fix: Check SCAIWAVE_DB_URL, and that the server runs and accepts this user.\n"


def with_parts(url: str, **changes: str) -> str:
    """The URL with another user, password, host or database."""
    parts = urlsplit(url)
    user = changes.get("user", parts.username or "")
    password = changes.get("password", parts.password or "")
    host = changes.get("host", parts.hostname or "")
    port = changes.get("port", str(parts.port or 5432))
    path = changes.get("path", parts.path)
    return urlunsplit(("postgres", f"{user}:{password}@{host}:{port}", path, parts.query, ""))


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_fail_postgresql_is_down() -> None:
    port = free_port()
    ended = run_scaiwave(*LIST, SCAIWAVE_DB_URL=f"postgres://anna:{MARKER}@127.0.0.1:{port}/chat")
    assert ended.code == 2
    assert ended.err.startswith(
        f"Error: The database chat on 127.0.0.1:{port} can't be used: connection failed: "
    )
    assert ended.err.endswith(f". [SW_DATABASE_UNREACHABLE]\n{USE_POSTGRES}")
    assert ended.err.count("\n") == 2
    assert MARKER not in ended.err


def test_fail_host_of_postgresql_is_unknown() -> None:
    url = f"postgres://anna:{MARKER}@no-such-host.invalid/chat"
    ended = run_scaiwave(*LIST, SCAIWAVE_DB_URL=url)
    assert ended.code == 2
    assert "[SW_DATABASE_UNREACHABLE]" in ended.err
    assert MARKER not in ended.err


def test_fail_option_of_postgresql_is_unknown() -> None:
    url = f"postgres://anna:{MARKER}@127.0.0.1/chat?nonsense=1"
    ended = run_scaiwave(*LIST, SCAIWAVE_DB_URL=url)
    assert ended.code == 2
    assert ended.err == (
        "Error: The database chat on 127.0.0.1 can't be used: invalid connection option "
        f'"nonsense". [SW_DATABASE_UNREACHABLE]\n{USE_POSTGRES}'
    )


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_fail_connection_lost_before_a_listing_is_closed() -> None:
    """Closing a cursor of the server is a query too."""
    with transaction.atomic():
        cursor = connection.chunked_cursor()
        cursor.execute("SELECT pg_backend_pid()")
        other = connection.copy()
        with other.cursor() as terminating:
            terminating.execute("SELECT pg_terminate_backend(%s, 10000)", cursor.fetchone())
        other.close()
        with pytest.raises(OperationalError):
            cursor.close()
        connection.close()
        cursor.close()


@pytest.mark.postgres
class TestServer:
    def test_fail_unknown_user(self, postgres_url: str) -> None:
        url = with_parts(postgres_url, user="unknown_user", password=MARKER)
        ended = run_scaiwave(*LIST, SCAIWAVE_DB_URL=url)
        assert ended.code == 2
        assert "[SW_DATABASE_UNREACHABLE]" in ended.err
        assert MARKER not in ended.err

    def test_fail_unknown_database(self, postgres_url: str) -> None:
        url = with_parts(postgres_url, path="/no_such_database")
        ended = run_scaiwave(*LIST, SCAIWAVE_DB_URL=url)
        assert ended.code == 2
        assert "The database no_such_database on " in ended.err
        assert "[SW_DATABASE_UNREACHABLE]" in ended.err

    def test_fail_unmigrated(self, postgres_url: str) -> None:
        with create_database(postgres_url) as url:
            ended = run_scaiwave(*LIST, SCAIWAVE_DB_URL=url)
        assert ended.code == 2
        assert "is not migrated to this version. [SW_DATABASE_UNMIGRATED]" in ended.err
        assert ended.err.endswith(MIGRATE)

    @pytest.mark.parametrize(
        ("state", "code", "message"),
        [
            ("53100", 1, "has no space left on its disk. [SW_DISK_FULL]"),
            ("40P01", 1, "is busy with another transaction. [SW_DATABASE_BUSY]"),
            ("55P03", 1, "is busy with another transaction. [SW_DATABASE_BUSY]"),
            ("42501", 2, "can't be used: failed on purpose. [SW_DATABASE_UNREACHABLE]"),
            ("57P01", 2, "can't be used: failed on purpose. [SW_DATABASE_UNREACHABLE]"),
        ],
    )
    def test_fail_in_the_middle(
        self, state: str, code: int, message: str, postgres_url: str
    ) -> None:
        raising = f"DO $$ BEGIN RAISE 'failed on purpose' USING ERRCODE = '{state}'; END $$"
        ended = run_example(
            "admin", "create-tenant", "--sql", raising, SCAIWAVE_DB_URL=postgres_url
        )
        assert ended.code == code
        assert message in ended.err
        assert ended.err.count("\n") == 2

    def test_fail_server_ends_the_connection(self, postgres_url: str) -> None:
        sql = "SELECT pg_terminate_backend(pg_backend_pid())"
        ended = run_example("admin", "create-tenant", "--sql", sql, SCAIWAVE_DB_URL=postgres_url)
        assert ended.code == 2
        assert "[SW_DATABASE_UNREACHABLE]" in ended.err

    def test_fail_read_only(self, postgres_url: str) -> None:
        sql = "SET TRANSACTION READ ONLY;;CREATE TABLE x (y int)"
        ended = run_example("admin", "create-tenant", "--sql", sql, SCAIWAVE_DB_URL=postgres_url)
        assert ended.code == 2
        assert "read-only transaction. [SW_DATABASE_UNREACHABLE]" in ended.err
