from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

from rooms.lifecycle.delete_room import delete_room
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    service: Callable[..., Any] = staticmethod(delete_room)
    words = "room delete"
    summary = "Delete a room, its events and its files"
    area, place = "rooms", 101
    permission = "MANAGE_TENANTS"
    examples = (
        'scaiwave room delete launch-party --tenant acme --reason "project ended"',
        'scaiwave room delete launch-party --tenant acme --reason "asked for by acme" --now',
    )
    help = (
        "Delete an archived room. It is hidden everywhere at once. Its events, members and files "
        "are deleted after SCAIWAVE_DELETION_GRACE_DAYS, by `admin prune`; until then `room "
        "undelete` brings it back. Files that other rooms have stay."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("room", help="room (ID or alias)")
        add("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        add("--reason", required=True, help="reason for the audit log")
        add("--archive", action="store_true", help="archive an open room first")
        add("--now", action="store_true", help="skip the grace period; this can't be undone")

    def handle(self, **options: Any) -> None:
        at_once = options["now"]
        confirm = self.confirm_name if at_once else lambda effect, name: self.confirm(effect)
        values = {"name": options["room"]} | options
        self.print_change(self.call_service(values, confirm=confirm, at_once=at_once))
