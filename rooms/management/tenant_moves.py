"""Columns and arguments of the commands that move tenants."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

from scaiwave.console.columns import Column, ColumnType

EXPORT_COLUMNS = (
    Column("tenant", "Tenant"),
    Column("rooms", "Rooms", ColumnType.COUNT),
    Column("rooms_not_exported", "Rooms not exported", ColumnType.COUNT),
    Column("events", "Events", ColumnType.COUNT),
    Column("events_not_exported", "Events not exported", ColumnType.COUNT),
    Column("rows", "Rows of tables", ColumnType.COUNT),
    Column("size_bytes", "Size", ColumnType.BYTES),
    Column("frozen", "Frozen", ColumnType.FLAG),
)
NOT_EXPORTED_COLUMNS = (
    Column("id", "ID"),
    Column("room_type", "Type"),
    Column("events", "Events", ColumnType.COUNT),
    Column("reason", "Reason"),
)
VERIFICATION_COLUMNS = (
    Column("tenant", "Tenant"),
    Column("server_name", "Server"),
    Column("snapshot_at", "Exported"),
    Column("frozen", "Frozen", ColumnType.FLAG),
    Column("rooms", "Rooms", ColumnType.COUNT),
    Column("rooms_not_exported", "Rooms not exported", ColumnType.COUNT),
    Column("events", "Events", ColumnType.COUNT),
    Column("rows", "Rows of tables", ColumnType.COUNT),
    Column("size_bytes", "Size", ColumnType.BYTES),
    Column("key_id", "Key"),
)
IMPORT_COLUMNS = (
    Column("tenant", "Tenant"),
    Column("id", "ID"),
    Column("people_mapped", "People mapped", ColumnType.COUNT),
    Column("people_placeholders", "Placeholders", ColumnType.COUNT),
    Column("people_refused", "People refused", ColumnType.COUNT),
    Column("rooms", "Rooms", ColumnType.COUNT),
    Column("rooms_not_exported", "Rooms not exported", ColumnType.COUNT),
    Column("events", "Events", ColumnType.COUNT),
    Column("bundles", "Bundles imported", ColumnType.COUNT),
    Column("opened", "Open", ColumnType.FLAG),
)
REFUSED_COLUMNS = (Column("fqid", "Address"), Column("reason", "Reason"))


def add_signer_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--key", help="public key of the signer (ed25519:…), in addition to this server's own keys"
    )
    parser.add_argument(
        "--descriptor",
        metavar="FILE",
        type=Path,
        help="descriptor of the signer, saved from /.well-known/scaiwave/server",
    )
