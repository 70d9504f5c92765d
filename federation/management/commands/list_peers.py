from __future__ import annotations

from federation.peers.queries import list_peers
from scaiwave.cli.command import ListCommand
from scaiwave.console.columns import Column, ColumnType, Part


class Command(ListCommand):
    service = staticmethod(list_peers)
    words = "admin federation peer list"
    summary = "List known servers and their keys"
    area, place = "federation", 90
    permission = "VIEW_PLATFORM"
    examples = ("scaiwave admin federation peer list",)
    plural = "peers"
    columns = (
        Column("server_name", "Server", part=Part.KEY),
        Column("key_id", "Key ID", part=Part.KEY),
        Column("policy_allows", "Allowed", ColumnType.FLAG, part=Part.STATUS),
        Column("last_seen_at", "Last seen", ColumnType.TIME),
        Column("key_changed_at", "Key changed", ColumnType.TIME, part=Part.EXTRA),
    )
    keys = (
        *("server_name", "key_id", "public_key", "protocol_versions", "first_seen_at"),
        *("last_seen_at", "key_changed_at", "policy_allows", "id"),
    )
    help = (
        "List the servers that check-peer has seen, with the key of each, and whether the policy "
        "allows them."
    )
