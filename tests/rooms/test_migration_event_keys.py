"""The migration that joins two foreign keys of events, on a server with data."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tests.databases import copy_database
from tests.rooms.exports.processes import EVENTS, NOW, TENANT, Server, fill_database
from tests.scaiwave.cli_helpers import ProcessResult, run_scaiwave

pytestmark = [pytest.mark.once, pytest.mark.usefixtures("home")]

BEFORE, AFTER = "0006_view_content", "0007_event_keys"
JOINED, SENDER = ["room_id", "tenant_id"], ["sender_id"]
OTHER = uuid.UUID(int=99)


@pytest.fixture
def server(migrated: str, database_url: str, home: Path) -> Server:
    """A server of the release before, with events."""
    copy_database(migrated, database_url)
    server = Server(database_url)
    fill_database(server)
    assert migrate(BEFORE).code == 0
    return server


def migrate(name: str = AFTER) -> ProcessResult:
    return run_scaiwave("manage", "migrate", "rooms", name, "--verbosity", "0")


def list_keys(server: Server) -> list[list[str]]:
    """Return the columns of each valid foreign key of the events."""
    if not server.is_postgres:
        return sorted([row[3]] for row in server.rows("PRAGMA foreign_key_list(sw_events)"))
    rows = server.rows(
        "SELECT array_agg(attname::text ORDER BY attname) FROM pg_constraint "
        "JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY(conkey) WHERE contype = 'f' "
        "AND convalidated AND conrelid = 'sw_events'::regclass GROUP BY pg_constraint.oid"
    )
    return sorted(columns for (columns,) in rows)


def test_success_there_and_back(server: Server) -> None:
    separate = [["room_id"], ["sender_id"], ["tenant_id"]]
    assert list_keys(server) == separate
    assert migrate().code == 0
    assert list_keys(server) == ([JOINED, SENDER] if server.is_postgres else separate)
    assert migrate(BEFORE).code == 0
    assert list_keys(server) == separate
    assert server.rows("SELECT count(*) FROM sw_events") == [(EVENTS,)]


@pytest.mark.only_on("postgresql")
def test_success_an_interrupted_migration_is_run_again(server: Server) -> None:
    """An event in a room of another tenant stops it, as a kill would, before the old keys end."""
    server.execute(
        "INSERT INTO sw_tenants (id, slug, name, contact_email, scaikey_status, features, "
        f"created_at, updated_at) VALUES ('{OTHER}', 'other', 'Other', '', '', '{{}}', "
        f"'{NOW}', '{NOW}')"
    )
    server.execute(f"UPDATE sw_events SET tenant_id = '{OTHER}' WHERE stream_position = 7")
    stopped = migrate()
    assert stopped.code != 0
    assert "sw_events_room_and_tenant" in stopped.err
    assert list_keys(server) == [["room_id"], ["sender_id"], ["tenant_id"]]
    server.execute(f"UPDATE sw_events SET tenant_id = '{TENANT}' WHERE stream_position = 7")
    assert migrate().code == 0
    assert list_keys(server) == [JOINED, SENDER]
