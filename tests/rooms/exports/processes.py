"""A database that exports of other processes read from, filled without Django's help."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.databases import RawDatabase
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT

TENANT, WORKSPACE, ROOM, ANNA = (uuid.UUID(int=number) for number in range(1, 5))
EVENTS = 10_000
"""Events in the room `lobby`: megabytes, so that no pipe or socket can buffer them."""
EXPORT = ("room", "export", "lobby", "--tenant", "acme")
NOW = "2026-03-04 05:06:07"


@dataclass(frozen=True)
class Server(RawDatabase):
    def key(self, key: uuid.UUID) -> str:
        return f"'{key if self.is_postgres else key.hex}'"

    def add_events(self, first: int, last: int) -> None:
        """Events of the room at these positions, each of other words."""
        fields = f"{self.key(TENANT)}, {self.key(ROOM)}, {self.key(ANNA)}, 'swp.room.message'"
        rest = f"n, 1772600000 + n, {'false' if self.is_postgres else 0}, '{NOW}'"
        if self.is_postgres:
            made = "gen_random_uuid(), jsonb_build_object('body', md5(n::text) || md5(n::text))"
            source = f"generate_series({first}, {last}) AS n"
        else:
            made = "lower(hex(randomblob(16))), json_object('body', hex(randomblob(32)))"
            source = (
                f"(WITH RECURSIVE t(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM t "
                f"WHERE n < {last}) SELECT n FROM t)"
            )
        self.execute(
            "INSERT INTO sw_events (id, content, tenant_id, room_id, sender_id, event_type, "
            f"stream_position, origin_ts, do_not_index, created_at) SELECT {made}, {fields}, "
            f"{rest} FROM {source}"
        )


def fill_database(server: Server) -> None:
    no = "false" if server.is_postgres else "0"
    tenant, workspace, room, anna = map(server.key, (TENANT, WORKSPACE, ROOM, ANNA))
    times = f"'{NOW}', '{NOW}'"
    server.execute(
        "INSERT INTO sw_tenants (id, slug, name, contact_email, scaikey_status, features, "
        f"created_at, updated_at) VALUES ({tenant}, 'acme', 'Acme', '', '', '{{}}', {times})"
    )
    server.execute(
        "INSERT INTO sw_participants (id, tenant_id, participant_type, local_id, server_name, "
        "display_name, email, avatar_url, scaikey_status, created_at, updated_at) "
        f"VALUES ({anna}, {tenant}, 'human', 'anna', '', 'Anna', '', '', '', {times})"
    )
    server.execute(
        "INSERT INTO sw_workspaces (id, tenant_id, slug, name, description, created_at, "
        f"updated_at) VALUES ({workspace}, {tenant}, 'main', 'Main', '', {times})"
    )
    server.execute(
        "INSERT INTO sw_rooms (id, tenant_id, workspace_id, creator_id, room_type, state, name, "
        "topic, room_alias, is_public, is_federated, visibility, read_role_slugs, created_at, "
        f"updated_at) VALUES ({room}, {tenant}, {workspace}, {anna}, 'group', 'open', 'Lobby', "
        f"'', 'lobby', {no}, {no}, '', '[]', {times})"
    )
    server.add_events(1, EVENTS)


@contextmanager
def start_export(
    *words: str, prepare: str = "", **environment: str
) -> Iterator[subprocess.Popen[bytes]]:
    """An export whose stdout was not read yet; killed if it still runs at the end.

    `prepare` is Python that runs in that process before it.
    """
    script = f"{prepare}\n{SCRIPT[2].replace('; ', chr(10))}"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *(words or EXPORT)],
        env={**os.environ, **environment},
        cwd=CHECKOUT,
        bufsize=0,  # what is not read yet is in the pipe
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def is_zip(data: bytes) -> bool:
    """Look for the end of a central directory, which no part of a bundle contains by chance."""
    return b"PK\x05\x06" in data[-22:]
